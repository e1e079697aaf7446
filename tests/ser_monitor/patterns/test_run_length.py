"""Run lengths against published tables."""

import numpy as np
import pytest

from ser_monitor.patterns.run_length import cusum_run_length, ewma_run_length

SHIFTS = (0, 0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 3, 4)


class TestCusumRunLength:
    @pytest.mark.parametrize(
        ("limit", "published"),
        [  # Montgomery, "Introduction to Statistical Quality Control", table 9.3, two-sided, slack 0.5
            (4, (168, 74.2, 26.6, 13.3, 8.38, 4.75, 3.34, 2.62, 2.19, 1.71)),
            (5, (465, 139, 38.0, 17.0, 10.4, 5.75, 4.01, 3.11, 2.57, 2.01)),
        ],
    )
    def test_it_is_that_of_the_table(self, limit: float, published: tuple[float, ...]) -> None:
        two_sided = [1 / sum(1 / cusum_run_length(limit, 0.5, sign * shift) for sign in (1, -1)) for shift in SHIFTS]
        np.testing.assert_allclose(two_sided, published, rtol=0.005)

    def test_without_slack_or_limit_to_speak_of_it_is_two(self) -> None:
        """A sum that may not be above 0 lasts until the first deviation above 0."""
        assert cusum_run_length(1e-9, 0.0) == pytest.approx(2, rel=1e-6)


class TestEwmaRunLength:
    @pytest.mark.parametrize(
        ("limit", "weight", "published"),
        [  # Lucas and Saccucci (1990), as in Montgomery's table 9.11
            (3.054, 0.4, (500, 224, 71.2, 28.4, 14.3, 5.9, 3.5, 2.5, 2.0, 1.4)),
            (2.998, 0.25, (500, 170, 48.2, 20.1, 11.1, 5.5, 3.6, 2.7, 2.3, 1.7)),
            (2.962, 0.2, (500, 150, 41.8, 18.2, 10.5, 5.5, 3.7, 2.9, 2.4, 1.9)),
            (2.814, 0.1, (500, 106, 31.3, 15.9, 10.3, 6.1, 4.4, 3.4, 2.9, 2.2)),
            (2.615, 0.05, (500, 84.1, 28.8, 16.4, 11.4, 7.1, 5.2, 4.2, 3.5, 2.7)),
        ],
    )
    def test_it_is_that_of_the_table(self, limit: float, weight: float, published: tuple[float, ...]) -> None:
        ours = [ewma_run_length(limit, weight, shift) for shift in SHIFTS]
        np.testing.assert_allclose(ours, published, rtol=0.005, atol=0.06)  # the table has one decimal
