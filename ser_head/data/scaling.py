"""Standardisation of vectors: mean and variance per layer and dimension, of all training clips or of each corpus.

    all      one mean and variance, of all training clips
    corpus   the mean and variance of each corpus
    coral    as `corpus`, and the correlations of each corpus are made those of the training clips

A corpus is measured on its training clips alone. One that has none, as in cross:TRAIN:TEST, is measured on its test
clips (those of the emotions that both corpora have), by their vectors and never by their labels. Its figures are
transductive: they hold for a user who has collected many clips of the new corpus, not for one who brings a single clip.
Audio of any other corpus, or of an unknown one, is standardised as with `all`.

CORAL (Sun, Feng and Saenko, "Return of Frustratingly Easy Domain Adaptation", 2016) whitens the training clips and
colours them like the test clips, which makes a head for that one test corpus. Here it goes the other way: every corpus
is whitened and coloured like the training clips. One head then serves them all, and audio of unknown corpora too.

Vectors are float32 (clips, layers, width); frames count as clips. Sums run in float64 over one window of clips at a
time (Chan, Golub and LeVeque, 1983), so that neither the number of clips nor a large mean costs precision or memory.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ser_embed.errors import InputError
from ser_head.data.dataset import Dataset
from ser_head.data.frames import valid_frames
from ser_head.data.splits import Split

# Standard deviations at which heads clip standardised values. Functionals such as eGeMAPS have outliers at 10 and
# above, and an unheard speaker brings new ones: clipping took the validation loss from 0.88 to 0.79 (EmoDB), 1.40 to
# 1.34 (RAVDESS).
OUTLIER = 3.0
# Added to every variance before whitening, which would otherwise amplify directions in which a few clips hardly vary.
# In standardised space it is as much as an average dimension has; the value is the paper's.
RIDGE = 1.0
# A dimension whose deviation is smaller than this share of its mean is constant to the precision of float32; dividing
# by that deviation would only amplify rounding errors.
_SMALLEST_RELATIVE_DEVIATION = 1e-6


@dataclass(frozen=True)
class Scaling:
    """Mean and variance of the training vectors, float64 (layers, width) each; no variance is zero."""

    mean: np.ndarray
    variance: np.ndarray

    def apply(self, vectors: np.ndarray) -> np.ndarray:
        """Return standardised vectors, float32 (clips, layers, width)."""
        return (vectors - self.mean.astype(np.float32)) / np.sqrt(self.variance).astype(np.float32)


@dataclass(frozen=True)
class CorpusScaling(Scaling):
    """Mean and variance of the clips of one corpus.

    Attributes:
        num_clips: number of clips that were measured.
        transductive: whether these are test clips.
        turn: matrix that makes the correlations of standardised vectors those of the training clips, float32 (layers,
            width, width); None to leave the correlations.
    """

    num_clips: int
    transductive: bool
    turn: np.ndarray | None = None

    def apply(self, vectors: np.ndarray) -> np.ndarray:
        """Return standardised vectors, float32 (clips, layers, width)."""
        scaled = super().apply(vectors)
        if self.turn is None:
            return scaled
        return (_clipped(scaled).transpose(1, 0, 2) @ self.turn).transpose(1, 0, 2)  # (layers, clips, width) inside


@dataclass(frozen=True)
class Alignment(Scaling):
    """Scaling of several corpora; its own mean and variance are those of all training clips.

    Attributes:
        corpora: scaling of each measured corpus; clips of other corpora are scaled by the mean and variance of all.
    """

    corpora: Mapping[str, CorpusScaling] = field(default_factory=dict)

    def apply(self, vectors: np.ndarray, corpora: str | np.ndarray = "") -> np.ndarray:
        """Standardise vectors.

        Args:
            vectors: float32 (clips, layers, width).
            corpora: the corpus of all clips, or of each, (clips,); "" where it is unknown.

        Returns:
            float32 (clips, layers, width).
        """
        clip_corpora = np.broadcast_to(np.asarray(corpora, dtype=object), len(vectors))
        scaled = super().apply(vectors)
        for corpus, scaling in self.corpora.items():
            scaled[clip_corpora == corpus] = scaling.apply(vectors[clip_corpora == corpus])
        return scaled

    def read(self, data: Dataset, clips: np.ndarray) -> np.ndarray:
        """Read and standardise the clips at these positions of a dataset, float32 (clips, layers, width)."""
        return self.apply(data.read(clips), data.corpora[clips])

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return arrays for `numpy.savez`, which `from_arrays` reads: mean, variance, and `<field>@<corpus>`."""
        arrays = {"mean": self.mean, "variance": self.variance}
        for corpus, scaling in self.corpora.items():
            fields = {name: value for name, value in vars(scaling).items() if value is not None}
            arrays |= {f"{name}@{corpus}": np.asarray(value) for name, value in fields.items()}
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "Alignment":
        """Restore an alignment from the arrays of `to_arrays`; `arrays` may hold others as well."""
        fields: dict[str, dict[str, Any]] = {}
        for key, array in arrays.items():
            name, at, corpus = key.partition("@")
            if at:
                fields.setdefault(corpus, {})[name] = array if array.ndim else array.item()
        corpora = {corpus: CorpusScaling(**values) for corpus, values in fields.items()}
        return cls(arrays["mean"], arrays["variance"], corpora)

    def measured(self) -> dict[str, dict[str, Any]]:
        """Return the number of measured clips of each corpus, and whether those are test clips, for run.json."""
        return {
            corpus: {"clips": scaling.num_clips, "transductive": scaling.transductive}
            for corpus, scaling in self.corpora.items()
        }


def fit_scaling(windows: Iterable[np.ndarray]) -> Scaling:
    """Measure mean and variance.

    Args:
        windows: the training vectors, in arrays of float32 (clips, layers, width).

    Returns:
        The scaling; a dimension that is constant over all clips gets variance 1 and so becomes 0.

    Raises:
        InputError: a vector holds NaN or an infinity.
    """
    count, mean, squares = 0, np.zeros(()), np.zeros(())
    for window in windows:
        if not np.isfinite(window).all():
            raise InputError("vectors have to be finite numbers, but the store holds NaN or infinite ones")
        vectors = window.astype(np.float64)
        num_new = len(vectors)
        shift = vectors.mean(axis=0) - mean
        squares = squares + ((vectors - vectors.mean(axis=0)) ** 2).sum(axis=0)
        squares = squares + shift**2 * (count * num_new / (count + num_new))
        mean = mean + shift * (num_new / (count + num_new))
        count += num_new
    constant = np.sqrt(squares / count) <= _SMALLEST_RELATIVE_DEVIATION * np.abs(mean)
    return Scaling(mean, np.where(constant, 1.0, squares / count))


def fit_alignment(data: Dataset, split: Split, normalization: str = "all") -> Alignment:
    """Measure the training clips and, if asked for, each corpus.

    Args:
        data: the clips; with frames only `all` is supported.
        split: training, validation and test clips.
        normalization: all, corpus or coral.

    Raises:
        InputError: a vector holds NaN or an infinity.
    """
    pooled = fit_scaling(_windows(data, split.train))
    if normalization == "all":
        return Alignment(pooled.mean, pooled.variance)
    corpora = {
        corpus: _fit_corpus(data, clips, transductive=corpus not in data.corpora[split.train])
        for corpus, clips in measured_clips(data.corpora, split).items()
    }
    if normalization == "coral":
        corpora = _with_turns(data, split, corpora)
    return Alignment(pooled.mean, pooled.variance, corpora)


def measured_clips(corpora: np.ndarray, split: Split) -> dict[str, np.ndarray]:
    """Return the clips on which each corpus is measured: its training clips or, if it has none, its test clips.

    Args:
        corpora: corpus of each clip of the dataset, (clips,).
        split: training, validation and test clips.

    Returns:
        Positions in the dataset, int64, by corpus.
    """
    train, test = (
        {corpus: part[corpora[part] == corpus] for corpus in sorted(set(corpora[part]))}
        for part in (split.train, split.test)
    )
    return test | train


def recoloring(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the matrix that gives vectors another covariance, multiplied from the right.

    Args:
        source: covariance of the vectors, (layers, width, width).
        target: covariance after the multiplication, (layers, width, width).

    Returns:
        (source + ridge)^(-1/2) (target + ridge)^(1/2), float32 (layers, width, width).
    """
    return (_power(source, -0.5) @ _power(target, 0.5)).astype(np.float32)


def _fit_corpus(data: Dataset, clips: np.ndarray, transductive: bool) -> CorpusScaling:
    scaling = fit_scaling(_windows(data, clips))
    return CorpusScaling(scaling.mean, scaling.variance, len(clips), transductive)


def _windows(data: Dataset, clips: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the vectors of these clips, or their valid frames, (clips, layers, width) at a time."""
    return (valid_frames(data.read(window)) for window in data.windows(clips))


def _with_turns(data: Dataset, split: Split, corpora: Mapping[str, CorpusScaling]) -> dict[str, CorpusScaling]:
    """Return the scalings with `turn`, towards the mean correlations of the training corpora, weighted by clips."""
    clips = measured_clips(data.corpora, split)
    correlations = {corpus: _correlation(_windows(data, clips[corpus]), corpora[corpus]) for corpus in corpora}
    training_corpora = [corpus for corpus in corpora if not corpora[corpus].transductive]
    weights = [corpora[corpus].num_clips for corpus in training_corpora]
    target = np.average([correlations[corpus] for corpus in training_corpora], axis=0, weights=weights)
    return {
        corpus: scaling
        if training_corpora == [corpus]
        else replace(scaling, turn=recoloring(correlations[corpus], target))
        for corpus, scaling in corpora.items()
    }


def _correlation(windows: Iterator[np.ndarray], scaling: Scaling) -> np.ndarray:
    """Return the mean product of any two dimensions of standardised vectors, float64 (layers, width, width)."""
    total, count = np.zeros(()), 0
    for window in windows:
        scaled = _clipped(scaling.apply(window)).astype(np.float64)
        total = total + scaled.transpose(1, 2, 0) @ scaled.transpose(1, 0, 2)
        count += len(window)
    return total / count


def _power(covariance: np.ndarray, exponent: float) -> np.ndarray:
    """Return a power of each layer's covariance, (layers, width, width), after adding `RIDGE` to its variances."""
    values, vectors = np.linalg.eigh(covariance)  # (layers, width), (layers, width, width)
    ridged = np.maximum(values, 0) + RIDGE
    return (vectors * ridged[:, None] ** exponent) @ vectors.swapaxes(1, 2)


def _clipped(scaled: np.ndarray) -> np.ndarray:
    """Clip values as heads do, before a turn can spread the outliers of one dimension over all dimensions."""
    return np.clip(scaled, -OUTLIER, OUTLIER)
