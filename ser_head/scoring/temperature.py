"""Temperature: one number, fitted on validation clips, that makes a head's probabilities as sure as it is right.

Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", 2017. The logits of a head are known from
its probabilities but for a constant per clip, which a softmax takes away again: so probabilities are all that is
needed, and a head of any kind can be tempered. Which class is likeliest never changes.
"""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

# Where validation clips are few, or all answered rightly, the best temperature is 0 or infinite; these are the bounds
# beyond which no head was found to lie.
COLDEST, HOTTEST = 0.05, 20.0
SMALLEST_PROBABILITY = float(np.finfo(np.float32).tiny)  # of a class given 0, so that its logarithm is finite


def fit_temperature(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """Return the temperature with the least log-loss, between `COLDEST` and `HOTTEST`.

    >>> sure = np.array([[0.99, 0.01]] * 4)  # right three times in four
    >>> round(fit_temperature(sure, np.array([0, 0, 0, 1])), 2)
    4.18

    Args:
        probabilities: of the validation clips, (clips, classes).
        targets: class of each clip, int (clips,).

    Returns:
        Above 1 for a head that is too sure, below 1 for one that is not sure enough; 1 where there are no clips.
    """
    if not len(targets):
        return 1.0
    logits = safe_log(probabilities)
    clips = np.arange(len(targets))

    def log_loss(log_temperature: float) -> float:
        return -float(log_softmax(logits / np.exp(log_temperature), axis=1)[clips, targets].mean())

    # The loss is convex in 1/T, hence has one minimum in log T too.
    found = minimize_scalar(
        log_loss, bounds=(np.log(COLDEST), np.log(HOTTEST)), method="bounded", options={"xatol": 1e-6}
    )
    return float(np.exp(found.x))


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
    """Return logarithms, float64, that are finite for a probability of 0."""
    return np.log(np.maximum(probabilities.astype(np.float64), SMALLEST_PROBABILITY))
