"""Temperature scaling: one number, fitted on validation clips, that calibrates the confidence of a head.

Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", 2017. Log-probabilities differ from logits
by a constant per clip, which the softmax removes again; so probabilities are all that is needed, and a head of any kind
can be calibrated. The most probable class never changes.
"""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

# Where validation clips are few, or all answered correctly, the best temperature is 0 or infinite. No head was found to
# need one beyond these bounds.
COLDEST, HOTTEST = 0.05, 20.0
SMALLEST_PROBABILITY = float(np.finfo(np.float32).tiny)  # stands for a probability of 0, whose logarithm is infinite


def fit_temperature(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """Find the temperature with the lowest log-loss, between `COLDEST` and `HOTTEST`.

    >>> overconfident = np.array([[0.99, 0.01]] * 4)  # correct three times in four
    >>> round(fit_temperature(overconfident, np.array([0, 0, 0, 1])), 2)
    4.18

    Args:
        probabilities: of the validation clips, (clips, classes).
        targets: class of each clip, int (clips,).

    Returns:
        Above 1 for an overconfident head, below 1 for an underconfident one; 1 without clips.
    """
    if not len(targets):
        return 1.0
    logits = safe_log(probabilities)
    clips = np.arange(len(targets))

    def log_loss(log_temperature: float) -> float:
        return -float(log_softmax(logits / np.exp(log_temperature), axis=1)[clips, targets].mean())

    # The loss is convex in 1/T, hence has one minimum in log T too.
    minimum = minimize_scalar(
        log_loss, bounds=(np.log(COLDEST), np.log(HOTTEST)), method="bounded", options={"xatol": 1e-6}
    )
    return float(np.exp(minimum.x))


def apply_temperature(probabilities: np.ndarray, temperature: float | np.ndarray) -> np.ndarray:
    """Return probabilities at a temperature: softmax(log(probabilities) / temperature).

    Args:
        probabilities: (clips, classes).
        temperature: above 0; 1 leaves them as they are. One, or one per clip, (clips, 1).

    Returns:
        float32 (clips, classes).
    """
    return softmax(safe_log(probabilities) / temperature, axis=1).astype(np.float32)


def safe_log(probabilities: np.ndarray) -> np.ndarray:
    """Return logarithms, float64 of the same shape, that are finite for a probability of 0."""
    return np.log(np.maximum(probabilities.astype(np.float64), SMALLEST_PROBABILITY))
