"""Run lengths of control charts: the average number of independent normal deviations to the first alarm.

The statistic is cut into narrow states, between which it moves as a Markov chain (Brook and Evans, "An Approach to the
Probability Distribution of CUSUM Run Length", 1972; for the EWMA, Lucas and Saccucci, "Exponentially Weighted Moving
Average Control Schemes: Properties and Enhancements", 1990).
"""

import numpy as np

_STATES = 201  # odd, so that the EWMA begins in the middle of one; run lengths are within 0.1 % of those of 801


def cusum_run_length(limit: float, slack: float, shift: float = 0.0) -> float:
    """Return the average run length of a one-sided CUSUM that begins at 0.

    Args:
        limit: at which an alarm is raised, in standard deviations, above 0.
        slack: subtracted from each deviation.
        shift: of the mean, in standard deviations.

    >>> round(cusum_run_length(4, 0.5) / 2)  # two-sided, as in Montgomery's table: 168
    168
    """
    width = 2 * limit / (2 * _STATES - 1)  # the first state is half as wide, around 0
    centers = width * np.arange(_STATES)
    means = centers[:, np.newaxis] + shift - slack  # (from, to)
    upper = centers + width / 2 - means
    return _from_state(_probability(upper) - np.where(np.arange(_STATES) == 0, 0.0, _probability(upper - width)), 0)


def ewma_run_length(limit: float, weight: float, shift: float = 0.0) -> float:
    """Return the average run length of a two-sided EWMA that begins at 0.

    Args:
        limit: at which an alarm is raised, in standard deviations of the average, above 0.
        weight: of a deviation, 0 to 1.
        shift: of the mean, in standard deviations.

    >>> round(ewma_run_length(2.814, 0.1), -1)  # Lucas and Saccucci: 500
    500.0
    """
    bound = limit * np.sqrt(weight / (2 - weight))
    width = 2 * bound / _STATES
    centers = width * (np.arange(_STATES) - _STATES // 2)
    means = (1 - weight) * centers[:, np.newaxis] + weight * shift  # (from, to)
    upper = (centers + width / 2 - means) / weight
    return _from_state(_probability(upper) - _probability(upper - width / weight), _STATES // 2)


def _from_state(transitions: np.ndarray, state: int) -> float:
    """Return the average number of steps from a state until the chain leaves all of them."""
    return float(np.linalg.solve(np.eye(len(transitions)) - transitions, np.ones(len(transitions)))[state])


def _probability(bounds: np.ndarray) -> np.ndarray:
    """Return the probability that a normal deviation is below bounds."""
    from scipy.special import ndtr

    return ndtr(bounds)
