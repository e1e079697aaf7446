"""Trainers: the interface that every way of training a head offers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ser_embed.tracking.base import CurvePoint
from ser_head.config.experiment import ExperimentConfig
from ser_head.training.fold import Fold

OnEpoch = Callable[[Mapping[str, float]], object]
"""Called after each epoch, with its row of the history; an empty one where the epoch has none, as in a second training
with validation clips."""


@dataclass(frozen=True)
class EpochRow:
    """One epoch of a fold, as it ends.

    Attributes:
        fold: number of the fold.
        seed: of its random choices.
        figures: its row of the history; in a search, with the number of the candidate. Empty where it has none.
    """

    fold: int
    seed: int
    figures: Mapping[str, float]

    def curve_point(self, num_seeds: int) -> CurvePoint:
        """Return the epoch as a point of the curves of its fold; of several seeds, and candidates, each has its own.

        >>> EpochRow(2, 0, {"epoch": 1, "loss": 0.7}).curve_point(1)
        CurvePoint(series='fold_2', axis='epoch', step=1, values={'loss': 0.7})
        """
        figures = dict(self.figures)
        candidate = figures.pop("candidate", None)
        parts = [
            *([f"seed_{self.seed}"] if num_seeds > 1 else []),
            f"fold_{self.fold}",
            *([] if candidate is None else [f"candidate_{candidate}"]),
        ]
        return CurvePoint("/".join(parts), "epoch", int(figures.pop("epoch", 0)), figures)


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

    def fit(self, fold: Fold, on_epoch: OnEpoch) -> FitResult:
        """Train a fold from the start; validation clips choose the epoch, and are not learned from."""

    def refit(self, fold: Fold, result: FitResult, on_epoch: OnEpoch) -> None:
        """Train again from the start, as `fit` chose, on training and validation clips."""

    def predict(self, inputs: list[np.ndarray]) -> np.ndarray:
        """Return the probabilities of the fold trained last, float32 (clips, classes)."""

    def save(self, folder: Path, fold: Fold, temperature: float) -> str:
        """Write the head trained last into `folder`; return its file's name."""

    def layer_weights(self) -> list[float] | None:
        """Return the weight of each encoder layer, where they are learned; else None."""
