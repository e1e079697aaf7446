"""Facts of a training that trackers write down, and what a tracker does with them.

A tracker gets plain numbers, tables and files that are written anyway: never audio, and no path to any.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

PROJECT = "twostage-ser"  # project or experiment in which trackers file the runs


@dataclass(frozen=True)
class TrackedRun:
    """One training, as it begins.

    Attributes:
        name: of the run: that of its folder.
        command: the command that trains it, such as "train".
        config: every setting, as plain JSON values.
    """

    name: str
    command: str
    config: Mapping[str, Any]


@dataclass(frozen=True)
class CurvePoint:
    """The values of one epoch, or of one step.

    Attributes:
        series: the training within the run that they belong to, such as "fold_1"; "" where there is but one.
        axis: what is counted, such as "epoch".
        step: its number.
        values: finite numbers by name, such as "val_loss".
    """

    series: str
    axis: str
    step: int
    values: Mapping[str, float]

    def named(self) -> dict[str, float]:
        """Return the values under names that are unique in the run.

        >>> CurvePoint("fold_1", "epoch", 2, {"loss": 0.5}).named()
        {'fold_1/loss': 0.5}
        """
        return {f"{self.series}/{name}" if self.series else name: value for name, value in self.values.items()}


@dataclass(frozen=True)
class TrackedTable:
    """A table of results.

    Attributes:
        columns: headings.
        rows: one value per column each: text, a number or None.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str | float | None]]


@dataclass(frozen=True)
class TrackedResults:
    """What a training came to.

    Attributes:
        figures: finite numbers by name, such as "test/uar".
        tables: by name, such as "test/confusion".
        files: to be kept with the run, such as its report.
    """

    figures: Mapping[str, float]
    tables: Mapping[str, TrackedTable] = field(default_factory=dict)
    files: Sequence[Path] = ()


class Tracker(Protocol):
    """Writes down one run. Whatever it raises ends the tracking, not the training.

    The methods are called one after another, but not all from one thread.
    """

    def log_point(self, point: CurvePoint) -> None:
        """Write the values of one epoch or step at once, so that they can be watched."""

    def log_results(self, results: TrackedResults) -> None:
        """Write what the training came to."""

    def close(self, is_complete: bool) -> None:
        """End the run: complete, or stopped or failed."""


@contextlib.contextmanager
def environment_defaults(**variables: str | Path) -> Iterator[None]:
    """Set, inside the block, those environment variables that the user has not set.

    Tools of tracking are configured by them, so what the user has chosen there is kept.
    """
    missing = {name: str(value) for name, value in variables.items() if name not in os.environ}
    os.environ.update(missing)
    try:
        yield
    finally:
        for name in missing:
            os.environ.pop(name, None)
