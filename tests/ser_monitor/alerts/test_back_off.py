"""Back-off: delays double up to a bound, and end once they fill the time."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ser_monitor.alerts.back_off import BackOff


@settings(max_examples=30)
@given(st.floats(0.1, 10), st.floats(10, 1000), st.floats(10, 5000))
def test_delays_double_up_to_the_longest_and_fill_the_time(first_s: float, longest_s: float, total_s: float) -> None:
    back_off = BackOff(first_s, longest_s, total_s)
    delays_s: list[float] = []
    while (delay_s := back_off.delay_s(len(delays_s) + 1)) is not None:
        delays_s.append(delay_s)
    next_s = min(2 * delays_s[-1], longest_s) if delays_s else first_s
    assert sum(delays_s) <= total_s
    assert sum(delays_s) + next_s > total_s * (1 - 1e-9)
    for before_s, after_s in zip(delays_s, delays_s[1:], strict=False):
        assert after_s == pytest.approx(min(2 * before_s, longest_s))


def test_by_default_a_delivery_is_tried_for_a_day() -> None:
    delays_s = [BackOff().delay_s(failures) for failures in range(1, 400)]
    tried = [delay_s for delay_s in delays_s if delay_s is not None]
    assert tried[:3] == [1, 2, 4]
    assert max(tried) == 300
    assert 86400 - 300 < sum(tried) <= 86400
    assert set(delays_s[len(tried) :]) == {None}
