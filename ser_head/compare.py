"""Lay runs side by side: `python -m ser_head.compare RUN ...` or `ser_head.compare([...])`."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ser_embed.console import CommandModule, CommandParser, note, print_json, run_command
from ser_embed.errors import EXIT_DONE, InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ser_head.comparison import Comparison


def compare(runs: Sequence[str | Path] | str | Path, output: str | Path | None = None) -> "Comparison":
    """Lay runs side by side, best UAR first.

    Args:
        runs: the run folders.
        output: also write the comparison to this file: .html, .csv, .json, .md or .png.

    Returns:
        The table, with paired differences to the best run, and warnings where figures cannot be compared directly.

    Raises:
        InputError: a folder is not a run, or `output` has another suffix; nothing was written.
    """
    path = None if output is None else Path(output)
    if path and path.suffix.lower() not in _WRITERS:
        raise InputError(f"expected an output file ending in {', '.join(_WRITERS)}, found {str(path)!r}")
    from ser_head.comparison import compare_runs

    comparison = compare_runs([runs] if isinstance(runs, (str, Path)) else list(runs))
    if path:
        content = _WRITERS[path.suffix.lower()](comparison)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return comparison


def _csv(comparison: "Comparison") -> bytes:
    return comparison.table.to_csv(index=False).encode()


def _json(comparison: "Comparison") -> bytes:
    return json.dumps(comparison.to_json(), indent=2, ensure_ascii=False, allow_nan=False).encode()


def _markdown(comparison: "Comparison") -> bytes:
    warnings = "".join(f"> Warning: {warning}\n" for warning in comparison.warnings)
    return f"{comparison.text(markdown=True)}\n{warnings and chr(10)}{warnings}".encode()


def _html(comparison: "Comparison") -> bytes:
    from ser_head.figures.style import picture
    from ser_head.pages import render_page

    chart = picture(_chart(comparison), "UAR of each run with its 95 % interval, best first")
    return render_page("compare.html.j2", rows=comparison.rows(), warnings=comparison.warnings, chart=chart).encode()


def _png(comparison: "Comparison") -> bytes:
    from ser_head.figures.style import render

    return render(_chart(comparison), "png")


def _chart(comparison: "Comparison") -> "Figure":
    from ser_head.figures.bars import run_bars

    columns = (comparison.table[name].to_numpy(float) for name in ("uar", "uar_low", "uar_high"))
    return run_bars(comparison.table["run"].tolist(), *columns)


_WRITERS: dict[str, Callable[["Comparison"], bytes]] = {
    ".html": _html,
    ".csv": _csv,
    ".json": _json,
    ".md": _markdown,
    ".png": _png,
}


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this command."""
    parser = CommandParser(prog="python -m ser_head.compare", description=__doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run folders, as written by ser_head.train")
    parser.add_argument("--output", metavar="FILE", help=f"also write to this file: {', '.join(_WRITERS)}")
    parser.add_argument("--json", action="store_true", help="print one JSON object in place of the table")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with these arguments; None takes them from the command line."""
    args = build_parser().parse_args(argv)

    def work() -> int:
        comparison = compare(args.runs, args.output)
        if args.json:
            print_json(comparison.to_json())
            return EXIT_DONE
        print(comparison.text())
        for warning in comparison.warnings:
            note(f"warning: {warning}")
        return EXIT_DONE

    return run_command(work)


sys.modules[__name__].__class__ = CommandModule

if __name__ == "__main__":
    sys.exit(main())
