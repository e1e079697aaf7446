"""The training log: `log.csv`, a row for every twenty steps or so, and for every validation."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ser_embed.files import atomic_write
from ser_embed.pretraining.targets import Target, shares

FILE = "log.csv"
EVERY = 20  # steps averaged in one row


@dataclasses.dataclass(frozen=True)
class Validation:
    """How well held-out clips are predicted; NaN where nothing is.

    Attributes:
        loss: cross-entropy at hidden frames of each label set, float64 (sets,).
        accuracy: share of hidden frames named right, float64 (sets,).
        error: squared error of a standardised functional, of crops heard whole.
    """

    loss: np.ndarray
    accuracy: np.ndarray
    error: float


class Log:
    """What came of the steps so far.

    Attributes:
        folder: where `log.csv` is written.
        rows: one per row of the table: step, epoch, learning_rate, loss, seconds_per_step, and after a validation
            validation_loss and validation_accuracy, of all label sets, weighed as in the loss, and of each, and
            validation_error of the functionals.
    """

    def __init__(self, folder: Path, targets: Sequence[Target]) -> None:
        """Make a log of a training on these label sets."""
        self.folder = folder
        self.rows: list[dict[str, Any]] = []
        self._targets = targets
        self._steps: list[dict[str, float]] = []

    def begin(self, step: int) -> None:
        """Take over the rows of an earlier process up to a step."""
        path = self.folder / FILE
        if step and path.is_file():
            table = pd.read_csv(path)
            self.rows = table[table["step"] <= step].to_dict("records")  # type: ignore[assignment]

    def add(self, step: int, epoch: float, rate: float, loss: float, seconds: float) -> None:
        """Note one step."""
        now = {"step": step, "epoch": epoch, "learning_rate": rate, "loss": loss, "seconds_per_step": seconds}
        self._steps.append(now)
        if len(self._steps) == EVERY:
            self._end_row()

    def validated(self, found: Validation) -> None:
        """Note a validation after the last step."""
        self._end_row()
        counts = shares(self._targets)
        figures = {
            "validation_loss": float(found.loss @ counts),
            "validation_accuracy": float(found.accuracy @ counts),
            "validation_error": found.error,
        }
        for target, each_loss, each_accuracy in zip(self._targets, found.loss, found.accuracy, strict=True):
            figures[f"validation_loss {target}"] = float(each_loss)
            figures[f"validation_accuracy {target}"] = float(each_accuracy)
        self.rows[-1].update(figures)

    def write(self) -> None:
        """Write `log.csv`."""
        self._end_row()
        with atomic_write(self.folder / FILE) as draft:
            pd.DataFrame(self.rows).to_csv(draft, index=False)

    def _end_row(self) -> None:
        if self._steps:
            means = {
                name: float(np.mean([step[name] for step in self._steps])) for name in ("loss", "seconds_per_step")
            }
            self.rows.append({**self._steps[-1], **means})
            self._steps = []
