"""Change points against all partitions, on steps, and where there is no change."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from ser_monitor.patterns.optimal_partitioning import best_partition, change_points, long_run_variance


def cost(series: np.ndarray, points: tuple[int, ...], penalty: float) -> float:
    parts = np.split(series, list(points))
    return sum(float(np.sum((part - part.mean()) ** 2)) for part in parts) + penalty * len(points)


def autoregressive(length: int, correlation: float, seed: int) -> np.ndarray:
    """Return a series with standard deviation 1, float64 (length,)."""
    innovations = np.random.default_rng(seed).standard_normal(length + 100) * np.sqrt(1 - correlation**2)
    return lfilter([1.0], [1.0, -correlation], innovations)[100:]


class TestChangePoints:
    @settings(max_examples=40)
    @given(st.lists(st.integers(-3, 3), min_size=4, max_size=9), st.integers(1, 3), st.sampled_from([0.5, 2.0, 7.0]))
    def test_no_partition_costs_less(self, values: list[int], least: int, penalty: float) -> None:
        series = np.array(values, float)
        partitions = [
            points
            for count in range(len(series))
            for points in itertools.combinations(range(1, len(series)), count)
            if min(np.diff([0, *points, len(series)])) >= least
        ]
        ours = tuple(best_partition(series, least, penalty))
        assert ours in partitions
        cheapest = min((cost(series, points, penalty) for points in partitions), default=cost(series, (), penalty))
        assert cost(series, ours, penalty) == pytest.approx(cheapest)

    @pytest.mark.parametrize("correlation", [0.0, 0.5, 0.8])
    def test_steps_are_seen_where_they_are(self, correlation: float) -> None:
        series = autoregressive(600, correlation, 1)
        series[200:] += 5
        series[400:] -= 5
        points = change_points(series)
        assert len(points) == 2
        np.testing.assert_allclose(points, [200, 400], atol=4)

    @pytest.mark.parametrize("correlation", [0.0, 0.5, 0.8])
    def test_without_a_change_there_is_hardly_ever_one(self, correlation: float) -> None:
        false_positives = [bool(change_points(autoregressive(300, correlation, seed))) for seed in range(25)]
        assert np.mean(false_positives) <= 0.1

    @pytest.mark.parametrize("series", [np.zeros(50), np.zeros(0), np.array([1.0, 2.0])])
    def test_what_is_constant_or_short_does_not_change(self, series: np.ndarray) -> None:
        assert change_points(series) == []


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.8])
def test_the_long_run_variance_is_that_of_long_means_whatever_the_steps(correlation: float) -> None:
    series = autoregressive(10_000, correlation, 2)
    series[4_000:] += 10
    share = long_run_variance(series) / ((1 + correlation) / (1 - correlation))
    assert 0.6 < share < 1.1  # adjacent blocks are correlated too
