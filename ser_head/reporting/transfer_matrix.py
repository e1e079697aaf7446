"""How far heads travel: UAR by the corpus they were trained on (rows) and the corpus they were tested on (columns).

A run of cross:TRAIN:TEST fills one cell, one within a corpus a cell of the diagonal. A run on several corpora has a row
of its own, and a cell for each of them. A run whose test speakers were in training has no place here. Corpora do not
share all emotions, so cells may have been scored on different ones: each set has a number, and only cells of the same
set can be compared.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ser_embed.errors import InputError
from ser_head.data.splits import Protocol
from ser_head.evaluation.metrics import compute_metrics
from ser_head.reporting.comparison import bracketed, disagreement, load_runs, run_names
from ser_head.reporting.text import UNKNOWN_VALUE, aligned, decimal
from ser_head.runs.results import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CORNER = "trained on / tested on"


@dataclass(frozen=True)
class Matrix:
    """Cells by training and test corpus.

    Attributes:
        table: one row per cell that is filled: train, test, run, protocol, n_test, uar, uar_low, uar_high (None where
            the interval is not known), labels (#1, #2, ...).
        labels: the emotions that #1, #2, ... stand for.
        warnings: what has to be known to read the cells rightly.
    """

    table: pd.DataFrame
    labels: dict[str, tuple[str, ...]]
    warnings: tuple[str, ...]

    @property
    def train(self) -> list[str]:
        """The rows, single corpora first."""
        return list(dict.fromkeys(self.table["train"]))

    @property
    def test(self) -> list[str]:
        """The columns."""
        return sorted(set(self.table["test"]))

    def cell(self, train: str, test: str) -> dict[str, Any] | None:
        """Return one cell as a dict of the table's columns; None if no run fills it."""
        found = self.table[(self.table["train"] == train) & (self.table["test"] == test)].to_dict("records")
        return {str(name): value for name, value in found[0].items()} if found else None

    def rows(self) -> list[tuple[str, list[dict[str, Any] | None]]]:
        """Return each row's name with its cells, a column after the other."""
        return [(train, [self.cell(train, test) for test in self.test]) for train in self.train]

    def legend(self) -> list[str]:
        """Return a line for each set of emotions: its number, what guessing would get, the emotions."""
        return [
            f"{number}: {', '.join(labels)} (guessing: {decimal(1 / len(labels))})"
            for number, labels in self.labels.items()
        ]

    def to_json(self) -> dict[str, Any]:
        """Return the matrix as one JSON object; empty cells are left out."""
        return {
            "train": self.train,
            "test": self.test,
            "cells": self.table.to_dict("records"),
            "labels": {number: list(labels) for number, labels in self.labels.items()},
            "warnings": list(self.warnings),
        }

    def text(self, *, markdown: bool = False) -> str:
        """Return the matrix for people, in aligned columns, the sets of emotions below."""
        body = [[train, *map(_in_words, cells)] for train, cells in self.rows()]
        legend = ["UAR [95 % interval], clips, emotions", *self.legend()]
        lines = [f"- {line}" for line in legend] if markdown else legend
        return "\n".join([aligned([[CORNER, *self.test], *body], markdown=markdown), "", *lines])

    def chart(self) -> "Figure":
        """Draw the matrix as a heat map."""
        from ser_head.reporting.plots.matrices import transfer_map

        below = [[_details(cell) for cell in cells] for _, cells in self.rows()]
        return transfer_map(self._uar(), below, (self.train, self.test), self.legend())

    def page(self) -> str:
        """Return the matrix as an html page."""
        from ser_head.reporting.html import render_page
        from ser_head.reporting.plots.style import picture

        chart = picture(self.chart(), "UAR by corpus trained on (rows) and tested on (columns); the table has the same")
        return render_page("matrix.html.j2", matrix=self, chart=chart)

    def _uar(self) -> np.ndarray:
        """Return UAR, float64 (rows, columns), NaN where a cell is empty."""
        return np.array([[np.nan if cell is None else cell["uar"] for cell in cells] for _, cells in self.rows()])


def make_matrix(folders: Sequence[str | Path]) -> Matrix:
    """Lay runs out by training and test corpus.

    Args:
        folders: the run folders.

    Raises:
        InputError: one is not a run folder, two are of one cell, or none keeps test speakers out of training.
    """
    runs = load_runs(folders)
    named = dict(zip(run_names(runs), runs, strict=True))
    kept = {name: run for name, run in named.items() if run.metrics["speaker_disjoint"]}
    if not kept:
        raise InputError("a matrix needs runs whose test speakers were not in training, and none of these is one")
    cells = sorted((cell for name, run in kept.items() for cell in _cells(name, run)), key=_place)
    _require_one_each(cells)
    numbers = {labels: f"#{number}" for number, labels in enumerate(dict.fromkeys(cell["labels"] for cell in cells), 1)}
    table = pd.DataFrame([{**cell, "labels": numbers[cell["labels"]]} for cell in cells]).astype(object)
    left_out = [f"{name} is left out: some of its test speakers were in training" for name in named if name not in kept]
    return Matrix(
        table.where(table.notna(), None),
        {number: labels for labels, number in numbers.items()},
        (*left_out, *_cautions(list(kept), list(kept.values()))),
    )


def _cells(name: str, run: Results) -> Iterator[dict[str, Any]]:
    """Yield the cells that a run fills: one per corpus among its test clips."""
    corpora = run.tested["utterance_id"].str.partition("/")[0]
    tested = sorted(set(corpora))
    protocol = Protocol.parse(run.metrics["protocol"])
    train = protocol.train or " + ".join(run.chosen_corpora or tested)
    for test in tested:
        found = run.metrics["test"] if len(tested) == 1 else compute_metrics(run.tested[corpora == test], run.labels)
        low, high = found.get("ci95", {}).get("uar") or (None, None)
        yield {
            "train": train,
            "test": test,
            "run": name,
            "protocol": run.metrics["protocol"],
            "n_test": int((corpora == test).sum()),
            "uar": found["uar"],
            "uar_low": low,
            "uar_high": high,
            "labels": run.run.labels,
        }


def _place(cell: dict[str, Any]) -> tuple[bool, str, str]:
    """Return what orders cells: single corpora first."""
    return " + " in cell["train"], cell["train"], cell["test"]


def _require_one_each(cells: Sequence[dict[str, Any]]) -> None:
    for cell, following in pairwise(cells):
        if _place(cell) == _place(following):
            raise InputError(
                f"a matrix has one run per cell, but both {cell['run']} and {following['run']} were trained on "
                f"{cell['train']} and tested on {cell['test']}; make a matrix for each"
            )


def _cautions(names: Sequence[str], runs: Sequence[Results]) -> Iterator[str]:
    """Yield what keeps these cells from being compared, or what they knew."""
    if len({run.run.labels for run in runs}) > 1:
        yield "the cells were scored on different emotions; only those of one set (#) can be compared"
    choices = [run.run.config for run in runs]
    yield from disagreement(names, [run.run.spec.model for run in runs], "encoder")
    yield from disagreement(names, [f"{each.head} ({each.layer})" for each in choices], "head")
    yield from disagreement(names, [" ".join(each.personalized) or "none" for each in choices], "personalisation")
    crossing = [each for each in zip(names, runs, strict=True) if Protocol.parse(each[1].metrics["protocol"]).train]
    ways = [run.run.config.normalization for _, run in crossing]
    yield from disagreement([name for name, _ in crossing], ways, "normalization")
    for name, run in crossing:
        if any(run.run.corpora.values()):
            yield f"{name} is transductive: its test corpus was measured on its test clips, without labels"


def _in_words(cell: dict[str, Any] | None) -> str:
    return UNKNOWN_VALUE if cell is None else f"{_figure(cell)}, {cell['n_test']}, {cell['labels']}"


def _figure(cell: dict[str, Any]) -> str:
    return decimal(cell["uar"]) + bracketed(cell["uar_low"], cell["uar_high"], decimal)


def _details(cell: dict[str, Any] | None) -> str:
    if cell is None:
        return ""
    return (
        f"{bracketed(cell['uar_low'], cell['uar_high'], decimal).strip()}\n{cell['n_test']:,} clips, {cell['labels']}"
    )
