"""Hop control: fewer windows while the machine cannot keep up, all of them again when it can."""

from ser_monitor.scoring.hop_control import MOST_STRIDE, HopControl


def strides(answers: list[tuple[float, float]]) -> list[int]:
    """Return the stride after each answer, given as (moment, seconds it was late)."""
    control, seen = HopControl(0.0), []
    for now_s, delay_s in answers:
        before = control.stride
        assert control.observe(delay_s, now_s) == (control.stride != before)
        seen.append(control.stride)
    return seen


def test_hops_widen_step_by_step_and_no_further_than_the_widest() -> None:
    seen = strides([(float(second), 2.0) for second in range(60)])
    assert seen[0] == 1
    assert sorted(set(seen)) == [1, 2, 4, 8]
    assert max(seen) == MOST_STRIDE
    assert seen == sorted(seen)


def test_hops_narrow_once_answers_have_come_soon_for_a_while() -> None:
    answers = [(float(second), 2.0) for second in range(5)] + [(float(second), 0.1) for second in range(5, 40)]
    seen = strides(answers)
    assert max(seen) == 2
    assert seen[-1] == 1
    assert seen.index(1, 5) >= 14


def test_answers_in_between_change_nothing() -> None:
    assert set(strides([(float(second), 0.6) for second in range(100)])) == {1}


def test_windows_are_left_out_evenly() -> None:
    control = HopControl(0.0)
    control.observe(5.0, 10.0)
    assert [number for number in range(8) if control.takes(number)] == [0, 2, 4, 6]
