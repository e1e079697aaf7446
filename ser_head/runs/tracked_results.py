"""Tracked results: what trackers get of a finished run, taken from metrics.json."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ser_embed.reading import read_json
from ser_embed.tracking.base import TrackedResults, TrackedTable

REPORT_FILE = "report.html"


def tracked_results(run: Path) -> TrackedResults:
    """Return the figures, tables and report of a finished run.

    Figures are those of test and validation clips, and of the test clips under each condition, with the intervals of
    the former; tables are the figures of each class, and the confusion matrix.
    """
    metrics = read_json(run / "metrics.json")
    figures = {f"test/{name}": value for name, value in _numbers(metrics["test"])}
    figures |= {f"validation/{name}": value for name, value in _numbers(metrics["validation"])}
    for condition, values in metrics["conditions"].items():
        figures |= {f"conditions/{condition}/{name}": value for name, value in _numbers(values)}
    return TrackedResults(figures, _tables(metrics), [run / REPORT_FILE])


def _numbers(figures: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield the single numbers of a set of figures, the ends of their intervals, and those of its classes."""
    for name, value in figures.items():
        if isinstance(value, (int, float)):
            yield name, value
    for name, interval in figures["ci95"].items():
        if interval:
            yield from ((f"ci95/{name}/{end}", value) for end, value in zip(("low", "high"), interval, strict=True))
    for label, values in figures.get("per_class", {}).items():
        yield from ((f"per_class/{label}/{name}", value) for name, value in values.items() if value is not None)


def _tables(metrics: Mapping[str, Any]) -> dict[str, TrackedTable]:
    """Return the tables of the test clips; a run that predicts numbers has none."""
    test, labels = metrics["test"], metrics["labels"]
    if not labels:
        return {}
    columns = list(test["per_class"][labels[0]])
    per_class = [[label, *(test["per_class"][label][column] for column in columns)] for label in labels]
    confusion = [[label, *counts] for label, counts in zip(labels, test["confusion"], strict=True)]
    return {
        "test/per_class": TrackedTable(["label", *columns], per_class),
        "test/confusion": TrackedTable(["label", *(f"predicted {label}" for label in labels)], confusion),
    }
