"""Thresholds: the false alarms that are asked for are those that come, with all that is estimated."""

import numpy as np
import pytest

from ser_monitor.patterns import thresholds
from ser_monitor.patterns.baseline import SignalBaseline
from ser_monitor.patterns.charts import CHARTS, Chart, CusumChart
from ser_monitor.patterns.thresholds import calibrated_limit, count_alarms, independent_limit, simulated_deviations
from tests.ser_monitor.patterns.test_optimal_partitioning import autoregressive

KINDS = pytest.mark.parametrize("kind", CHARTS.values(), ids=list(CHARTS))
RATE = 2 / 3600


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the level of a voice be the same for ever."""
    monkeypatch.setattr(thresholds, "_WANDERING", 0.0)


def true_rate(
    kind: type[Chart], baseline: SignalBaseline, limit: float, correlation: float, wandering: float = 0.0
) -> float:
    """Return the false alarms per window of a chart on new autoregressions, by simulation."""
    rng = np.random.default_rng(99)
    series = np.zeros((500, 300))
    for window in range(1, 500):
        drawn = rng.standard_normal(300) * np.sqrt(1 - correlation**2)
        series[window] = correlation * series[window - 1] + drawn
    deviations = baseline.deviations(series[100:]) + rng.normal(0, wandering, 300)
    return (
        sum(float(count_alarms(kind, sign * deviations, np.array([limit])).sum()) for sign in (1, -1)) / deviations.size
    )


@KINDS
class TestCalibratedLimit:
    @pytest.mark.usefixtures("steady")
    @pytest.mark.parametrize("correlation", [0.0, 0.8])
    def test_a_long_baseline_gives_the_rate_that_is_asked_for(self, kind: type[Chart], correlation: float) -> None:
        baseline = SignalBaseline.of([autoregressive(3600, correlation, 1)])
        limit = calibrated_limit(kind, baseline, RATE)
        assert 0.5 < true_rate(kind, baseline, limit, correlation) / RATE < 2

    def test_a_level_that_wanders_is_allowed_for(self, kind: type[Chart]) -> None:
        baseline = SignalBaseline.of([autoregressive(3600, 0.8, 1)])
        limit = calibrated_limit(kind, baseline, RATE)
        assert 0.5 < true_rate(kind, baseline, limit, 0.8, thresholds._WANDERING) / RATE < 2

    @pytest.mark.usefixtures("steady")
    def test_independent_data_and_a_long_baseline_come_to_the_markov_chain(self, kind: type[Chart]) -> None:
        baseline = SignalBaseline.of([autoregressive(3600, 0.0, 2)])
        assert calibrated_limit(kind, baseline, RATE) == pytest.approx(independent_limit(kind, RATE), rel=0.15)

    def test_a_short_baseline_needs_a_higher_limit(self, kind: type[Chart], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(thresholds, "_MOST_SERIES", 400)
        series = autoregressive(3600, 0.7, 3)
        limits = [calibrated_limit(kind, SignalBaseline.of([series[:num]]), RATE) for num in (120, 3600)]
        assert limits[0] > limits[1]

    def test_fewer_false_alarms_need_a_higher_limit(self, kind: type[Chart], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(thresholds, "_MOST_SERIES", 400)
        baseline = SignalBaseline.of([autoregressive(1800, 0.7, 4)])
        limits = [calibrated_limit(kind, baseline, rate / 3600, 1) for rate in (60, 10, 2)]
        assert limits == sorted(limits)
        assert calibrated_limit(kind, baseline, 10 / 3600, 2) >= limits[1]


@KINDS
@pytest.mark.parametrize("alarms_per_window", [1 / 100, 1 / 500, 1 / 5000])
def test_the_independent_limit_has_the_run_length_that_is_asked_for(
    kind: type[Chart], alarms_per_window: float
) -> None:
    assert kind.run_length(independent_limit(kind, alarms_per_window)) * alarms_per_window == pytest.approx(1, rel=0.03)


def test_alarms_are_counted_as_charts_raise_them() -> None:
    deviations = np.random.default_rng(0).normal(0, 3, (50, 4))
    limits = np.array([2.0, 6.0])
    expected = []
    for column in deviations.T:
        charts = [CusumChart(limit) for limit in limits]
        expected.append([sum(bool(chart.step(value)) for value in column) for chart in charts])
    assert count_alarms(CusumChart, deviations, limits).tolist() == expected


def test_simulated_windows_are_spread_and_correlated_as_the_baseline() -> None:
    baseline = SignalBaseline.of([5 + 2 * autoregressive(3600, 0.8, 5)])
    deviations = simulated_deviations(baseline, 300, np.random.default_rng(0))
    pairs = deviations[:-1].ravel(), deviations[1:].ravel()
    assert np.corrcoef(*pairs)[0, 1] == pytest.approx(baseline.correlation, abs=0.03)
    assert deviations.std() == pytest.approx(1, abs=0.1)


def test_a_baseline_without_neighbours_can_be_calibrated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thresholds, "_MOST_SERIES", 100)
    runs = [np.array([value]) for value in np.random.default_rng(0).standard_normal(200)]
    assert np.isfinite(calibrated_limit(CusumChart, SignalBaseline.of(runs), RATE))
