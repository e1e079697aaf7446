"""Cross-corpus transfer matrix: UAR by training corpus (rows) and test corpus (columns).

A run of cross:TRAIN:TEST fills one cell, a run within one corpus a cell of the diagonal. A run on several corpora has a
row of its own, and a cell for each of them. Runs whose test speakers were in training are left out. Corpora do not
share all emotions, so cells may have been scored on different sets of them: each set has a number (#1, #2, ...), and
only cells of the same set can be compared.
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
from ser_head.runs.results import RunResults

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CORNER = "trained on / tested on"  # heading of the column of row names
_TEMPLATE = "matrix.html.j2"


@dataclass(frozen=True)
class Matrix:
    """UAR by training and test corpus.

    Attributes:
        table: one row per filled cell: train, test, run, protocol, n_test, uar in [0, 1], uar_low, uar_high (None where
            the interval is not known), labels (#1, #2, ...).
        labels: the emotions that #1, #2, ... stand for.
        warnings: what a reader has to know to interpret the cells correctly.
    """

    table: pd.DataFrame
    labels: dict[str, tuple[str, ...]]
    warnings: tuple[str, ...]

    @property
    def train(self) -> list[str]:
        """The training corpora: names of the rows, single corpora first."""
        return list(dict.fromkeys(self.table["train"]))

    @property
    def test(self) -> list[str]:
        """The test corpora: names of the columns."""
        return sorted(set(self.table["test"]))

    def cell(self, train: str, test: str) -> dict[str, Any] | None:
        """Return one cell as a dict of the table's columns; None if no run fills it."""
        cells = self.table[(self.table["train"] == train) & (self.table["test"] == test)].to_dict("records")
        return {str(name): value for name, value in cells[0].items()} if cells else None

    def rows(self) -> list[tuple[str, list[dict[str, Any] | None]]]:
        """Return each row as its name and its cells, in the order of the columns."""
        return [(train, [self.cell(train, test) for test in self.test]) for train in self.train]

    def legend(self) -> list[str]:
        """Return one line per set of emotions: its number, the emotions, the UAR of guessing."""
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
        """Format the matrix as text in aligned columns, or as Markdown, with the sets of emotions below."""
        body = [[train, *map(_cell_text, cells)] for train, cells in self.rows()]
        legend = ["UAR [95 % interval], clips, emotions", *self.legend()]
        lines = [f"- {line}" for line in legend] if markdown else legend
        return "\n".join([aligned([[CORNER, *self.test], *body], markdown=markdown), "", *lines])

    def chart(self) -> "Figure":
        """Draw the matrix as a heat map."""
        from ser_head.reporting.plots.matrices import transfer_map

        details = [[_cell_details(cell) for cell in cells] for _, cells in self.rows()]
        return transfer_map(self._uar(), details, (self.train, self.test), self.legend())

    def page(self) -> str:
        """Return the matrix as a self-contained html page."""
        from ser_head.reporting.html import render_page

        return render_page(_TEMPLATE, **self._context())

    def _repr_html_(self) -> str:
        """Return the chart and the table as html for the output of a notebook cell."""
        from ser_head.reporting.html import render_fragment

        return render_fragment(_TEMPLATE, **self._context())

    def _context(self) -> dict[str, Any]:
        from ser_head.reporting.plots.style import picture

        chart = picture(self.chart(), "UAR by corpus trained on (rows) and tested on (columns); the table has the same")
        return {"matrix": self, "chart": chart}

    def _uar(self) -> np.ndarray:
        """Return UAR, float64 (rows, columns), NaN where a cell is empty."""
        return np.array([[np.nan if cell is None else cell["uar"] for cell in cells] for _, cells in self.rows()])


def make_matrix(folders: Sequence[str | Path]) -> Matrix:
    """Arrange runs by training and test corpus.

    Args:
        folders: the run folders.

    Raises:
        InputError: `folders` is empty, one is not the folder of a run that predicts classes, two runs fill the same
            cell, or none of the runs keeps test speakers out of training.
    """
    all_runs = load_runs(folders)
    runs_by_name = dict(zip(run_names(all_runs), all_runs, strict=True))
    runs = {name: run for name, run in runs_by_name.items() if run.metrics["speaker_disjoint"]}
    if not runs:
        raise InputError("a matrix needs runs whose test speakers were not in training, and none of these is one")
    cells = sorted((cell for name, run in runs.items() for cell in _run_cells(name, run)), key=_sort_key)
    _require_one_run_per_cell(cells)
    numbers = {labels: f"#{number}" for number, labels in enumerate(dict.fromkeys(cell["labels"] for cell in cells), 1)}
    table = pd.DataFrame([{**cell, "labels": numbers[cell["labels"]]} for cell in cells]).astype(object)
    left_out = [
        f"{name} is left out: some of its test speakers were in training" for name in runs_by_name if name not in runs
    ]
    return Matrix(
        table.where(table.notna(), None),
        {number: labels for labels, number in numbers.items()},
        (*left_out, *_warnings(list(runs), list(runs.values()))),
    )


def _run_cells(name: str, run: RunResults) -> Iterator[dict[str, Any]]:
    """Yield the cells that a run fills: one per corpus among its test clips."""
    clip_corpora = run.tested["utterance_id"].str.partition("/")[0]
    test_corpora = sorted(set(clip_corpora))
    protocol = Protocol.parse(run.metrics["protocol"])
    train = protocol.train or " + ".join(run.chosen_corpora or test_corpora)
    for test in test_corpora:
        in_corpus = clip_corpora == test
        figures = run.metrics["test"] if len(test_corpora) == 1 else compute_metrics(run.tested[in_corpus], run.labels)
        low, high = figures.get("ci95", {}).get("uar") or (None, None)
        yield {
            "train": train,
            "test": test,
            "run": name,
            "protocol": run.metrics["protocol"],
            "n_test": int(in_corpus.sum()),
            "uar": figures["uar"],
            "uar_low": low,
            "uar_high": high,
            "labels": run.run.labels,
        }


def _sort_key(cell: dict[str, Any]) -> tuple[bool, str, str]:
    """Return the key that sorts cells: single training corpora first, then by name."""
    return " + " in cell["train"], cell["train"], cell["test"]


def _require_one_run_per_cell(cells: Sequence[dict[str, Any]]) -> None:
    """Raise InputError if two of the sorted cells have the same row and column."""
    for cell, following in pairwise(cells):
        if _sort_key(cell) == _sort_key(following):
            raise InputError(
                f"a matrix has one run per cell, but both {cell['run']} and {following['run']} were trained on "
                f"{cell['train']} and tested on {cell['test']}; make a matrix for each"
            )


def _warnings(names: Sequence[str], runs: Sequence[RunResults]) -> Iterator[str]:
    """Yield what makes these cells incomparable, and which of the runs used their test clips."""
    if len({run.run.labels for run in runs}) > 1:
        yield "the cells were scored on different emotions; only those of one set (#) can be compared"
    configs = [run.run.config for run in runs]
    yield from disagreement(names, [run.run.spec.model for run in runs], "encoder")
    yield from disagreement(names, [f"{config.head} ({config.variant})" for config in configs], "head")
    yield from disagreement(names, [" ".join(config.personalized) or "none" for config in configs], "personalisation")
    cross_corpus = [
        (name, run) for name, run in zip(names, runs, strict=True) if Protocol.parse(run.metrics["protocol"]).train
    ]
    normalizations = [run.run.config.normalization for _, run in cross_corpus]
    yield from disagreement([name for name, _ in cross_corpus], normalizations, "normalization")
    for name, run in cross_corpus:
        if any(run.run.corpora.values()):
            yield f"{name} is transductive: its test corpus was measured on its test clips, without labels"


def _cell_text(cell: dict[str, Any] | None) -> str:
    """Format one cell of the text table."""
    if cell is None:
        return UNKNOWN_VALUE
    interval = bracketed(cell["uar_low"], cell["uar_high"], decimal)
    return f"{decimal(cell['uar'])}{interval}, {cell['n_test']}, {cell['labels']}"


def _cell_details(cell: dict[str, Any] | None) -> str:
    """Format the small print below the figure of a cell of the heat map."""
    if cell is None:
        return ""
    interval = bracketed(cell["uar_low"], cell["uar_high"], decimal).strip()
    return f"{interval}\n{cell['n_test']:,} clips, {cell['labels']}"
