"""Change points of the mean of a series, by optimal partitioning with pruning.

The partition minimises the squared deviations from the mean of each part plus a penalty for each change, and is exact
(Killick, Fearnhead and Eckley, "Optimal Detection of Changepoints with a Linear Computational Cost", 2012). The penalty
is a multiple of the long-run variance, as neighbouring windows are alike and a mean of few of them strays far: under an
autoregression it is larger than the variance by (1 + correlation) / (1 - correlation).
"""

import numpy as np

from ser_monitor.patterns.baseline import NORMAL_SPREAD

# Times log(n) and the long-run variance. With 2, which suffices for independent normal data (Yao, 1988), one in twenty
# simulated series without a change had one; with 3 none of sixty, at correlations of 0 to 0.8.
_PENALTY = 3.0
_LEAST_SHARE = 0.01  # of the variance, where most windows are alike to the last digit
_BLOCK = 20  # windows, beyond which those of speech hardly correlate


def change_points(series: np.ndarray, variance: float | None = None, least: int = 5) -> list[int]:
    """Return where the mean changes: the first index of each part but the first.

    Args:
        series: float64 (n,), without NaN.
        variance: long-run variance of what is no change; None estimates it from the series, which takes many changes
            for noise.
        least: length of the shortest part.

    >>> change_points(np.repeat([0.0, 1.0], 10) + np.tile([0.1, -0.1], 10))
    [10]
    """
    if len(series) < 2 * least:
        return []
    if variance is None:
        variance = max(long_run_variance(series), _LEAST_SHARE * float(np.var(series)))
    return best_partition(series, least, _PENALTY * np.log(len(series)) * variance)


def best_partition(series: np.ndarray, least: int, penalty: float) -> list[int]:
    """Return the partition of lowest cost: the first index of each part but the first.

    Args:
        series: float64 (n,), n at least `least`.
        least: length of the shortest part.
        penalty: for a change, in squares of the series' unit.
    """
    previous = _best_previous(series - np.median(series), least, penalty)
    points, end = [], len(series)
    while (end := int(previous[end])) > 0:
        points.append(end)
    return points[::-1]


def long_run_variance(series: np.ndarray) -> float:
    """Return the variance of a mean of n neighbours times n, for large n, whatever the changes of the mean.

    It is taken from the robust spread of differences between the means of adjacent blocks, most of which have no change
    inside (Wu and Zhao, "Inference of Trends in Time Series", 2007). Where neighbours are correlated by 0.8, so are the
    means of adjacent blocks, and it comes out a third too small.

    Args:
        series: float64 (n,), n of 2 or more.
    """
    block = max(1, min(_BLOCK, len(series) // 8))
    sums = np.concatenate([[0.0], np.cumsum(series)])
    means = (sums[block:] - sums[:-block]) / block
    differences = means[block:] - means[:-block]
    return (NORMAL_SPREAD * float(np.median(np.abs(differences)))) ** 2 * block / 2


def _best_previous(series: np.ndarray, least: int, penalty: float) -> np.ndarray:
    """Return where the last part of the best partition of each beginning of a series begins, int64 (n + 1,).

    Args:
        series: float64 (n,).
        least: length of the shortest part.
        penalty: for a change.
    """
    sums = np.concatenate([[0.0], np.cumsum(series)])
    squares = np.concatenate([[0.0], np.cumsum(series**2)])
    costs = np.full(len(series) + 1, np.inf)
    costs[0] = -penalty
    previous = np.zeros(len(series) + 1, np.int64)
    # Beginnings of the last part that can still be the best, and until which end they can: one that is worse than a
    # change at some end stays worse once the part after that change is long enough.
    starts, until = np.zeros(0, np.int64), np.zeros(0, np.int64)
    for end in range(least, len(series) + 1):
        starts, until = np.append(starts, end - least), np.append(until, len(series))
        totals = sums[end] - sums[starts]
        without = costs[starts] + squares[end] - squares[starts] - totals**2 / (end - starts)
        best = int(np.argmin(without))
        costs[end], previous[end] = without[best] + penalty, starts[best]
        until = np.where(without > costs[end], np.minimum(until, end + least - 1), until)
        starts, until = starts[until > end], until[until > end]
    return previous
