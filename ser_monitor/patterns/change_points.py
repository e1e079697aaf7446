"""Unusual stretches of past sessions, for reports: parts between change points that are far from what is usual.

Where `ser_monitor.patterns.detector` has to decide as windows come, here the whole session is there, so that beginning,
end and size of a stretch are better estimates. A short stretch that raised an alert may be no part of its own.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ser_monitor.patterns.baseline import SignalBaseline
from ser_monitor.patterns.optimal_partitioning import change_points, long_run_variance
from ser_monitor.patterns.signals import ACTIVATION, HIGHER, LOWER, Signal, runs_of, settled, signal_of

COLUMNS = ("session", "source", "speaker", "start", "end", "signal", "direction", "size")
UNUSUAL_FROM = 2.0  # spreads of single windows by which the mean of a part deviates
_LEAST_WINDOWS = 120  # of a speaker or source, with fewer of which nothing is usual
_MOST_POINTS = 5000  # of a session; in a longer one neighbours are averaged


def unusual_stretches(segments: Any, signals: Sequence[str] = (ACTIVATION,)) -> Any:
    """List the stretches that were unusual for their speaker, or for their source where nobody is named.

    Args:
        segments: DataFrame of windows with the columns session_id, number, source, speaker, started_at, start_s, end_s
            those of the signals: activation, ood_score, s_<emotion>; and enrolled, if that is known.
        signals: "activation", "unfamiliar" or emotions.

    Returns:
        DataFrame with the columns session, source, speaker, start and end (moments), signal, direction ("higher" or
        "lower") and size, the mean deviation in spreads; in order of time.
    """
    import pandas as pd

    rows: list[tuple[Any, ...]] = []
    whose = segments["speaker"].where(segments["speaker"].fillna("") != "", "source " + segments["source"])
    for name, (_, own) in itertools.product(signals, segments.groupby(whose, sort=True)):
        rows += _stretches_of(own, signal_of(name))
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.sort_values(["start", "signal"], kind="stable", ignore_index=True)


def _stretches_of(segments: Any, signal: Signal) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a speaker or source."""
    runs = runs_of(segments, signal)
    if sum(map(len, runs)) < _LEAST_WINDOWS:
        return
    baseline = SignalBaseline.of(runs)
    variance = long_run_variance(np.concatenate([baseline.deviations(run) for run in baseline.runs]))
    scored = settled(segments).dropna(subset=[signal.column])
    for _, session in scored.groupby("session_id", sort=False):
        ordered = session.sort_values("number")
        quantities = ordered[signal.column].to_numpy(np.float64)
        deviations = baseline.deviations(signal.scale(quantities))
        for start, end in _unusual_parts(deviations, variance):
            size = float(deviations[start:end].mean())
            direction = HIGHER if size > 0 else LOWER
            if direction in signal.directions and quantities[start:end].mean() >= signal.least:
                yield _row(ordered.iloc[start], ordered.iloc[end - 1], signal.name, direction, size)


def _row(first: Any, last: Any, *rest: Any) -> tuple[Any, ...]:
    import pandas as pd

    ended_at = last["started_at"] + pd.Timedelta(seconds=last["end_s"] - last["start_s"])
    return (first["session_id"], first["source"], first["speaker"], first["started_at"], ended_at, *rest)


def _unusual_parts(deviations: np.ndarray, variance: float) -> Iterator[tuple[int, int]]:
    """Yield start and end of the parts of a session that are unusual; neighbours in one direction are one part.

    Args:
        deviations: float64 (windows,).
        variance: long-run variance of what is usual.
    """
    averaged = -(-len(deviations) // _MOST_POINTS)
    points = _means(deviations, averaged)
    bounds = [0, *(point * averaged for point in change_points(points, variance / averaged)), len(deviations)]
    parts = [(start, end, deviations[start:end].mean()) for start, end in itertools.pairwise(bounds)]
    for sign, group in itertools.groupby(parts, key=lambda part: np.sign(part[2]) * (abs(part[2]) >= UNUSUAL_FROM)):
        neighbours = list(group)
        if sign:
            yield neighbours[0][0], neighbours[-1][1]


def _means(values: np.ndarray, num: int) -> np.ndarray:
    """Return the means of every `num` neighbours, the last of what is left, float64 (values / num,)."""
    starts = np.arange(0, len(values), num)
    return np.add.reduceat(values, starts) / np.diff([*starts, len(values)])
