"""Standardising vectors: mean and variance per layer and dimension, over the training clips alone.

The sums run in float64 over one window of clips at a time (Chan, Golub and LeVeque, 1983), so that neither the number
of clips nor a large mean costs precision or memory.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ser_embed.errors import InputError
from ser_head.data.dataset import Dataset
from ser_head.data.frames import valid_frames
from ser_head.data.splits import Split

# Standard deviations beyond which a value says no more. Functionals such as eGeMAPS have outliers at 10 and above, and
# an unheard speaker brings new ones: cutting them took the validation loss from 0.88 to 0.79 (EmoDB), 1.40 to 1.34
# (RAVDESS).
OUTLIER = 3.0
# A dimension that varies less than float32 can tell around its mean is constant; dividing by its spread makes noise.
_SMALLEST_RELATIVE_SPREAD = 1e-6


@dataclass(frozen=True)
class Scaling:
    """Mean and variance of the training vectors, float64 (layers, width); no variance is zero."""

    mean: np.ndarray
    variance: np.ndarray

    def apply(self, vectors: np.ndarray) -> np.ndarray:
        """Return standardised vectors, float32 (clips, layers, width)."""
        return (vectors - self.mean.astype(np.float32)) / np.sqrt(self.variance).astype(np.float32)


def fit_scaling(windows: Iterable[np.ndarray]) -> Scaling:
    """Measure mean and variance.

    Args:
        windows: the training vectors, (clips, layers, width) at a time.

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
        added = len(vectors)
        shift = vectors.mean(axis=0) - mean
        squares = squares + ((vectors - vectors.mean(axis=0)) ** 2).sum(axis=0)
        squares = squares + shift**2 * (count * added / (count + added))
        mean = mean + shift * (added / (count + added))
        count += added
    constant = np.sqrt(squares / count) <= _SMALLEST_RELATIVE_SPREAD * np.abs(mean)
    return Scaling(mean, np.where(constant, 1.0, squares / count))


# Added to every variance before whitening, which would blow up directions in which a few clips hardly vary. In
# standardised space it is as much as an average dimension has; the value is the paper's.
RIDGE = 1.0


@dataclass(frozen=True)
class CorpusScaling(Scaling):
    """Mean and variance of a corpus's own clips.

    Attributes:
        num_clips: how many were measured.
        transductive: whether they are test clips.
        turn: makes the correlations of standardised vectors those of the training clips, float32 (layers, width,
            width); None to leave them.
    """

    num_clips: int
    transductive: bool
    turn: np.ndarray | None = None

    def apply(self, vectors: np.ndarray) -> np.ndarray:
        """Return standardised vectors, float32 (clips, layers, width)."""
        scaled = super().apply(vectors)
        if self.turn is None:
            return scaled
        return (_bounded(scaled).transpose(1, 0, 2) @ self.turn).transpose(1, 0, 2)  # layers in front for the product


@dataclass(frozen=True)
class Alignment(Scaling):
    """A scaling that knows corpora; its own mean and variance are those of all training clips.

    Attributes:
        corpora: how the clips of each are standardised; those of others, by the mean and variance of all.
    """

    corpora: Mapping[str, CorpusScaling] = field(default_factory=dict)

    def apply(self, vectors: np.ndarray, corpora: str | np.ndarray = "") -> np.ndarray:
        """Standardise vectors.

        Args:
            vectors: float32 (clips, layers, width).
            corpora: the corpus they are of, or that of each, (clips,); "" for one that is not known.

        Returns:
            float32 (clips, layers, width).
        """
        names = np.broadcast_to(np.asarray(corpora, dtype=object), len(vectors))
        scaled = super().apply(vectors)
        for name, own in self.corpora.items():
            scaled[names == name] = own.apply(vectors[names == name])
        return scaled

    def read(self, data: Dataset, clips: np.ndarray) -> np.ndarray:
        """Read and standardise the clips at these positions, float32 (clips, layers, width)."""
        return self.apply(data.read(clips), data.corpora[clips])

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return what `from_arrays` makes the same of, for `numpy.savez`."""
        arrays = {"mean": self.mean, "variance": self.variance}
        for name, own in self.corpora.items():
            kept = {key: value for key, value in vars(own).items() if value is not None}
            arrays |= {f"{key}@{name}": np.asarray(value) for key, value in kept.items()}
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "Alignment":
        """Undo `to_arrays`; other arrays may lie among them."""
        parts: dict[str, dict[str, Any]] = {}
        for key, array in arrays.items():
            kind, at, name = key.partition("@")
            if at:
                parts.setdefault(name, {})[kind] = array if array.ndim else array.item()
        return cls(arrays["mean"], arrays["variance"], {name: CorpusScaling(**part) for name, part in parts.items()})

    def measured(self) -> dict[str, dict[str, Any]]:
        """Return on how many clips each corpus was measured, and whether those were test clips, for run.json."""
        return {name: {"clips": own.num_clips, "transductive": own.transductive} for name, own in self.corpora.items()}


def fit_alignment(data: Dataset, split: Split, normalization: str = "all") -> Alignment:
    """Measure the training clips and, if asked for, each corpus by itself.

    Args:
        data: the clips; with frames only `all` can be asked for.
        split: how they are parted.
        normalization: all, corpus or coral.

    Raises:
        InputError: a vector holds NaN or an infinity.
    """
    pooled = fit_scaling(_windows(data, split.train))
    if normalization == "all":
        return Alignment(pooled.mean, pooled.variance)
    own = {
        name: _measure(data, clips, transductive=name not in data.corpora[split.train])
        for name, clips in measured_clips(data.corpora, split).items()
    }
    if normalization == "coral":
        own = _turned(data, split, own)
    return Alignment(pooled.mean, pooled.variance, own)


def measured_clips(corpora: np.ndarray, split: Split) -> dict[str, np.ndarray]:
    """Return the clips that tell of each corpus: its training clips or, if it has none, its test clips.

    Args:
        corpora: corpus of each clip of the dataset, (clips,).
        split: how they are parted.
    """
    train, test = (
        {name: part[corpora[part] == name] for name in sorted(set(corpora[part]))} for part in (split.train, split.test)
    )
    return test | train


def _measure(data: Dataset, clips: np.ndarray, transductive: bool) -> CorpusScaling:
    scaling = fit_scaling(_windows(data, clips))
    return CorpusScaling(scaling.mean, scaling.variance, len(clips), transductive)


def _windows(data: Dataset, clips: np.ndarray) -> Iterator[np.ndarray]:
    return (valid_frames(data.read(window)) for window in data.windows(clips))


def _turned(data: Dataset, split: Split, own: Mapping[str, CorpusScaling]) -> dict[str, CorpusScaling]:
    """Add to each corpus how its correlations become those within the training corpora."""
    clips = measured_clips(data.corpora, split)
    spread = {name: _correlation(_windows(data, clips[name]), own[name]) for name in own}
    trained = [name for name in own if not own[name].transductive]
    weights = [own[name].num_clips for name in trained]
    target = np.average([spread[name] for name in trained], axis=0, weights=weights)
    return {
        name: each if trained == [name] else replace(each, turn=recoloring(spread[name], target))
        for name, each in own.items()
    }


def _correlation(windows: Iterator[np.ndarray], scaling: Scaling) -> np.ndarray:
    """Return the mean product of each two dimensions of standardised vectors, float64 (layers, width, width)."""
    total, count = np.zeros(()), 0
    for window in windows:
        scaled = _bounded(scaling.apply(window)).astype(np.float64)
        total = total + scaled.transpose(1, 2, 0) @ scaled.transpose(1, 0, 2)
        count += len(window)
    return total / count


def recoloring(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return what vectors have to be multiplied by, from the right, to get other covariances.

    Args:
        source: covariance of the vectors, (layers, width, width).
        target: covariance they shall get, likewise.

    Returns:
        (source + ridge)^(-1/2) (target + ridge)^(1/2), float32 (layers, width, width).
    """
    return (_power(source, -0.5) @ _power(target, 0.5)).astype(np.float32)


def _power(covariance: np.ndarray, exponent: float) -> np.ndarray:
    """Return a power of each covariance, its variances raised by `RIDGE`."""
    values, vectors = np.linalg.eigh(covariance)  # (layers, width), (layers, width, width)
    powers = np.maximum(values, 0) + RIDGE
    return (vectors * powers[:, None] ** exponent) @ vectors.swapaxes(1, 2)


def _bounded(scaled: np.ndarray) -> np.ndarray:
    """Cut what heads would cut, before a turn can spread one dimension's outliers over all."""
    return np.clip(scaled, -OUTLIER, OUTLIER)
