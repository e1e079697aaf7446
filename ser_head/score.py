"""Scoring of predictions as a command and a function: `python -m ser_head.score RUN`, `ser_head.score(RUN)`."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ser_embed.cli import Command, CommandModule, CommandOutput
from ser_head.reporting.text import aligned, count, decimal

if TYPE_CHECKING:
    import pandas as pd

_NUMERIC_METRICS = {"ccc": "CCC", "mae": "MAE", "rmse": "RMSE", "pearson": "Pearson"}


def score(predictions: str | Path, by: Sequence[str] | str | None = None) -> dict[str, Any]:
    """Recompute the figures of a run's test clips from its predictions alone.

    Args:
        predictions: a run folder, a predictions.csv, or a validation.csv; its classes are those of its `p_` columns.
        by: also give the figures by these columns; None for those that training was asked for.

    Returns:
        The parts of metrics.json that tell of the test clips, to the last digit: labels, n_test, test, conditions,
        gains, by.

    Raises:
        InputError: there is no such file, it is no table of predictions, or it has no such column; or a run folder
            was damaged, or changed since it was written.
    """
    from ser_head.evaluation.groups import columns_of
    from ser_head.evaluation.metrics import scored_figures
    from ser_head.evaluation.predictions import require_answers

    path = _table_path(Path(predictions))
    table = _read(path)
    labels = _classes(table)
    require_answers(table, labels, path)
    if by is None:
        by = columns_of(table)
    return {"labels": labels, **scored_figures(table, labels, [by] if isinstance(by, str) else by)}


def summary(document: dict[str, Any]) -> str:
    """Return the figures of `score` as a table for people: one row per set of clips, one column per metric."""
    from ser_head.evaluation.metrics import METRICS

    in_table = {name: metric.label for name, metric in METRICS.items() if metric.in_table}
    columns = in_table if document["labels"] else _NUMERIC_METRICS
    rows = [["", "clips", *columns.values()]]
    for title, figures in _titled(document):
        rows.append([title, count(figures["n"]), *(_cell(figures, name) for name in columns)])
    return aligned(rows)


def _titled(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "test", document["test"]
    yield from document["conditions"].items()
    for column, groups in document.get("by", {}).items():
        for value, figures in groups.items():
            yield f"{column} {value or 'unknown'}", figures


def _cell(figures: dict[str, Any], name: str) -> str:
    ends = figures.get("ci95", {}).get(name)
    interval = f" [{decimal(ends[0])}, {decimal(ends[1])}]" if ends else ""
    return decimal(figures.get(name)) + interval


def _table_path(path: Path) -> Path:
    """Return the path of the table: of a run the one it was written with, of any other folder its predictions.csv."""
    from ser_head.runs.document import RUN_FILE
    from ser_head.runs.run import Run

    if (path / RUN_FILE).is_file():
        return Run.load(path).file("predictions.csv")
    return path / "predictions.csv" if path.is_dir() else path


def _read(path: Path) -> "pd.DataFrame":
    from ser_head.evaluation.groups import read_groups
    from ser_head.evaluation.predictions import read_predictions

    return read_predictions(path).assign(**read_groups(path))


def _classes(table: "pd.DataFrame") -> list[str]:
    from ser_head.evaluation.predictions import PROBABILITY

    return [name.removeprefix(PROBABILITY) for name in table.columns if name.startswith(PROBABILITY)]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("predictions", metavar="PREDICTIONS", help="a run folder, or its predictions.csv")
    parser.add_argument(
        "--by", nargs="+", metavar="COLUMN", help="also by these columns (default: those training was asked for)"
    )


def _run(args: argparse.Namespace) -> CommandOutput:
    document = score(args.predictions, args.by)
    return CommandOutput(summary(document), document)


COMMAND = Command(
    "ser_head.score",
    "Recompute a run's figures from its predictions alone.",
    _run,
    add_arguments=_add_arguments,
)
build_parser, main = COMMAND.build_parser, COMMAND.main

sys.modules[__name__].__class__ = CommandModule

if __name__ == "__main__":
    sys.exit(main())
