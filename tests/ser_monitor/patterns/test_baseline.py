"""Robust baselines: what they are on normal data, and that a tenth of outliers hardly moves them."""

import numpy as np
import pandas as pd
import pytest

from ser_monitor.patterns.baseline import (
    LEAST_SPREAD,
    MOST_WINDOWS,
    Baseline,
    SignalBaseline,
    robust_correlation,
    robust_spread,
)
from ser_monitor.patterns.signals import log_odds, signal_of
from tests.ser_monitor.patterns.test_optimal_partitioning import autoregressive


def segments(probabilities: list[float | None], session: str = "s", column: str = "activation") -> pd.DataFrame:
    """Return a table of a session's windows."""
    values = np.array(probabilities, float)
    return pd.DataFrame({"session_id": session, "number": np.arange(len(values)), column: values})


class TestSignalBaseline:
    @pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
    def test_it_is_center_spread_and_correlation_of_the_series(self, correlation: float) -> None:
        baseline = SignalBaseline.of([3 + 0.5 * autoregressive(3000, correlation, 0)])
        assert baseline.center == pytest.approx(3, abs=0.15)
        assert baseline.spread == pytest.approx(0.5, rel=0.15)
        assert baseline.correlation == pytest.approx(correlation, abs=0.05)

    def test_a_tenth_of_outliers_moves_it_little(self) -> None:
        series = autoregressive(3000, 0.8, 1)
        clean = SignalBaseline.of([series])
        for start in range(0, 3000, 300):
            series[start : start + 30] = 20
        spoilt = SignalBaseline.of([series])
        assert abs(spoilt.center - clean.center) < 0.25
        assert spoilt.spread / clean.spread == pytest.approx(1.15, abs=0.15)

    def test_a_constant_series_has_the_least_spread(self) -> None:
        baseline = SignalBaseline.of([np.full(50, 0.3)])
        assert (baseline.spread, baseline.correlation) == (LEAST_SPREAD, 0.0)
        assert baseline.deviations(0.3 + LEAST_SPREAD) == pytest.approx(1)

    def test_neighbours_of_different_runs_are_no_pairs(self) -> None:
        runs = [np.array([level, level]) for level in (1.0, -1.0) * 20]
        alike, alternating = SignalBaseline.of(runs), SignalBaseline.of([np.array([1.0, -1.0] * 40)])
        assert alike.correlation == pytest.approx(0.98)
        assert alternating.correlation == 0.0

    def test_the_last_hour_of_speech_counts(self) -> None:
        baseline = SignalBaseline.of([np.full(MOST_WINDOWS, 9.0), np.zeros(0), np.arange(MOST_WINDOWS - 10.0)])
        assert baseline.num_windows == MOST_WINDOWS
        assert [len(run) for run in baseline.runs] == [10, MOST_WINDOWS - 10]
        assert [run.tolist() for run in baseline.last(2)] == [[MOST_WINDOWS - 12.0, MOST_WINDOWS - 11.0]]


class TestBaseline:
    def test_it_is_measured_by_signal_over_sessions_in_their_order(self) -> None:
        table = pd.concat([segments([0.9, 0.8, None, 0.7], "z"), segments([0.2], "a")])
        baseline = Baseline.fit(table, [signal_of("activation"), signal_of("angry")])
        assert list(baseline.signals) == ["activation"]
        expected = [log_odds(np.array(run)) for run in ([0.9, 0.8, 0.7], [0.2])]
        assert [run.tolist() for run in baseline.signals["activation"].runs] == [run.tolist() for run in expected]

    def test_without_windows_there_is_none(self) -> None:
        assert Baseline.fit(segments([]), [signal_of("activation")]).signals == {}
        assert Baseline.fit(segments([None, None]), [signal_of("activation")]).signals == {}


def test_spread_and_correlation_are_those_of_normal_data() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.standard_normal((2, 50_000))
    assert robust_spread(2 * first) == pytest.approx(2, rel=0.02)
    assert robust_correlation(first, 0.6 * first + 0.8 * second) == pytest.approx(0.6, abs=0.02)
    assert robust_correlation(first, -first) == 0.0
    assert robust_spread(np.zeros(0)) == 0.0
