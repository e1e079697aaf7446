"""Baselines: what is usual of a speaker or a source, by signal: center, spread and correlation of past windows.

All three are robust, as some of the past was unusual too: median, median absolute deviation, and a correlation made of
the spreads of sums and differences of neighbours (Gnanadesikan and Kettenring, "Robust Estimates, Residuals, and
Outlier Detection with Multiresponse Data", 1972). Windows overlap and are smoothed: neighbours are far from
independent.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ser_monitor.patterns.signals import Signal, runs_of

MOST_WINDOWS = 3600  # an hour of speech; what came before is forgotten
NORMAL_SPREAD = 1.4826  # standard deviations in a median absolute deviation, for normal data
LEAST_SPREAD = 0.1  # in log-odds: 0.50 and 0.525 are no different moods, however constant a speaker seems
MOST_CORRELATION = 0.98


@dataclasses.dataclass(frozen=True)
class SignalBaseline:
    """What is usual of one signal.

    Attributes:
        center: median.
        spread: robust standard deviation.
        correlation: of neighbouring windows, 0 to 0.98.
        runs: what it was measured on, in runs without a long pause, each float64 (windows,).
    """

    center: float
    spread: float
    correlation: float
    runs: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, runs: Iterable[np.ndarray]) -> "SignalBaseline":
        """Measure the baseline of runs of windows, of which the last hour of speech counts.

        Args:
            runs: each float64 (windows,), not all empty.
        """
        recent = _last(list(runs), MOST_WINDOWS)
        values = np.concatenate(recent)
        center = float(np.median(values))
        spread = max(LEAST_SPREAD, robust_spread(values))
        pairs = [(run[:-1], run[1:]) for run in recent if len(run) > 1]
        first, second = (np.concatenate(side) for side in zip(*pairs, strict=True)) if pairs else ([], [])
        return cls(center, spread, robust_correlation(np.asarray(first), np.asarray(second)), tuple(recent))

    @property
    def num_windows(self) -> int:
        """Number of windows it was measured on."""
        return sum(map(len, self.runs))

    def last(self, num_windows: int) -> list[np.ndarray]:
        """Return the last windows, in runs."""
        return _last(self.runs, num_windows)

    def deviations(self, values: np.ndarray | float) -> np.ndarray:
        """Return how far values are from the center, in spreads, float64 of their shape."""
        return (np.asarray(values, np.float64) - self.center) / self.spread


@dataclasses.dataclass(frozen=True)
class Baseline:
    """What is usual of a speaker or a source.

    Attributes:
        signals: baseline of each signal by its name.
    """

    signals: Mapping[str, SignalBaseline]

    @classmethod
    def fit(cls, segments: Any, signals: Sequence[Signal]) -> "Baseline":
        """Measure the baseline of a speaker's or source's past windows.

        Args:
            segments: DataFrame of windows, oldest session first, with the columns session_id, number, and those of the
                signals: activation, ood_score, s_<emotion>.
            signals: the signals.
        """
        runs = {signal.name: runs_of(segments, signal) for signal in signals}
        return cls({name: SignalBaseline.of(parts) for name, parts in runs.items() if parts})


def robust_spread(values: np.ndarray) -> float:
    """Return the standard deviation of values by their median absolute deviation; 0 for no value.

    >>> round(robust_spread(np.array([1.0, 2.0, 3.0, 4.0, 1000.0])), 2)
    1.48
    """
    return NORMAL_SPREAD * float(np.median(np.abs(values - np.median(values)))) if len(values) else 0.0


def robust_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Return the correlation of pairs, 0 to 0.98; a negative one is 0.

    Args:
        first: float64 (pairs,).
        second: float64 (pairs,), of the same spread.
    """
    of_sums, of_differences = (robust_spread(side) ** 2 for side in (first + second, first - second))
    if of_sums + of_differences == 0:
        return 0.0
    return float(np.clip((of_sums - of_differences) / (of_sums + of_differences), 0, MOST_CORRELATION))


def _last(runs: Sequence[np.ndarray], num_windows: int) -> list[np.ndarray]:
    """Return the last windows of runs, as runs."""
    kept: list[np.ndarray] = []
    for run in reversed(runs):
        if num_windows > 0 and len(run):
            kept.insert(0, run[-num_windows:])
            num_windows -= len(run)
    return kept
