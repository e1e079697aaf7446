"""Runs laid side by side: the table, what stands in the way of comparing them, and the files it can be written to."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ser_embed.errors import InputError
from ser_head.evaluation.significance import paired_difference
from ser_head.reporting.text import aligned, decimal, p_value, signed
from ser_head.runs.results import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = (
    "run", "corpora", "encoder", "head", "personalised", "protocol", "disjoint", "n_test", "accuracy",
    "UAR [95 %]", "macro-F1", "difference [95 %]", "p",
)  # fmt: skip
# What of metrics.json has to be the same for figures to be compared.
_HAS_TO_AGREE = {
    "protocol": "protocol",
    "speaker_disjoint": "whether test speakers were kept out of training",
    "labels": "classes",
}


@dataclass(frozen=True)
class Comparison:
    """Runs side by side, best UAR first.

    Attributes:
        table: one row per run: run, corpora, encoder, head, layer, personalized, protocol, speaker_disjoint, n_test,
            accuracy, uar, uar_low, uar_high, macro_f1; then, against the run in the first row and on the clips both
            were tested on, difference, difference_low, difference_high, p_value, shared_clips. What is unknown is None.
        warnings: why the figures should not be compared directly, if they should not.
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
        """Return the table for people, in aligned columns."""
        return aligned([_COLUMNS, *(_cells(row) for row in self.rows())], markdown=markdown)

    def chart(self) -> "Figure":
        """Draw the UAR of each run."""
        from ser_head.reporting.plots.bars import run_bars

        columns = (self.table[name].to_numpy(float) for name in ("uar", "uar_low", "uar_high"))
        return run_bars(self.table["run"].tolist(), *columns)

    def page(self) -> str:
        """Return the comparison as an html page."""
        from ser_head.reporting.html import render_page
        from ser_head.reporting.plots.style import picture

        chart = picture(self.chart(), "UAR of each run with its 95 % interval, best first")
        return render_page("compare.html.j2", rows=self.rows(), warnings=self.warnings, chart=chart)


def compare_runs(folders: Sequence[str | Path]) -> Comparison:
    """Lay runs side by side.

    Args:
        folders: the run folders.

    Raises:
        InputError: none was given, or one is not a run folder.
    """
    runs = sorted(load_runs(folders), key=lambda run: -run.metrics["test"]["uar"])
    names = run_names(runs)
    rows = [{"run": name, **_figures(run), **_against(runs[0], run)} for name, run in zip(names, runs, strict=True)]
    table = pd.DataFrame(rows).astype(object)
    return Comparison(table.where(table.notna(), None), tuple(_obstacles(runs, names)))


def load_runs(folders: Sequence[str | Path]) -> list[Results]:
    """Read runs that answer with classes.

    Raises:
        InputError: none was given, or one is not a run folder, or answers with a number.
    """
    if not folders:
        raise InputError("expected at least one run folder to compare, found none")
    runs = [Results.load(folder) for folder in folders]
    for run in runs:
        if not run.labels:
            raise InputError(f"expected runs that answer with emotions, but {run.run.folder} answers with a number")
    return runs


def run_names(runs: Sequence[Results]) -> list[str]:
    """Return the folders' names, or their paths where two names are the same."""
    names = [run.name for run in runs]
    return names if len(set(names)) == len(names) else [str(run.run.folder) for run in runs]


def _figures(run: Results) -> dict[str, Any]:
    test = run.metrics["test"]
    tested = {name.partition("/")[0] for name in run.tested["utterance_id"]}
    low, high = test.get("ci95", {}).get("uar") or (None, None)
    return {
        "corpora": " + ".join(run.chosen_corpora or sorted(tested)),
        "encoder": run.run.spec.model,
        "head": run.run.config.head,
        "layer": run.run.config.layer,
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


def _against(best: Results, run: Results) -> dict[str, Any]:
    found = None if run is best else paired_difference(run.tested, best.tested)
    return {
        "difference": found and found.uar,
        "difference_low": found and found.low,
        "difference_high": found and found.high,
        "p_value": found and found.p_value,
        "shared_clips": found and found.num_clips,
    }


def _obstacles(runs: Sequence[Results], names: Sequence[str]) -> Iterator[str]:
    """Yield each reason for which the figures of these runs cannot be compared directly."""
    clips = {name: frozenset(run.tested["utterance_id"]) for name, run in zip(names, runs, strict=True)}
    if len(set(clips.values())) > 1:
        shared = len(frozenset.intersection(*clips.values()))
        sizes = ", ".join(f"{name}: {len(ids)}" for name, ids in clips.items())
        yield f"the runs were tested on different clips ({sizes}; in all of them: {shared})"
    for key, what in _HAS_TO_AGREE.items():
        yield from disagreement(names, [run.metrics[key] for run in runs], what)
    yield from disagreement(
        names,
        [any(run.run.corpora.values()) for run in runs],
        "whether a corpus was measured on test clips, without labels",
    )


def disagreement(names: Sequence[str], values: Sequence[Any], what: str) -> Iterator[str]:
    """Yield a sentence that says which runs have which value, if they have not all the same."""
    having: dict[str, list[str]] = {}
    for name, value in zip(names, values, strict=True):
        having.setdefault(_in_words(value), []).append(name)
    if len(having) > 1:
        groups = "; ".join(f"{value}: {', '.join(group)}" for value, group in having.items())
        yield f"the runs differ in {what} ({groups})"


def _in_words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(value) if isinstance(value, list) else str(value)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
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
    """Return an interval to stand behind a figure, or nothing if it is not known."""
    return "" if low is None or high is None else f" [{write(low)}, {write(high)}]"
