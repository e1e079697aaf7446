"""Power transform of each dimension towards a normal distribution (Yeo and Johnson, 2000).

A head with few weights learns most from dimensions that are evenly spread; loudness and jitter, for example, have a
long tail on one side. UAR of `mlp` on unheard speakers without and with the transform (EmoDB and RAVDESS, seed 0):
eGeMAPS 0.699 to 0.722 and 0.510 to 0.523, hubert-mini 0.800 to 0.803 and 0.615 to 0.622, MFCC 0.709 to 0.715 and 0.463
to 0.461. With 20 clips of a speaker enrolled it brings less: 0.791 to 0.797 and 0.613 to 0.618, 0.843 to 0.848 and
0.686 to 0.695, 0.787 to 0.773 and 0.559 to 0.564. It was found on validation speakers. For hubert-mini the gain is no
larger than that of rounding its vectors.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

CLIP_AT = 8.0  # standard deviations at which values are clipped, before a power makes outliers larger still
EXPONENTS = np.arange(-1.0, 3.01, 0.25)  # 1 leaves a dimension as it is, 0 is the logarithm for values above 0
_SMALLEST_VARIANCE = 1e-9


@dataclass(frozen=True)
class YeoJohnson:
    """Power transform of standardised vectors, and standardisation of the result; float32 (layers, width) each.

    Attributes:
        exponent: Yeo and Johnson's lambda.
        mean: mean of the transformed training vectors.
        deviation: their standard deviation, above 0.
    """

    exponent: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray

    def apply(self, vectors: Any, ops: Any = np) -> Any:
        """Transform and standardise vectors, (..., layers, width); for `ops` see `yeo_johnson`."""
        return (yeo_johnson(ops.clip(vectors, -CLIP_AT, CLIP_AT), self.exponent, ops) - self.mean) / self.deviation


def fit_yeo_johnson(vectors: np.ndarray) -> YeoJohnson:
    """Choose for each dimension the exponent of `EXPONENTS` with the highest likelihood of a normal distribution.

    Args:
        vectors: standardised training vectors, float32 (clips, layers, width).
    """
    layers = [_fit_layer(layer.astype(np.float64)) for layer in vectors.transpose(1, 0, 2)]
    return YeoJohnson(*(np.stack(part).astype(np.float32) for part in zip(*layers, strict=True)))


def yeo_johnson(values: Any, exponent: Any, ops: Any = np) -> Any:
    """Transform values: ((x + 1)^e - 1) / e for x from 0 on; for negative x, minus the same of -x with 2 - e.

    >>> yeo_johnson(np.array([-3.0, 0.0, 3.0]), np.array(1.0)).round(6).tolist()
    [-3.0, 0.0, 3.0]

    Args:
        values: array or tensor of any shape.
        exponent: one exponent, or one per dimension.
        ops: module whose functions to use: numpy, or `keras.ops` for its tensors.

    Returns:
        Transformed values, of the same shape.
    """
    power = ops.where(values >= 0, exponent, 2 - exponent)
    log_size = ops.log1p(ops.abs(values))
    is_log = power == 0  # where the formula has the logarithm as its limit
    return ops.sign(values) * ops.where(is_log, log_size, ops.expm1(power * log_size) / ops.where(is_log, 1.0, power))


def _fit_layer(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return exponent, mean and deviation of each dimension, float64 (width,), from values (clips, width)."""
    values = np.clip(values, -CLIP_AT, CLIP_AT)
    slope = np.mean(np.sign(values) * np.log1p(np.abs(values)), axis=0)
    best_fit = np.tile([[1.0], [0.0], [1.0]], values.shape[1])  # remains for dimensions that do not vary
    best = np.where(values.var(axis=0) > _SMALLEST_VARIANCE, -np.inf, np.inf)
    for exponent in EXPONENTS:
        transformed = yeo_johnson(values, exponent)
        mean, variance = transformed.mean(axis=0), np.maximum(transformed.var(axis=0), _SMALLEST_VARIANCE)
        # The mean over clips, without the terms that are the same for all exponents.
        likelihood = (exponent - 1) * slope - np.log(variance) / 2
        better = likelihood > best
        best_fit = np.where(better, [np.full_like(mean, exponent), mean, np.sqrt(variance)], best_fit)
        best = np.where(better, likelihood, best)
    return best_fit[0], best_fit[1], best_fit[2]
