"""Trainers: the interface that every way of training a head offers."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ser_head.config.experiment import ExperimentConfig
from ser_head.training.fold import Fold


@dataclass(frozen=True)
class FitResult:
    """Outcome of training a head on one fold.

    Attributes:
        history: one row per epoch: epoch, loss, accuracy, val_loss, val_accuracy. Losses are weighted by class. Empty
            for a head that is not trained in epochs.
        best_epoch: the epoch with the lowest validation loss; the first is 1, None without epochs.
        candidates: one row per candidate of a search; see `ser_head.training.search`.
    """

    history: list[dict[str, float]]
    best_epoch: int | None
    candidates: list[dict[str, Any]] = field(default_factory=list)


class Trainer(Protocol):
    """Trains the folds of a run, one after another."""

    @property
    def config(self) -> ExperimentConfig:
        """The run's, or the one that a search chose for the fold trained last."""

    def fit(self, fold: Fold, on_epoch: Callable[[], object]) -> FitResult:
        """Train a fold from the start; validation clips choose the epoch, and are not learned from."""

    def refit(self, fold: Fold, result: FitResult, on_epoch: Callable[[], object]) -> None:
        """Train again from the start, as `fit` chose, on training and validation clips."""

    def predict(self, inputs: list[np.ndarray]) -> np.ndarray:
        """Return the probabilities of the fold trained last, float32 (clips, classes)."""

    def save(self, folder: Path, fold: Fold, temperature: float) -> str:
        """Write the head trained last into `folder`; return its file's name."""

    def layer_weights(self) -> list[float] | None:
        """Return the weight of each encoder layer, where they are learned; else None."""
