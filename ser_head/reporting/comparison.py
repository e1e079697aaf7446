"""Comparison of runs: figures side by side, differences to the best run, and what makes figures incomparable.

Shares lie in [0, 1]. Intervals are of 95 %, by a bootstrap over speakers. What is not known is None.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ser_embed.errors import InputError
from ser_head.evaluation.significance import paired_difference
from ser_head.reporting.text import aligned, decimal, p_value, signed
from ser_head.runs.results import RunResults

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TEMPLATE = "compare.html.j2"
_COLUMNS = (
    "run", "corpora", "encoder", "head", "personalised", "protocol", "disjoint", "n_test", "accuracy",
    "UAR [95 %]", "macro-F1", "difference [95 %]", "p",
)  # fmt: skip
# Entries of metrics.json that have to be the same in all runs if figures are to be compared, and their names in text.
_HAS_TO_AGREE = {
    "protocol": "protocol",
    "speaker_disjoint": "whether test speakers were kept out of training",
    "labels": "classes",
}


@dataclass(frozen=True)
class Comparison:
    """Runs side by side, best UAR first.

    Attributes:
        table: one row per run: run, corpora, encoder, head, layer (what was trained, if the encoder was), personalized,
            protocol, speaker_disjoint, n_test, accuracy, uar, uar_low, uar_high, macro_f1; then, against the run in the
            first row and on the clips both were tested on, difference, difference_low, difference_high, p_value,
            shared_clips. What is unknown is None.
        warnings: reasons why the figures should not be compared directly, if there are any.
    """

    table: pd.DataFrame
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as one JSON object: {"runs": [...], "warnings": [...]}."""
        return {"runs": self.rows(), "warnings": list(self.warnings)}

    def rows(self) -> list[dict[str, Any]]:
        """Return the table as one dict per run."""
        return [{str(name): value for name, value in row.items()} for row in self.table.to_dict("records")]

    def text(self, *, markdown: bool = False) -> str:
        """Format the table as text in aligned columns, or as a Markdown table."""
        return aligned([_COLUMNS, *(_text_cells(row) for row in self.rows())], markdown=markdown)

    def chart(self) -> "Figure":
        """Draw the UAR of each run with its interval."""
        from ser_head.reporting.plots.bars import run_bars

        columns = (self.table[name].to_numpy(float) for name in ("uar", "uar_low", "uar_high"))
        return run_bars(self.table["run"].tolist(), *columns)

    def page(self) -> str:
        """Return the comparison as a self-contained html page."""
        from ser_head.reporting.html import render_page

        return render_page(_TEMPLATE, **self._context())

    def _repr_html_(self) -> str:
        """Return the chart and the table as html for the output of a notebook cell."""
        from ser_head.reporting.html import render_fragment

        return render_fragment(_TEMPLATE, **self._context())

    def _context(self) -> dict[str, Any]:
        from ser_head.reporting.plots.style import picture

        chart = picture(self.chart(), "UAR of each run with its 95 % interval, best first")
        return {"rows": self.rows(), "warnings": self.warnings, "chart": chart}


def compare_runs(folders: Sequence[str | Path]) -> Comparison:
    """Compare runs, each with the one that has the best UAR.

    Args:
        folders: the run folders.

    Raises:
        InputError: `folders` is empty, or one is not the folder of a run that predicts classes.
    """
    runs = sorted(load_runs(folders), key=lambda run: -run.metrics["test"]["uar"])
    names = run_names(runs)
    rows = [
        {"run": name, **_run_figures(run), **_difference_to_best(runs[0], run)}
        for name, run in zip(names, runs, strict=True)
    ]
    table = pd.DataFrame(rows).astype(object)
    return Comparison(table.where(table.notna(), None), tuple(_reasons_not_to_compare(runs, names)))


def load_runs(folders: Sequence[str | Path]) -> list[RunResults]:
    """Read the results of runs that predict classes.

    Raises:
        InputError: `folders` is empty, or one is not a run folder, or its head predicts a number.
    """
    if not folders:
        raise InputError("expected at least one run folder to compare, found none")
    runs = [RunResults.load(folder) for folder in folders]
    for run in runs:
        if not run.labels:
            raise InputError(f"expected runs that answer with emotions, but {run.run.folder} answers with a number")
    return runs


def run_names(runs: Sequence[RunResults]) -> list[str]:
    """Return the names of the run folders, or their paths where two names are the same."""
    names = [run.name for run in runs]
    return names if len(set(names)) == len(names) else [str(run.run.folder) for run in runs]


def _run_figures(run: RunResults) -> dict[str, Any]:
    """Return the columns of the table that describe one run and its figures."""
    test = run.metrics["test"]
    test_corpora = {name.partition("/")[0] for name in run.tested["utterance_id"]}
    low, high = test.get("ci95", {}).get("uar") or (None, None)
    return {
        "corpora": " + ".join(run.chosen_corpora or sorted(test_corpora)),
        "encoder": run.run.spec.model,
        "head": run.run.config.head,
        "layer": run.run.config.variant,
        "personalized": bool(run.run.config.personalized),
        "protocol": run.metrics["protocol"],
        "speaker_disjoint": bool(run.metrics["speaker_disjoint"]),
        "n_test": len(run.tested),
        "accuracy": test["accuracy"],
        "uar": test["uar"],
        "uar_low": low,
        "uar_high": high,
        "macro_f1": test.get("macro_f1"),
    }


def _difference_to_best(best: RunResults, run: RunResults) -> dict[str, Any]:
    """Return the columns of the table that compare one run with the best; None for the best itself."""
    paired = None if run is best else paired_difference(run.tested, best.tested)
    return {
        "difference": paired and paired.uar,
        "difference_low": paired and paired.low,
        "difference_high": paired and paired.high,
        "p_value": paired and paired.p_value,
        "shared_clips": paired and paired.num_clips,
    }


def _reasons_not_to_compare(runs: Sequence[RunResults], names: Sequence[str]) -> Iterator[str]:
    """Yield each reason why the figures of these runs cannot be compared directly."""
    test_clips = {name: frozenset(run.tested["utterance_id"]) for name, run in zip(names, runs, strict=True)}
    if len(set(test_clips.values())) > 1:
        num_shared = len(frozenset.intersection(*test_clips.values()))
        sizes = ", ".join(f"{name}: {len(ids)}" for name, ids in test_clips.items())
        yield f"the runs were tested on different clips ({sizes}; in all of them: {num_shared})"
    for key, description in _HAS_TO_AGREE.items():
        yield from disagreement(names, [run.metrics[key] for run in runs], description)
    yield from disagreement(
        names,
        [any(run.run.corpora.values()) for run in runs],
        "whether a corpus was measured on test clips, without labels",
    )


def disagreement(names: Sequence[str], values: Sequence[Any], description: str) -> Iterator[str]:
    """Yield one sentence that lists the runs by value, if not all have the same value.

    Args:
        names: names of the runs.
        values: value of each run.
        description: what the values are.

    >>> list(disagreement(["a", "b"], ["loso", "random"], "protocol"))
    ['the runs differ in protocol (loso: a; random: b)']
    """
    names_by_value: dict[str, list[str]] = {}
    for name, value in zip(names, values, strict=True):
        names_by_value.setdefault(_value_text(value), []).append(name)
    if len(names_by_value) > 1:
        groups = "; ".join(f"{value}: {', '.join(group)}" for value, group in names_by_value.items())
        yield f"the runs differ in {description} ({groups})"


def _value_text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(value) if isinstance(value, list) else str(value)


def _text_cells(row: dict[str, Any]) -> tuple[str, ...]:
    """Return one run's cells of the text table, in the order of `_COLUMNS`."""
    return (
        row["run"],
        row["corpora"],
        row["encoder"],
        f"{row['head']} ({row['layer']})",
        "yes" if row["personalized"] else "no",
        row["protocol"],
        "yes" if row["speaker_disjoint"] else "NO",
        str(row["n_test"]),
        decimal(row["accuracy"]),
        decimal(row["uar"]) + bracketed(row["uar_low"], row["uar_high"], decimal),
        decimal(row["macro_f1"]),
        signed(row["difference"]) + bracketed(row["difference_low"], row["difference_high"], signed),
        p_value(row["p_value"]),
    )


def bracketed(low: float | None, high: float | None, write: Callable[[float], str]) -> str:
    """Format an interval that follows a figure.

    Args:
        low: lower end.
        high: upper end.
        write: formats one end.

    Returns:
        " [low, high]", or "" if an end is not known.

    >>> bracketed(0.5, 0.75, decimal)
    ' [0.500, 0.750]'
    """
    return "" if low is None or high is None else f" [{write(low)}, {write(high)}]"
