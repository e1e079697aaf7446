"""Control charts against run lengths, and their single alarm for a stretch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_monitor.patterns.charts import CHARTS, Chart, CusumChart, EwmaChart
from ser_monitor.patterns.thresholds import independent_limit

KINDS = pytest.mark.parametrize("kind", CHARTS.values(), ids=list(CHARTS))
SERIES = st.lists(st.floats(-8, 8), min_size=1, max_size=60)


def first_alarms(kind: type[Chart], limit: float, shift: float, num_series: int = 2000) -> np.ndarray:
    """Return the number of windows to the first alarm of two-sided charts, simulated, (series,)."""
    rng = np.random.default_rng(0)
    signs = np.array([1.0, -1.0])
    charts = kind(limit, (num_series, 2))
    lengths = np.zeros(num_series)
    for window in range(1, 4000):
        raised = charts.step((rng.standard_normal(num_series) + shift)[:, np.newaxis] * signs).any(axis=1)
        lengths[(lengths == 0) & raised] = window
        if lengths.all():
            return lengths
    raise AssertionError("some series raise no alarm")


@KINDS
class TestChart:
    @pytest.mark.parametrize(("usual_length", "shift"), [(50, 0.0), (200, 1.0), (500, 2.0)])
    def test_its_run_length_is_that_of_the_markov_chain(
        self, kind: type[Chart], usual_length: int, shift: float
    ) -> None:
        limit = independent_limit(kind, 1 / usual_length)
        lengths = first_alarms(kind, limit, shift)
        standard_error = lengths.std() / np.sqrt(len(lengths))
        assert abs(lengths.mean() - kind.run_length(limit, shift)) < 4 * standard_error

    def test_a_long_shift_is_one_alarm(self, kind: type[Chart]) -> None:
        chart = kind(4.0)
        shifted = [bool(chart.step(4.0)) for _ in range(500)]
        assert sum(shifted) == 1
        assert chart.is_raised

    def test_after_an_alarm_it_is_ready_for_the_next(self, kind: type[Chart]) -> None:
        chart = kind(4.0)
        for _ in range(3):
            raised = [bool(chart.step(deviation)) for deviation in [3.0] * 40 + [0.0] * 40]
            assert sum(raised) == 1
            assert not chart.is_raised

    @given(SERIES)
    def test_an_alarm_is_raised_only_where_none_lasts(self, kind: type[Chart], deviations: list[float]) -> None:
        chart, lasted = kind(3.0), False
        for deviation in deviations:
            raised = bool(chart.step(deviation))
            assert raised == (bool(chart.is_raised) and not lasted)
            lasted = bool(chart.is_raised)

    @given(SERIES)
    def test_many_at_a_time_are_as_each_alone(self, kind: type[Chart], deviations: list[float]) -> None:
        limits = np.array([1.0, 3.0, 9.0])
        together, alone = kind(limits, (3,)), [kind(limit) for limit in limits]
        for deviation in deviations:
            raised = together.step(deviation)
            np.testing.assert_array_equal(raised, [chart.step(deviation) for chart in alone])
        np.testing.assert_array_equal(together.statistic, [chart.statistic for chart in alone])

    def test_two_hops_in_one_step_are_near_two_steps(self, kind: type[Chart]) -> None:
        wide, narrow = kind(50.0), kind(50.0)
        for _ in range(10):
            wide.step(2.0, steps=2)
            narrow.step(2.0), narrow.step(2.0)
        assert wide.statistic == pytest.approx(float(narrow.statistic))

    def test_a_restart_forgets(self, kind: type[Chart]) -> None:
        chart = kind(1.0)
        for _ in range(40):
            chart.step(5.0)
        chart.restart()
        assert not chart.is_raised
        assert chart.statistic == 0


@given(SERIES)
def test_the_sum_before_an_alarm_is_pages_range(deviations: list[float]) -> None:
    """The statistic is how far the cumulative sum is above the lowest value it had (Page 1954)."""
    chart = CusumChart(np.inf)
    for deviation in deviations:
        chart.step(deviation)
    sums = np.cumsum([0.0, *(deviation - CusumChart.slack for deviation in deviations)])
    assert float(chart.statistic) == pytest.approx(sums[-1] - sums.min(), abs=1e-9)


@given(SERIES)
def test_the_average_is_roberts_weighted_sum(deviations: list[float]) -> None:
    chart, weight = EwmaChart(np.inf), EwmaChart.weight
    for deviation in deviations:
        chart.step(deviation)
    weights = weight * (1 - weight) ** np.arange(len(deviations))[::-1]
    expected = weights @ np.array(deviations) / np.sqrt(weight / (2 - weight))
    assert float(chart.statistic) == pytest.approx(expected, abs=1e-9)
