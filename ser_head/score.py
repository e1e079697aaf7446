"""Scoring of predictions as a command and a function: `python -m ser_head.score RUN`, `ser_head.score(RUN)`."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ser_embed.cli import Command, CommandModule, CommandOutput
from ser_embed.errors import InputError
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
        InputError: there is no such file, it is no table of predictions, or it has no such column.
    """
    from ser_head.evaluation.groups import columns_of
    from ser_head.evaluation.metrics import scored_figures

    path = Path(predictions)
    path = path / "predictions.csv" if path.is_dir() else path
    table = _read(path)
    labels = _classes(table)
    _require_scored(table, labels, path)
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


def _read(path: Path) -> "pd.DataFrame":
    from ser_head.evaluation.groups import read_groups
    from ser_head.evaluation.predictions import read_predictions

    return read_predictions(path).assign(**read_groups(path))


def _classes(table: "pd.DataFrame") -> list[str]:
    from ser_head.evaluation.predictions import PROBABILITY

    return [name.removeprefix(PROBABILITY) for name in table.columns if name.startswith(PROBABILITY)]


def _require_scored(table: "pd.DataFrame", labels: list[str], path: Path) -> None:
    """Make sure that every row has what figures are made of."""
    import pandas as pd

    from ser_head.evaluation.predictions import probability_matrix

    if table.empty:
        raise InputError(f"expected predictions of clips in {path}, found none")
    for column in ("label", "prediction"):
        known = table[column].isin(labels) if labels else pd.to_numeric(table[column], errors="coerce").notna()
        if not known.all():
            wanted = f"one of the classes {', '.join(labels)}" if labels else "a number, as there are no p_ columns,"
            raise InputError(f"expected {wanted} in column {column} of {path}, found {table[column][~known].iloc[0]!r}")
    if labels and not (abs(probability_matrix(table, labels).sum(axis=1) - 1) < 1e-3).all():
        raise InputError(f"expected probabilities that add up to 1 in the p_ columns of {path}")


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
