"""Fold: the clips of a split with everything that is measured on its training clips."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ser_embed.errors import InputError
from ser_head.config.experiment import ExperimentConfig
from ser_head.data.dataset import Dataset
from ser_head.data.power_transform import YeoJohnson, fit_yeo_johnson
from ser_head.data.scaling import Alignment, fit_alignment
from ser_head.data.splits import Split
from ser_head.personalization.methods import METHODS, parse_methods
from ser_head.personalization.output_adaptation import moments
from ser_head.personalization.personalizer import Personalizer
from ser_head.personalization.speakers import TrainingSpeakers

_AUGMENTATION = "normalize"  # the method by which speakers of training clips are shown as if they were enrolled
_MEASURED_FOR_TRANSFORM = 1000  # clips; 25 layers of 1024 numbers take as many some seconds


@dataclass(frozen=True)
class Fold:
    """A split with what is measured on its training clips alone, except for corpora that have none.

    Attributes:
        split: positions of the training, validation and test clips.
        scaling: mean and variance of the training vectors, or of each corpus; see `ser_head.data.scaling`.
        class_weights: weight of each class in the loss, float32 (classes,), by the clips trained on, copies included.
        personalizer: applies the head's personalisation methods.
        training_personalizer: the same for training clips; where the config augments, their speakers are also
            normalised as if they were enrolled.
        power_transform: makes each dimension of the vectors more normal after scaling, or None.
        numbers: mean and deviation of the training labels, where a number is learned.
        seed: with the fold's number, the source of every random choice.
    """

    split: Split
    scaling: Alignment
    class_weights: np.ndarray
    personalizer: Personalizer
    training_personalizer: Personalizer
    power_transform: YeoJohnson | None
    numbers: tuple[float, float] | None
    seed: int

    def generator(self, *purpose: int) -> np.random.Generator:
        """Return a new random generator of this fold; for the same purpose it draws the same numbers."""
        return np.random.default_rng([self.seed, self.split.fold, *purpose])


def prepare_fold(
    data: Dataset, split: Split, config: ExperimentConfig, table_rows: int = 0, seed: int | None = None
) -> Fold:
    """Measure scaling, class weights and speakers on the training clips of a split; every class has some.

    All but class weights are measured on recordings alone: what is scored later are recordings, and augmented copies
    would shift means and widen deviations.

    Args:
        data: the clips of all folds.
        split: the fold's clips.
        config: the run's.
        table_rows: rows of a personalised network's speaker table, where it has more than this fold needs.
        seed: of this fold's random choices; None for the config's.
    """
    recordings = replace(split, train=data.without_copies(split.train))
    scaling = fit_alignment(data, recordings, config.normalization)
    counts = np.bincount(data.targets[split.train], minlength=data.desired.shape[1])
    class_weights = (len(split.train) / (len(counts) * counts)) ** config.balance
    training_methods = _training_methods(config, config.personalized)
    # Heads on frames know no speakers: they have no methods, and one vector per clip is what these statistics need.
    measured_clips = recordings.train if training_methods else split.train[:0]
    training_speakers = _measure_speakers(data, measured_clips, scaling)
    pretrained = _pretrained_vectors(data, scaling, config)
    known_speakers = training_speakers if config.personalized else training_speakers.without_speakers()
    return Fold(
        split,
        scaling,
        class_weights.astype(np.float32),
        Personalizer(config.personalized, known_speakers, table_rows, pretrained),
        Personalizer(training_methods, training_speakers, table_rows, pretrained),
        _fit_power_transform(data, recordings.train, scaling) if config.power_transformed else None,
        _number_moments(data, recordings),
        config.seed if seed is None else seed,
    )


def without_personalization(fold: Fold, config: ExperimentConfig) -> Fold:
    """Return a fold as a head that is not personalised takes it; nothing is measured again.

    Args:
        fold: as a personalised head takes it.
        config: the personalised head's.
    """
    methods = _training_methods(config, ())
    speakers = fold.training_personalizer.training_speakers
    return replace(
        fold,
        personalizer=Personalizer((), speakers.without_speakers()),
        training_personalizer=Personalizer(methods, speakers if methods else speakers.without_speakers()),
    )


def trains_identically(data: Dataset, fold: Fold, config: ExperimentConfig) -> bool:
    """Tell whether a personalised head and one that is not are the same network, so that one training serves both.

    Args:
        data: the clips of all folds.
        fold: as the personalised head takes it.
        config: the personalised head's.
    """
    methods, plain_methods = (
        {name for name in _training_methods(config, personalized) if METHODS[name].changes_inputs}
        for personalized in (config.personalized, ())
    )
    # Validation speakers who also train are known to a personalised head, which may then choose another epoch.
    validation_speakers = data.speakers[fold.split.validation]
    are_known = np.isin(validation_speakers, fold.training_personalizer.training_speakers.names)
    return methods == plain_methods and not config.search and not are_known.any()


def _training_methods(config: ExperimentConfig, personalized: Sequence[str]) -> tuple[str, ...]:
    """Return the methods that are applied to the speakers of training clips, of a head with some methods of its own."""
    return parse_methods([*personalized, *([_AUGMENTATION] if config.augments else [])])


def _number_moments(data: Dataset, split: Split) -> tuple[float, float] | None:
    if data.labels:
        return None
    mean, deviation = moments(data.desired[split.train])
    if not deviation:
        raise InputError(f"all training clips of fold {split.fold} have the same number, {mean:g}: nothing to learn")
    return mean, deviation


def _pretrained_vectors(data: Dataset, scaling: Alignment, config: ExperimentConfig) -> dict[str, np.ndarray]:
    """Return the speaker vectors of the encoder's pre-training in standardised space, where a method uses them."""
    if not any(METHODS[name].uses_pretraining for name in config.personalized):
        return {}
    deviation = np.sqrt(scaling.variance).astype(np.float32)
    return {name: vector / deviation for name, vector in data.speaker_vectors.items()}


def _fit_power_transform(data: Dataset, clips: np.ndarray, scaling: Alignment) -> YeoJohnson:
    """Fit on some clips, spread evenly over all; an exponent needs no more."""
    positions = np.linspace(0, len(clips) - 1, min(len(clips), _MEASURED_FOR_TRANSFORM)).astype(int)
    return fit_yeo_johnson(scaling.read(data, clips[positions]))


def _measure_speakers(data: Dataset, clips: np.ndarray, scaling: Alignment) -> TrainingSpeakers:
    names = tuple(sorted(set(data.speakers[clips]) - {""}))
    means = np.zeros((len(names), *data.shape), np.float32)
    variances = np.ones_like(means)
    counts = np.zeros((len(names), data.desired.shape[1]), np.int64)
    numbers = np.zeros((len(names), 2))
    for row, name in enumerate(names):
        speaker_clips = clips[data.speakers[clips] == name]
        vectors = scaling.read(data, speaker_clips)
        means[row], variances[row] = vectors.mean(axis=0), vectors.var(axis=0)
        counts[row] = np.bincount(data.targets[speaker_clips], minlength=data.desired.shape[1])
        numbers[row] = moments(data.desired[speaker_clips])
    return TrainingSpeakers(names, means, variances, counts, numbers)
