"""Speaker statistics: a speaker's mean and variance, shrunk towards those of all speakers.

The fewer clips they are measured on, the stronger the shrinkage. Vectors are standardised by the training clips,
(clips, layers, width), so that the mean over all speakers is 0 and the variance 1 in each dimension.
"""

import numpy as np

# The statistics of all speakers weigh as much as this many clips of the speaker, where no better weight was measured.
KAPPA = 5.0
# Least variance between speakers, as a share of the variance within them: a few training speakers may seem to differ
# by less in some dimension, but such an estimate is chance.
_SMALLEST_SHARE = 0.02


def shrinkage(means: np.ndarray, variances: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Estimate on the training speakers how strongly to shrink a speaker's mean, in each dimension.

    The mean of n clips misses the speaker's true mean with the variance within speakers over n, and the true means
    differ by the variance between speakers. The best estimate (James and Stein, 1961; empirical Bayes) is
    n m / (n + kappa), where kappa is the first variance over the second: a dimension in which all voices are alike is
    hardly moved.

    Args:
        means: mean vector of each training speaker, (speakers, layers, width).
        variances: variance of the speaker's clips about that mean, (speakers, layers, width).
        counts: number of clips of each training speaker, (speakers,).

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
    """Compute the shift and the scale that normalise a speaker's vectors: (vectors - shift) / scale.

    For n clips of mean m and variance v, in standardised space, the shift is n m / (n + kappa) and the scale is the
    root of (n v + kappa) / (n + kappa).

    >>> shift, scale = speaker_statistics(np.array([[[1.0]], [[3.0]]], np.float32), kappa=2.0)
    >>> shift.tolist(), round(float(scale[0, 0]) ** 2, 6)
    ([[1.0]], 1.0)

    Args:
        enrolled: standardised vectors of one speaker, (clips, layers, width); there may be no clips.
        kappa: number of clips that the statistics of all speakers are worth, above 0; one, or one per dimension,
            (layers, width).

    Returns:
        Shift and scale, float32 (layers, width); exactly 0 and 1 without clips.
    """
    count = len(enrolled)
    mean = enrolled.sum(axis=0, dtype=np.float64) / max(count, 1)
    squares = ((enrolled - mean) ** 2).sum(axis=0)
    shift, variance = count * mean / (count + kappa), (squares + kappa) / (count + kappa)
    return shift.astype(np.float32), np.sqrt(variance).astype(np.float32)
