"""A speaker's mean and variance, shrunk to everybody's by as much as there are few clips to measure them on."""

import numpy as np

KAPPA = 5.0  # everybody's statistics weigh as much as this many clips of the speaker, where nothing better is known
# Below this share of the variance within speakers, what parts them is taken for chance: a few speakers cannot tell.
_SMALLEST_SHARE = 0.02


def shrinkage(means: np.ndarray, variances: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Measure how far to trust a speaker's mean, in each dimension, by the speakers of the training.

    The mean of n clips misses the speaker's by the variance within speakers over n, and speakers differ by the variance
    between them. The best guess (James and Stein, 1961; empirical Bayes) is n m / (n + kappa), where kappa is the
    first over the second: a dimension in which all voices are alike is hardly moved.

    Args:
        means: mean vector of each training speaker, (speakers, layers, width).
        variances: variance of its clips about that, likewise.
        counts: its clips, (speakers,).

    Returns:
        kappa, float64 (layers, width); `KAPPA` where there are fewer than two speakers.
    """
    if len(means) < 2:
        return np.full(means.shape[1:], KAPPA)
    within = variances.mean(axis=0, dtype=np.float64)
    between = means.var(axis=0, ddof=1, dtype=np.float64) - within / counts.mean()
    constant = within == 0
    return np.where(constant, KAPPA, within / np.where(constant, 1, np.maximum(between, _SMALLEST_SHARE * within)))


def speaker_statistics(enrolled: np.ndarray, kappa: float | np.ndarray = KAPPA) -> tuple[np.ndarray, np.ndarray]:
    """Measure what to subtract from a speaker's vectors and what to divide them by.

    For n clips of mean m and variance v, in standardised space, where everybody's mean is 0 and variance 1, the shift
    is n m / (n + kappa) and the scale the root of (n v + kappa) / (n + kappa).

    >>> shift, scale = speaker_statistics(np.array([[[1.0]], [[3.0]]], np.float32), kappa=2.0)
    >>> shift.tolist(), round(float(scale[0, 0]) ** 2, 6)
    ([[1.0]], 1.0)

    Args:
        enrolled: standardised vectors of one speaker, (clips, layers, width); no clips are welcome.
        kappa: clips' worth of trust in everybody's statistics, above 0; one, or one per dimension.

    Returns:
        Shift and scale, float32 (layers, width); exactly 0 and 1 where no clips are given.
    """
    count = len(enrolled)
    mean = enrolled.sum(axis=0, dtype=np.float64) / max(count, 1)
    squares = ((enrolled - mean) ** 2).sum(axis=0)
    shift, variance = count * mean / (count + kappa), (squares + kappa) / (count + kappa)
    return shift.astype(np.float32), np.sqrt(variance).astype(np.float32)
