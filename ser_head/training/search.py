"""A random search over the settings of a network (Bergstra and Bengio, 2012), by validation clips alone: `--search N`.

In every fold N candidates are trained, the settings as given first, and the fold goes on with the one whose log-loss
on the validation clips is lowest. It moves with every clip's probability, where UAR on the validation clips of a fold
moves in steps that are mostly chance; it weighs classes as the training does; and it is taken at the temperature that
the head will be given, so that smoothed labels are not blamed for modest probabilities.

Each fold chooses for itself. With kfold and loso the validation clips of a fold are test clips of another, so settings
chosen by the mean over folds would have seen the label of every clip they are scored on. That mean, in search.csv, is
what to look for better defaults by; figures of the same corpus would then flatter them.

Columns of search.csv: fold, candidate (the first is 1), what is searched, epoch (the best), log_loss and uar of the
validation clips, chosen.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np

from ser_head.config import TrainConfig
from ser_head.data.dataset import Dataset
from ser_head.heads.registry import HEADS
from ser_head.scoring.temperature import SMALLEST_PROBABILITY, apply_temperature, fit_temperature
from ser_head.training.fold import FitResult, Fold, Trainer
from ser_head.training.inputs import InputBuilder, validation_inputs

_JUDGING = 2  # what a fold's generator is asked for: the same enrolments for every candidate


class Distribution(Protocol):
    """What a setting is drawn from."""

    def draw(self, random: np.random.Generator) -> Any:
        """Draw one value."""


@dataclass(frozen=True)
class Uniform:
    """Every value between two bounds is equally likely."""

    low: float
    high: float

    def draw(self, random: np.random.Generator) -> float:
        """Draw one value."""
        return _readable(random.uniform(self.low, self.high))


@dataclass(frozen=True)
class LogUniform:
    """Every order of magnitude between two bounds above 0 is equally likely."""

    low: float
    high: float

    def draw(self, random: np.random.Generator) -> float:
        """Draw one value."""
        return _readable(np.exp(random.uniform(np.log(self.low), np.log(self.high))))


@dataclass(frozen=True)
class OneOf:
    """Each of a few values is equally likely."""

    values: Sequence[Any]

    def draw(self, random: np.random.Generator) -> Any:
        """Draw one value."""
        return self.values[int(random.integers(len(self.values)))]


# `balance` is not searched: it says which classes count, so it is part of the question. Nor is `epochs`: the validation
# clips choose the best of them anyway.
SPACE: Mapping[str, Distribution] = MappingProxyType(
    {
        # Adam learns little in some 600 steps below this, and batch normalisation hides what it breaks above.
        "learning_rate": LogUniform(2e-4, 5e-3),
        # Few clips want most units left out; hundreds of thousands none.
        "dropout": Uniform(0.0, 0.7),
        # The decay per step is this times the learning rate: at 0.0011 from next to none to a half-life of 60 steps.
        "weight_decay": LogUniform(0.01, 10.0),
        # In deviations of the standardised vectors; at 1 half of what is heard is noise.
        "noise": Uniform(0.0, 1.0),
        # 0.1 is customary (Szegedy et al., 2016); above 0.2 labels say little where classes are six to eight.
        "label_smoothing": Uniform(0.0, 0.2),
        # Small batches regularise. Few clips get as many steps of any, unless --epochs says otherwise.
        "batch_size": OneOf((32, 64, 150, 300)),
    }
)


class SearchTrainer:
    """Trains every candidate on a fold and is the best of them from then on.

    Attributes:
        config: those of the best candidate of the last fold.
    """

    def __init__(self, data: Dataset, config: TrainConfig, make: Callable[[TrainConfig], Trainer]) -> None:
        """Make a trainer for each candidate.

        Args:
            data: the clips of all folds.
            config: the run's.
            make: makes a trainer of settings that search for nothing.
        """
        self._data = data
        self._candidates = [make(each) for each in candidates(config)]
        self._use(self._candidates[0])

    def fit(self, fold: Fold, on_epoch: Callable[[], object]) -> FitResult:
        """Train all candidates; return what training gave the best, the first of equals."""
        builders = validation_inputs(self._data, fold, fold.personalizer, fold.random(_JUDGING))
        fits, rows = [], []
        for number, each in enumerate(self._candidates, start=1):
            fits.append(each.fit(fold, on_epoch))
            figures = self._judge(each, fold, builders)
            rows.append({"candidate": number, **searched(each.config), "epoch": fits[-1].best_epoch, **figures})
        best = min(range(len(rows)), key=lambda place: rows[place]["log_loss"])
        self._use(self._candidates[best])
        return replace(fits[best], tried=[{**row, "chosen": place == best} for place, row in enumerate(rows)])

    def refit(self, fold: Fold, fitted: FitResult, on_epoch: Callable[[], object]) -> None:
        """Train the best candidate again on training and validation clips."""
        self._best.refit(fold, fitted, on_epoch)

    def predict(self, inputs: list[np.ndarray]) -> np.ndarray:
        """Return the best candidate's probabilities, float32 (clips, classes)."""
        return self._best.predict(inputs)

    def save(self, folder: Path, fold: Fold, temperature: float) -> str:
        """Write the best candidate's head into `folder`; return the file's name."""
        return self._best.save(folder, fold, temperature)

    def layer_weights(self) -> list[float] | None:
        """Return the best candidate's weight of each layer, where they are learned."""
        return self._best.layer_weights()

    def _judge(self, trainer: Trainer, fold: Fold, builders: Sequence[InputBuilder]) -> dict[str, float]:
        """Return log-loss and UAR of the validation clips, over what may be known of their speakers."""
        clips = fold.split.validation
        probabilities = np.concatenate([builder.answers(trainer.predict, clips) for builder in builders])
        targets = np.tile(self._data.targets[clips], len(builders))
        tempered = apply_temperature(probabilities, fit_temperature(probabilities, targets))
        losses = -np.log(np.maximum(tempered[np.arange(len(targets)), targets], SMALLEST_PROBABILITY))
        right = probabilities.argmax(axis=1) == targets
        return {
            "log_loss": float(np.average(losses, weights=fold.weights[targets])),
            "uar": float(np.mean([right[targets == target].mean() for target in np.unique(targets)])),
        }

    def _use(self, best: Trainer) -> None:
        self._best, self.config = best, best.config


def candidates(config: TrainConfig) -> list[TrainConfig]:
    """Return the settings to try: those given, then random ones, of which a longer search has the same and more.

    Args:
        config: the run's; its seed draws, and its `search` says how many.
    """
    random = np.random.default_rng([config.seed, 0, 1])  # folds count from 1: these numbers are nobody else's
    given = replace(config, search=0)
    space = _space(config.head)
    drawn = (
        replace(given, **{name: values.draw(random) for name, values in space.items()})
        for _ in range(config.search - 1)
    )
    return [given, *drawn]


def searched(config: TrainConfig) -> dict[str, Any]:
    """Return what a search varies, of these settings."""
    return {name: getattr(config, name) for name in _space(config.head)}


def _space(head: str) -> dict[str, Distribution]:
    """Return the part of the space that a network uses: without hidden layers there is nothing to leave out."""
    return {name: values for name, values in SPACE.items() if name != "dropout" or HEADS[head].hidden}


def _readable(value: float) -> float:
    """Return a value to three digits: finer differences mean nothing, and it can be typed again."""
    return float(f"{value:.3g}")
