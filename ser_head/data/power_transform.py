"""Bending each dimension until its values are as normal as a power makes them (Yeo and Johnson, 2000).

A head of few weights learns most from dimensions that spread evenly; loudness and jitter, say, have a long tail on one
side. What it brought `mlp` on unheard speakers, in UAR (EmoDB and RAVDESS, seed 0): eGeMAPS 0.699 to 0.722 and 0.510 to
0.523, hubert-mini 0.800 to 0.803 and 0.615 to 0.622, MFCC 0.709 to 0.715 and 0.463 to 0.461. With 20 clips of a speaker
enrolled it brings less: 0.791 to 0.797 and 0.613 to 0.618, 0.843 to 0.848 and 0.686 to 0.695, 0.787 to 0.773 and 0.559
to 0.564. It was found on validation speakers. For hubert-mini the gain is no larger than that of rounding its vectors.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

REACH = 8.0  # standard deviations beyond which a power would blow up what says no more
EXPONENTS = np.arange(-1.0, 3.01, 0.25)  # 1 leaves a dimension as it is, 0 is a logarithm of what is above 0
_SMALLEST_VARIANCE = 1e-9


@dataclass(frozen=True)
class YeoJohnson:
    """What bends standardised vectors, and standardises them again; float32 (layers, width) each.

    Attributes:
        exponent: Yeo and Johnson's lambda.
        mean: of the bent training vectors.
        deviation: likewise, above 0.
    """

    exponent: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray

    def apply(self, vectors: Any, ops: Any = np) -> Any:
        """Bend and standardise vectors, (..., layers, width); for `ops` see `yeo_johnson`."""
        return (yeo_johnson(ops.clip(vectors, -REACH, REACH), self.exponent, ops) - self.mean) / self.deviation


def fit_yeo_johnson(vectors: np.ndarray) -> YeoJohnson:
    """Find for each dimension the exponent of `EXPONENTS` under which its values are the likeliest to be normal.

    Args:
        vectors: standardised training vectors, float32 (clips, layers, width).
    """
    layers = [_fit_layer(layer.astype(np.float64)) for layer in vectors.transpose(1, 0, 2)]
    return YeoJohnson(*(np.stack(part).astype(np.float32) for part in zip(*layers, strict=True)))


def yeo_johnson(values: Any, exponent: Any, ops: Any = np) -> Any:
    """Bend values: ((x + 1)^e - 1) / e from 0 on, and below it the same of -x with 2 - e, turned round.

    >>> yeo_johnson(np.array([-3.0, 0.0, 3.0]), np.array(1.0)).round(6).tolist()
    [-3.0, 0.0, 3.0]

    Args:
        values: of any shape.
        exponent: one, or one per dimension.
        ops: whose functions to use: numpy's, or those of `keras.ops` on its tensors.
    """
    power = ops.where(values >= 0, exponent, 2 - exponent)
    size = ops.log1p(ops.abs(values))
    straight = power == 0
    return ops.sign(values) * ops.where(straight, size, ops.expm1(power * size) / ops.where(straight, 1.0, power))


def _fit_layer(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return exponent, mean and deviation of each dimension, (width,), of values (clips, width)."""
    values = np.clip(values, -REACH, REACH)
    slope = np.mean(np.sign(values) * np.log1p(np.abs(values)), axis=0)
    found = np.tile([[1.0], [0.0], [1.0]], values.shape[1])  # which a dimension keeps that does not vary
    best = np.where(values.var(axis=0) > _SMALLEST_VARIANCE, -np.inf, np.inf)
    for exponent in EXPONENTS:
        bent = yeo_johnson(values, exponent)
        mean, variance = bent.mean(axis=0), np.maximum(bent.var(axis=0), _SMALLEST_VARIANCE)
        likelihood = (exponent - 1) * slope - np.log(variance) / 2  # per clip, less what no exponent changes
        better = likelihood > best
        found = np.where(better, [np.full_like(mean, exponent), mean, np.sqrt(variance)], found)
        best = np.where(better, likelihood, best)
    return found[0], found[1], found[2]
