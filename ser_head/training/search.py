"""Random search over the settings of a network (Bergstra and Bengio, 2012), by validation clips alone: `--search N`.

In every fold N candidates are trained, the config as given first, and the fold goes on with the candidate whose
log-loss on the validation clips is lowest. Log-loss moves with every clip's probability, where UAR on the validation
clips of a fold moves in steps that are mostly chance; it weighs classes as the training does; and it is taken at the
fitted temperature, so that smoothed labels are not blamed for modest probabilities.

Each fold chooses for itself. With kfold and loso the validation clips of a fold are test clips of another, so settings
chosen by the mean over folds would have seen the label of every clip they are scored on. That mean, in search.csv, is
what to look for better defaults by; figures of the same corpus would then flatter them.

Columns of search.csv: fold, candidate (the first is 1), one per searched setting, epoch (the best), log_loss and uar of
the validation clips, chosen.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from ser_head.config.experiment import ExperimentConfig
from ser_head.data.dataset import Dataset
from ser_head.evaluation.recall import unweighted_average_recall
from ser_head.heads.registry import HEADS
from ser_head.scoring.temperature import SMALLEST_PROBABILITY, apply_temperature, fit_temperature
from ser_head.training.base import FitResult, OnEpoch, Trainer
from ser_head.training.fold import Fold
from ser_head.training.inputs import InputBuilder, validation_inputs

_JUDGING = 2  # purpose of the fold's generator: the same enrolments for every candidate
# What each setting is drawn from: bounds of a uniform or log-uniform distribution, or a list of values. `balance` is
# not searched: it says which classes count, so it is part of the question. Nor is `epochs`: the validation clips choose
# the best of them anyway.
SPACE: Mapping[str, Any] = MappingProxyType(
    {
        # Adam learns little in some 600 steps below this, and batch normalisation hides what it breaks above.
        "learning_rate": ("log-uniform", 2e-4, 5e-3),
        # Few clips want most units left out; hundreds of thousands none.
        "dropout": ("uniform", 0.0, 0.7),
        # The decay per step is this times the learning rate: at 0.0011 from next to none to a half-life of 60 steps.
        "weight_decay": ("log-uniform", 0.01, 10.0),
        # In deviations of the standardised vectors; at 1 half of the input is noise.
        "noise": ("uniform", 0.0, 1.0),
        # 0.1 is customary (Szegedy et al., 2016); above 0.2 labels say little where classes are six to eight.
        "label_smoothing": ("uniform", 0.0, 0.2),
        # Small batches regularise. Few clips get as many steps of any, unless --epochs says otherwise.
        "batch_size": [32, 64, 150, 300],
    }
)


class SearchTrainer:
    """Trains every candidate on a fold, and from then on is the best of them.

    Attributes:
        config: that of the best candidate of the last fold.
    """

    def __init__(self, data: Dataset, config: ExperimentConfig, make: Callable[[ExperimentConfig], Trainer]) -> None:
        """Make a trainer for each candidate.

        Args:
            data: the clips of all folds.
            config: the run's.
            make: makes a trainer of a config that does not search.
        """
        self._data = data
        self._trainers = [make(candidate) for candidate in candidates(config)]
        self._use(self._trainers[0])

    def fit(self, fold: Fold, on_epoch: OnEpoch) -> FitResult:
        """Train all candidates; return the outcome of the best, the first of equals."""
        builders = validation_inputs(self._data, fold, fold.personalizer, fold.generator(_JUDGING))
        results, rows = [], []
        for number, trainer in enumerate(self._trainers, start=1):
            results.append(trainer.fit(fold, partial(_pass_on, on_epoch, number)))
            figures = self._judge(trainer, fold, builders)
            settings = searched_settings(trainer.config)
            rows.append({"candidate": number, **settings, "epoch": results[-1].best_epoch, **figures})
        best = min(range(len(rows)), key=lambda index: rows[index]["log_loss"])
        self._use(self._trainers[best])
        table = [{**row, "chosen": index == best} for index, row in enumerate(rows)]
        return replace(results[best], candidates=table)

    def refit(self, fold: Fold, result: FitResult, on_epoch: OnEpoch) -> None:
        """Train the best candidate again on training and validation clips."""
        self._best.refit(fold, result, on_epoch)

    def predict(self, inputs: list[np.ndarray]) -> np.ndarray:
        """Return the best candidate's probabilities, float32 (clips, classes)."""
        return self._best.predict(inputs)

    def save(self, folder: Path, fold: Fold, temperature: float) -> str:
        """Write the best candidate's head into `folder`; return the file's name."""
        return self._best.save(folder, fold, temperature)

    def layer_weights(self) -> list[float] | None:
        """Return the best candidate's weight of each encoder layer, where they are learned."""
        return self._best.layer_weights()

    def _judge(self, trainer: Trainer, fold: Fold, builders: Sequence[InputBuilder]) -> dict[str, float]:
        """Return log-loss and UAR of the validation clips, over all enrolment sizes."""
        clips = fold.split.validation
        probabilities = np.concatenate([builder.outputs(trainer.predict, clips) for builder in builders])
        targets = np.tile(self._data.targets[clips], len(builders))
        calibrated = apply_temperature(probabilities, fit_temperature(probabilities, targets))
        losses = -np.log(np.maximum(calibrated[np.arange(len(targets)), targets], SMALLEST_PROBABILITY))
        return {
            "log_loss": float(np.average(losses, weights=fold.class_weights[targets])),
            "uar": unweighted_average_recall(targets, probabilities.argmax(axis=1)),
        }

    def _use(self, best: Trainer) -> None:
        self._best, self.config = best, best.config


def candidates(config: ExperimentConfig) -> list[ExperimentConfig]:
    """Return the configs to try: the one given, then random ones; a longer search tries the same ones and more.

    Args:
        config: the run's; its seed draws, and its `search` is their number.
    """
    if not config.search:
        return [config]
    first = config.replaced(search=0)
    if config.search < 2:
        return [first]
    from sklearn.model_selection import ParameterSampler

    # Folds count from 1, so no fold draws from this sequence.
    sequence = np.random.SeedSequence([config.seed, 0, 1])
    random = np.random.RandomState(np.random.MT19937(sequence))
    space = {name: _distribution(values) for name, values in _space(config.head).items()}
    drawn = ParameterSampler(space, config.search - 1, random_state=random)
    return [first, *(first.replaced(**{name: _rounded(value) for name, value in draw.items()}) for draw in drawn)]


def searched_settings(config: ExperimentConfig) -> dict[str, Any]:
    """Return the values of the settings that a search varies."""
    return {name: getattr(config, name) for name in _space(config.head)}


def _space(head: str) -> dict[str, Any]:
    """Return the part of the space that a network uses: without hidden layers there is no dropout."""
    hidden = getattr(HEADS[head], "hidden", ())
    return {name: values for name, values in SPACE.items() if name != "dropout" or hidden}


def _pass_on(on_epoch: OnEpoch, candidate: int, figures: Mapping[str, float]) -> None:
    """Call `on_epoch` with the number of the candidate in the row."""
    on_epoch({"candidate": candidate, **figures})


def _distribution(values: Any) -> Any:
    """Return what scikit-learn draws from: a distribution of scipy's, or a list of values."""
    from scipy.stats import loguniform, uniform

    if isinstance(values, list):
        return values
    shape, low, high = values
    return loguniform(low, high) if shape == "log-uniform" else uniform(low, high - low)


def _rounded(value: Any) -> Any:
    """Return a number to three digits: finer differences mean nothing, and it can be typed again."""
    return value if isinstance(value, int) else float(f"{value:.3g}")
