"""Trainer of scikit-learn's heads: per fold, personalised by the same means as networks, then refitted."""

from pathlib import Path

import numpy as np

from ser_head.config.training import TrainConfig
from ser_head.data.dataset import Dataset
from ser_head.heads.registry import HEADS
from ser_head.heads.sklearn_heads import SklearnHead
from ser_head.training.base import FitResult, OnEpoch
from ser_head.training.fold import Fold
from ser_head.training.inputs import training_inputs

HEAD_FILE = "head.skops"
# A network meets a speaker under another enrolment in every epoch; these heads see all clips at once, this often.
COPIES = 4


class SklearnTrainer:
    """Trains a head of scikit-learn's on the clips of one fold after another.

    Attributes:
        config: the run's.
    """

    def __init__(self, data: Dataset, config: TrainConfig) -> None:
        """Take the clips of all folds."""
        self._data = data
        self.config = config
        self._head: SklearnHead

    def fit(self, fold: Fold, on_epoch: OnEpoch) -> FitResult:
        """Learn from the training clips."""
        self._learn(fold, fold.split.train)
        on_epoch({})
        return FitResult([], None)

    def refit(self, fold: Fold, result: FitResult, on_epoch: OnEpoch) -> None:
        """Learn from training and validation clips."""
        self._learn(fold, self._data.with_copies(np.union1d(fold.split.train, fold.split.validation)))

    def predict(self, inputs: list[np.ndarray]) -> np.ndarray:
        """Return probabilities, float32 (clips, classes)."""
        return self._head.probabilities(inputs[0])

    def layer_weights(self) -> None:
        """Return None: these heads take all layers alike."""

    def save(self, folder: Path, fold: Fold, temperature: float) -> str:
        """Write the head into `folder`; return the file's name."""
        self._head.save(folder / HEAD_FILE)
        return HEAD_FILE

    def _learn(self, fold: Fold, clips: np.ndarray) -> None:
        random = fold.generator()
        copies = COPIES if fold.training_personalizer.changes_inputs else 1
        inputs = [training_inputs(self._data, fold, clips, random).inputs(clips)[0] for _ in range(copies)]
        targets = np.tile(self._data.targets[clips], copies)
        self._head = HEADS[self.config.head].build(int(random.integers(2**31)), fold.power_transform)  # type: ignore[attr-defined]
        self._head.fit(np.concatenate(inputs), targets, fold.class_weights)
