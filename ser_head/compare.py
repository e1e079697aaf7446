"""Comparison of runs as a command and a function: `python -m ser_head.compare RUN ...`, `ser_head.compare([...])`."""

import argparse
import json
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Union

from ser_embed.cli import Command, CommandModule, CommandOutput
from ser_embed.errors import InputError
from ser_embed.files import atomic_write, require_writable_file

if TYPE_CHECKING:
    from ser_head.reporting.comparison import Comparison
    from ser_head.reporting.transfer_matrix import Matrix

Shown = Union["Comparison", "Matrix"]

logger = logging.getLogger(__name__)


def compare(runs: Sequence[str | Path] | str | Path, output: str | Path | None = None, matrix: bool = False) -> Shown:
    """Lay runs side by side, best UAR first, or in a matrix of training by test corpus.

    Args:
        runs: the run folders.
        output: also write the comparison to this file: .html, .csv, .json, .md or .png.
        matrix: a row per corpus that was trained on and a column per corpus that was tested on.

    Returns:
        The table, with paired differences to the best run, or the matrix; and warnings where figures cannot be
        compared directly.

    Raises:
        InputError: a folder is not a run, a run has no place in the matrix, or `output` has another suffix or cannot
            be written; nothing was written.
    """
    path = None if output is None else Path(output)
    if path and path.suffix.lower() not in WRITERS:
        raise InputError(f"expected an output file ending in {', '.join(WRITERS)}, found {str(path)!r}")
    if path:
        require_writable_file(path)
    shown = _lay_out([runs] if isinstance(runs, (str, Path)) else list(runs), matrix)
    if path:
        content = WRITERS[path.suffix.lower()](shown)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as draft:
            draft.write_bytes(content)
    return shown


def _lay_out(runs: Sequence[str | Path], matrix: bool) -> Shown:
    if matrix:
        from ser_head.reporting.transfer_matrix import make_matrix

        return make_matrix(runs)
    from ser_head.reporting.comparison import compare_runs

    return compare_runs(runs)


def _csv(shown: Shown) -> bytes:
    return shown.table.to_csv(index=False).encode()


def _json(shown: Shown) -> bytes:
    return json.dumps(shown.to_json(), indent=2, ensure_ascii=False, allow_nan=False).encode()


def _markdown(shown: Shown) -> bytes:
    warnings = "".join(f"> Warning: {warning}\n" for warning in shown.warnings)
    return f"{shown.text(markdown=True)}\n{warnings and chr(10)}{warnings}".encode()


def _html(shown: Shown) -> bytes:
    return shown.page().encode()


def _png(shown: Shown) -> bytes:
    from ser_head.reporting.plots.style import render

    return render(shown.chart(), "png")


WRITERS: dict[str, Callable[[Shown], bytes]] = {
    ".html": _html,
    ".csv": _csv,
    ".json": _json,
    ".md": _markdown,
    ".png": _png,
}


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run folders, as written by ser_head.train")
    parser.add_argument("--output", metavar="FILE", help=f"also write to this file: {', '.join(WRITERS)}")
    parser.add_argument(
        "--matrix", action="store_true", help="show UAR by corpus trained on (rows) and corpus tested on (columns)"
    )


def _run(args: argparse.Namespace) -> CommandOutput:
    shown = compare(args.runs, args.output, args.matrix)
    for warning in shown.warnings:
        logger.warning("warning: %s", warning)
    return CommandOutput(shown.text(), shown.to_json())


COMMAND = Command(
    "ser_head.compare",
    "Lay runs side by side, or in a matrix of corpora.",
    _run,
    add_arguments=_add_arguments,
)
build_parser, main = COMMAND.build_parser, COMMAND.main

sys.modules[__name__].__class__ = CommandModule

if __name__ == "__main__":
    sys.exit(main())
