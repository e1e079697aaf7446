"""Calibrating numeric predictions for a speaker: their mean and deviation moved to those of similar training speakers.

Tran, Yin and Soleymani, "Personalized Adaptation with Pre-trained Speech Encoders for Continuous Emotion Recognition",
2023 (PLDC). There, moving the deviation alone helped and moving the mean did harm; so the mean stays unless asked.
"""

import numpy as np


def moments(values: np.ndarray) -> tuple[float, float]:
    """Return mean and (population) standard deviation of some numbers, at least one."""
    return float(np.mean(values, dtype=np.float64)), float(np.std(values, dtype=np.float64))


def borrowed_moments(means: np.ndarray, deviations: np.ndarray, nearest: np.ndarray) -> tuple[float, float]:
    """Return the average label mean and the average label deviation of the speakers borrowed from.

    Args:
        means: mean label of each training speaker, (speakers,).
        deviations: standard deviation of each one's labels, (speakers,).
        nearest: places of the speakers borrowed from, at least one.

    Raises:
        ValueError: there is nobody to borrow from.
    """
    if not len(nearest):
        raise ValueError("moments are borrowed from at least one speaker, but none was given")
    return float(np.mean(means[nearest])), float(np.mean(deviations[nearest]))


def rescale(
    predictions: np.ndarray,
    mean: float,
    deviation: float,
    *,
    move_mean: bool = False,
    own: tuple[float, float] | None = None,
) -> np.ndarray:
    """Stretch a speaker's predictions about their mean to a borrowed deviation.

    >>> rescale(np.array([1.0, 3.0]), mean=5.0, deviation=2.0).tolist()
    [0.0, 4.0]
    >>> rescale(np.array([1.0, 3.0]), mean=5.0, deviation=2.0, move_mean=True).tolist()
    [3.0, 7.0]

    Args:
        predictions: the speaker's, (clips,).
        mean: borrowed mean, used with `move_mean` alone.
        deviation: borrowed standard deviation.
        move_mean: move the mean too.
        own: mean and deviation of the speaker's predictions, as `moments` measured them on enrolled clips; None
            measures `predictions` themselves, which is transductive.

    Returns:
        float64 (clips,). Where the speaker's own deviation is 0, as on a single clip, nothing is stretched.
    """
    if not len(predictions):
        return np.zeros(0)
    own_mean, own_deviation = own or moments(predictions)
    stretch = deviation / own_deviation if own_deviation > 0 else 1.0
    return (mean if move_mean else own_mean) + stretch * (predictions.astype(np.float64) - own_mean)
