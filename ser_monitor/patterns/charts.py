"""Control charts: EWMA and CUSUM.

They are those of Roberts ("Control Chart Tests Based on Geometric Moving Averages", 1959) and of Page ("Continuous
Inspection Schemes", 1954).

A chart watches deviations from what is usual, in standard deviations, for a shift upwards; a second one that is given
them with the sign changed watches downwards, and both together are the two-sided chart. A chart that only compares its
statistic with a limit raises an alarm in every window of a long shift. These raise one: the alarm lasts until the
statistic has fallen back to half of the limit, and only then can the next be raised.

Charts are arrays, so that thousands of simulated series calibrate the limit with the very code that watches.
"""

import abc
from typing import ClassVar

import numpy as np

from ser_monitor.patterns.run_length import cusum_run_length, ewma_run_length

_RELEASE = 0.5  # share of the limit at which an alarm ends


class Chart(abc.ABC):
    """A control chart, or many alike that go step by step.

    Attributes:
        tail_power: the logarithm of the run length grows with this power of the limit.
        restarts: whether the statistic stays at the limit during an alarm, and begins at 0 after it.
        limit: of the statistic, above 0; float64, of a shape that broadcasts with the statistic.
        statistic: float64 (charts,).
        is_raised: whether an alarm lasts, bool (charts,).
    """

    name: ClassVar[str]
    tail_power: ClassVar[float]
    restarts: ClassVar[bool] = False

    def __init__(self, limit: float | np.ndarray, shape: tuple[int, ...] = ()) -> None:
        """Begin without deviations.

        Args:
            limit: of the statistic.
            shape: of the charts.
        """
        self.limit = np.asarray(limit, dtype=np.float64)
        self.statistic = np.zeros(shape)
        self.is_raised = np.zeros(shape, dtype=bool)

    def step(self, deviations: float | np.ndarray, steps: float = 1.0) -> np.ndarray:
        """Go on by a window.

        Args:
            deviations: of the window, in standard deviations, float64 of a shape that broadcasts with the charts.
            steps: how many usual hops the window stands for; above 1 where hops were widened.

        Returns:
            Where an alarm is raised by this window, bool (charts,).
        """
        self._advance(np.asarray(deviations, dtype=np.float64), steps)
        above, below = self.statistic >= self.limit, self.statistic <= _RELEASE * self.limit
        raised = above & ~self.is_raised
        if self.restarts:
            self.statistic = np.where(self.is_raised & below, 0.0, np.minimum(self.statistic, self.limit))
        self.is_raised = above | (self.is_raised & ~below)
        return raised

    def restart(self) -> None:
        """Begin anew, as without deviations."""
        self.statistic = np.zeros_like(self.statistic)
        self.is_raised = np.zeros_like(self.is_raised)

    @abc.abstractmethod
    def _advance(self, deviations: np.ndarray, steps: float) -> None:
        """Change the statistic by a window."""

    @classmethod
    @abc.abstractmethod
    def run_length(cls, limit: float, shift: float = 0.0) -> float:
        """Return the average number of windows to the first alarm of a two-sided chart on independent normal data.

        Args:
            limit: of the statistic.
            shift: of the mean from the first window on, in standard deviations.
        """


class CusumChart(Chart):
    """CUSUM: the sum of what deviations exceed the slack by, never below 0.

    From the limit on it is not added to, so that it falls back as fast after a long shift as after a short one; when an
    alarm ends the sum begins at 0.

    Attributes:
        slack: subtracted from each deviation, in standard deviations.
    """

    name = "cusum"
    tail_power = 1.0  # as of the highest point of a random walk that drifts down
    restarts = True
    slack: ClassVar[float] = 1.5

    def _advance(self, deviations: np.ndarray, steps: float) -> None:
        self.statistic = np.maximum(0.0, self.statistic + (deviations - self.slack) * steps)

    @classmethod
    def run_length(cls, limit: float, shift: float = 0.0) -> float:
        """See `Chart.run_length` and `cusum_run_length`."""
        rates = [1 / cusum_run_length(limit, cls.slack, sign * shift) for sign in (1, -1)]
        return 1 / sum(rates)


class EwmaChart(Chart):
    """EWMA: the exponentially weighted moving average, in standard deviations that it has on independent data.

    Attributes:
        weight: of a deviation.
    """

    name = "ewma"
    tail_power = 2.0  # as of a normal variable
    weight: ClassVar[float] = 0.1

    def _advance(self, deviations: np.ndarray, steps: float) -> None:
        scale = np.sqrt(self.weight / (2 - self.weight))  # standard deviation after many windows (Roberts)
        weight = 1 - (1 - self.weight) ** steps
        self.statistic = self.statistic + weight * (deviations / scale - self.statistic)

    @classmethod
    def run_length(cls, limit: float, shift: float = 0.0) -> float:
        """See `Chart.run_length` and `ewma_run_length`."""
        return ewma_run_length(limit, cls.weight, shift)


CHARTS: dict[str, type[Chart]] = {chart.name: chart for chart in (CusumChart, EwmaChart)}
