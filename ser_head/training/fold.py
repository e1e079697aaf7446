"""A fold: the clips of a split with what is measured on them, and how heads are given them."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ser_embed.errors import InputError
from ser_head.config import TrainConfig
from ser_head.data.dataset import Dataset
from ser_head.data.power_transform import YeoJohnson, fit_yeo_johnson
from ser_head.data.scaling import Alignment, fit_alignment
from ser_head.data.splits import Split
from ser_head.personalization.methods import Personalizer, TrainingSpeakers, parse_methods
from ser_head.personalization.output_adaptation import moments

_MEASURED_FOR_POWER = 1000  # clips; 25 layers of 1024 numbers take as many some seconds


@dataclass(frozen=True)
class Fold:
    """A split with what is measured on its training clips alone, but for corpora that have none.

    Attributes:
        split: the clips.
        scaling: mean and variance of the training vectors, or of each corpus; see `ser_head.data.scaling`.
        weights: weight of each class in the loss, float32 (classes,).
        personalizer: what is made of speakers.
        seen: what is made of training clips: that, and where settings augment, speakers normalised as if enrolled.
        power: what bends the vectors after that, or None.
        numbers: mean and deviation of the training clips' numbers, where a number is learned.
        seed: with the number of the fold, what every random choice comes from.
    """

    split: Split
    scaling: Alignment
    weights: np.ndarray
    personalizer: Personalizer
    seen: Personalizer
    power: YeoJohnson | None
    numbers: tuple[float, float] | None
    seed: int

    def random(self, *purpose: int) -> np.random.Generator:
        """Return a new generator of this fold's own; for the same purpose it draws the same."""
        return np.random.default_rng([self.seed, self.split.fold, *purpose])


@dataclass(frozen=True)
class FitResult:
    """What training a fold gave.

    Attributes:
        history: one row per epoch: epoch, loss, accuracy, val_loss, val_accuracy. Losses are weighted by class. Empty
            for a head that is not trained in epochs.
        best_epoch: the epoch with the lowest validation loss; the first is 1, None without epochs.
        tried: one row per candidate of a search: see `ser_head.training.search`.
    """

    history: list[dict[str, float]]
    best_epoch: int | None
    tried: list[dict[str, Any]] = field(default_factory=list)


class Trainer(Protocol):
    """Trains one fold after another; see `ser_head.training.keras_trainer`, `ser_head.training.sklearn_trainer`, `ser_head.training.search`."""

    config: TrainConfig

    def fit(self, fold: Fold, on_epoch: Callable[[], object]) -> FitResult:
        """Train a fold from the start; validation clips choose, and are not learned from."""

    def refit(self, fold: Fold, fitted: FitResult, on_epoch: Callable[[], object]) -> None:
        """Train again from the start, as was chosen, on training and validation clips."""

    def predict(self, inputs: list[np.ndarray]) -> np.ndarray:
        """Return the probabilities of the fold last trained, float32 (clips, classes)."""

    def save(self, folder: Path, fold: Fold, temperature: float) -> str:
        """Write the head last trained into `folder`; return its file's name."""

    def layer_weights(self) -> list[float] | None:
        """Return the weight of each layer, where they are learned."""


def prepare_fold(data: Dataset, split: Split, config: TrainConfig, rows: int = 0, seed: int | None = None) -> Fold:
    """Measure scaling, class weights and speakers on the training clips of `split`; it has some of every class.

    Args:
        data: the clips.
        split: how they are parted.
        config: the run's.
        rows: rows of a personalised network's speaker table, where it has more than this fold needs.
        seed: of this fold's random choices; None for the settings'.
    """
    scaling = fit_alignment(data, split, config.normalization)
    counts = np.bincount(data.targets[split.train], minlength=data.desired.shape[1])
    weights = (len(split.train) / (len(counts) * counts)) ** config.balance
    methods = _seen_methods(config)
    training_speakers = _measure_voices(
        data, split.train if methods else split.train[:0], scaling
    )  # frames have no voices
    pretrained = _pretrained(data, scaling) if "papt" in config.personalized else {}
    known = training_speakers if config.personalized else training_speakers.nobody()
    personalizer = Personalizer(config.personalized, known, rows, pretrained)
    seen = Personalizer(methods, training_speakers, rows, pretrained)
    seed = config.seed if seed is None else seed
    power = _measure_power(data, split.train, scaling) if config.power_transformed else None
    return Fold(split, scaling, weights.astype(np.float32), personalizer, seen, power, _numbers(data, split), seed)


def without_personalization(fold: Fold, config: TrainConfig) -> Fold:
    """Return a fold as a head that is not personalised takes it; nothing is measured again.

    Args:
        fold: as a personalised head takes it.
        config: that head's.
    """
    methods = _seen_methods(replace(config, personalized=()))
    training_speakers, nobody = fold.seen.training_speakers, fold.seen.training_speakers.nobody()
    return replace(
        fold,
        personalizer=Personalizer((), nobody),
        seen=Personalizer(methods, training_speakers if methods else nobody),
    )


def learns_the_same(data: Dataset, fold: Fold, config: TrainConfig) -> bool:
    """Tell whether a personalised head and one that is not are the very same network, so that one training serves both.

    Args:
        data: the clips.
        fold: as the personalised head takes it.
        config: that head's.
    """
    # `calibrate` moves answers alone, so nothing of it is learned.
    shown = [set(_seen_methods(each)) - {"calibrate"} for each in (config, replace(config, personalized=()))]
    # Validation speakers who train are known to a personalised head, and may make it choose another epoch.
    heard = np.isin(data.speakers[fold.split.validation], fold.seen.training_speakers.names)
    return shown[0] == shown[1] and not config.search and not heard.any()


def _seen_methods(config: TrainConfig) -> tuple[str, ...]:
    """Return what is made of the speakers of training clips."""
    return parse_methods([*config.personalized, *(["normalize"] if config.augments else [])])


def _numbers(data: Dataset, split: Split) -> tuple[float, float] | None:
    if data.labels:
        return None
    mean, deviation = moments(data.desired[split.train])
    if not deviation:
        raise InputError(f"all training clips of fold {split.fold} have the same number, {mean:g}: nothing to learn")
    return mean, deviation


def _pretrained(data: Dataset, scaling: Alignment) -> dict[str, np.ndarray]:
    """Return e_s of the speakers the encoder's pre-training heard, in standardised space."""
    deviation = np.sqrt(scaling.variance).astype(np.float32)
    return {name: vector / deviation for name, vector in data.speaker_vectors.items()}


def _measure_power(data: Dataset, clips: np.ndarray, scaling: Alignment) -> YeoJohnson:
    """Measure on some clips, spread over all: an exponent needs no more."""
    some = clips[np.linspace(0, len(clips) - 1, min(len(clips), _MEASURED_FOR_POWER)).astype(int)]
    return fit_yeo_johnson(scaling.read(data, some))


def _measure_voices(data: Dataset, clips: np.ndarray, scaling: Alignment) -> TrainingSpeakers:
    names = tuple(sorted(set(data.speakers[clips]) - {""}))
    means = np.zeros((len(names), *data.shape), np.float32)
    variances = np.ones_like(means)
    counts = np.zeros((len(names), data.desired.shape[1]), np.int64)
    numbers = np.zeros((len(names), 2))
    for place, name in enumerate(names):
        own = clips[data.speakers[clips] == name]
        vectors = scaling.read(data, own)
        means[place], variances[place] = vectors.mean(axis=0), vectors.var(axis=0)
        counts[place] = np.bincount(data.targets[own], minlength=data.desired.shape[1])
        numbers[place] = moments(data.desired[own])
    return TrainingSpeakers(names, means, variances, counts, numbers)
