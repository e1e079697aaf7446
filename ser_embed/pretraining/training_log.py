"""Training log: `log.csv`, with a row for about every twenty steps, and for every validation."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ser_embed.files import atomic_write
from ser_embed.pretraining.targets import Target, loss_weights

LOG_FILE = "log.csv"
ROW_STEPS = 20  # steps averaged in one row


@dataclasses.dataclass(frozen=True)
class Validation:
    """Results on held-out clips; NaN where there is nothing to average.

    Attributes:
        loss: cross-entropy at masked frames of each label set, float64 (sets,).
        accuracy: share of masked frames whose label is predicted, of each label set, float64 (sets,).
        error: squared error of a standardised functional, of unmasked crops.
    """

    loss: np.ndarray
    accuracy: np.ndarray
    error: float


class Log:
    """Losses of the steps and validations so far.

    Attributes:
        folder: the folder of `log.csv`.
        rows: the rows of the table: step, epoch, learning_rate, loss, seconds_per_step, and after a validation
            validation_loss and validation_accuracy, of each label set and as a weighted mean of all, with their
            weights in the loss, and validation_error of the functionals.
    """

    def __init__(
        self, folder: Path, targets: Sequence[Target], on_row: Callable[[Mapping[str, Any]], object] = lambda _: None
    ) -> None:
        """Start an empty log.

        Args:
            folder: the folder of `log.csv`.
            targets: the label sets of the training.
            on_row: called with each row as it is made, or read again, and with the columns of each validation.
        """
        self.folder = folder
        self._on_row = on_row
        self.rows: list[dict[str, Any]] = []
        self._targets = targets
        self._steps: list[dict[str, float]] = []  # since the last row

    def resume(self, step: int) -> None:
        """Read the rows that an earlier process wrote up to a step; none for step 0."""
        path = self.folder / LOG_FILE
        if step and path.is_file():
            table = pd.read_csv(path)
            self.rows = table[table["step"] <= step].to_dict("records")  # type: ignore[assignment]
            for row in self.rows:
                self._on_row(row)

    def add_step(self, step: int, epoch: float, rate: float, loss: float, seconds: float) -> None:
        """Add one step.

        Args:
            step: number of steps done.
            epoch: number of epochs done.
            rate: learning rate of the network.
            loss: loss of the batch.
            seconds: duration of the step.
        """
        values = {"step": step, "epoch": epoch, "learning_rate": rate, "loss": loss, "seconds_per_step": seconds}
        self._steps.append(values)
        if len(self._steps) == ROW_STEPS:
            self._end_row()

    def add_validation(self, validation: Validation) -> None:
        """Add a validation after the last step."""
        self._end_row()
        weights = loss_weights(self._targets)
        columns = {
            "validation_loss": float(validation.loss @ weights),
            "validation_accuracy": float(validation.accuracy @ weights),
            "validation_error": validation.error,
        }
        for target, loss, accuracy in zip(self._targets, validation.loss, validation.accuracy, strict=True):
            columns[f"validation_loss {target}"] = float(loss)
            columns[f"validation_accuracy {target}"] = float(accuracy)
        self.rows[-1].update(columns)
        self._on_row({"step": self.rows[-1]["step"], **columns})

    def write(self) -> None:
        """Write `log.csv`."""
        self._end_row()
        with atomic_write(self.folder / LOG_FILE) as draft:
            pd.DataFrame(self.rows).to_csv(draft, index=False)

    def _end_row(self) -> None:
        """Average the steps since the last row into a new one."""
        if self._steps:
            means = {
                name: float(np.mean([step[name] for step in self._steps])) for name in ("loss", "seconds_per_step")
            }
            self.rows.append({**self._steps[-1], **means})
            self._on_row(self.rows[-1])
            self._steps = []
