"""A speaker's mean and variance, shrunk to everybody's by as much as there are few clips to measure them on."""

import numpy as np

KAPPA = 5.0  # everybody's statistics weigh as much as this many clips of the speaker


def speaker_statistics(enrolled: np.ndarray, kappa: float = KAPPA) -> tuple[np.ndarray, np.ndarray]:
    """Measure what to subtract from a speaker's vectors and what to divide them by.

    For n clips of mean m and variance v, in standardised space, where everybody's mean is 0 and variance 1, the shift
    is n m / (n + kappa) and the scale the root of (n v + kappa) / (n + kappa).

    >>> shift, scale = speaker_statistics(np.array([[[1.0]], [[3.0]]], np.float32), kappa=2.0)
    >>> shift.tolist(), round(float(scale[0, 0]) ** 2, 6)
    ([[1.0]], 1.0)

    Args:
        enrolled: standardised vectors of one speaker, (clips, layers, width); no clips are welcome.
        kappa: clips' worth of trust in everybody's statistics, above 0.

    Returns:
        Shift and scale, float32 (layers, width); exactly 0 and 1 where no clips are given.
    """
    count = len(enrolled)
    mean = enrolled.sum(axis=0, dtype=np.float64) / max(count, 1)
    squares = ((enrolled - mean) ** 2).sum(axis=0)
    shift, variance = count * mean / (count + kappa), (squares + kappa) / (count + kappa)
    return shift.astype(np.float32), np.sqrt(variance).astype(np.float32)
