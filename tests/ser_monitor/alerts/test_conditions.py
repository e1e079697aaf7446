"""Conditions: stretches of windows against a search over all of them, pauses, hops, hysteresis, each quantity."""

import dataclasses
import math
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ser_monitor.alerts.conditions import LONGEST_PAUSE_S, ConditionState, Holding
from ser_monitor.alerts.grammar import parse_condition
from ser_monitor.events import Event
from tests.ser_monitor.alerts.listening import window, windows


def observe(text: str, events: Sequence[Event], hysteresis: float = 0.0) -> list[Holding | None]:
    state = ConditionState(parse_condition(text), hysteresis)
    return [state.observe(event) for event in events]


def holds(text: str, events: Sequence[Event], hysteresis: float = 0.0) -> list[bool]:
    return [holding is not None for holding in observe(text, events, hysteresis)]


# A session: windows with hops of quarters of a second, widened ones, lost ones and pauses.
values = st.sampled_from([0.9, 0.8, 0.9, 0.6, 0.55, 0.1, None])
hops_s = st.sampled_from([0.25, 0.5, 1.0, 2.0, 5.0])
lost_s = st.sampled_from([0.0, 0.0, 0.0, 0.25, 1.5, 2.0, 3.0])


@st.composite
def sessions(draw: st.DrawFn) -> list[Event]:
    events, end_s = [], 3.0
    for _ in range(draw(st.integers(1, 14))):
        hop_s = draw(hops_s)
        events.append(window(end_s, draw(values), hop_s))
        end_s += hop_s + draw(lost_s)
    return events


class Oracle:
    """What the documentation says, as a search over all stretches of a whole session."""

    def __init__(self, events: Sequence[Event], duration_s: float, hysteresis: float) -> None:
        self.events = events
        self.duration_s = duration_s
        self.hysteresis = hysteresis

    def step_s(self, number: int) -> float:
        if number == 0:
            return self.events[0].hop_s
        before = self.events[number - 1]
        return min(self.events[number].end_s - before.end_s, before.hop_s)

    def is_stretch(self, first: int, last: int, threshold: float) -> bool:
        """Return whether all windows with a value are above a threshold, with pauses that are short enough."""
        measured = [number for number in range(first, last + 1) if self.events[number].activation is not None]
        if not measured or measured[0] != first:
            return False
        ends_s = [self.events[number].end_s for number in measured]
        pauses_s = [
            self.events[b].end_s - self.step_s(b) - end_s for b, end_s in zip(measured[1:], ends_s, strict=False)
        ]
        pauses_s.append(self.events[last].end_s - ends_s[-1])
        above = all((self.events[number].activation or 0) > threshold for number in measured)
        return above and max(pauses_s) <= LONGEST_PAUSE_S

    def begins(self, last: int) -> bool:
        """Return whether some stretch that ends here is long enough."""
        return any(
            self.is_stretch(first, last, 0.6)
            and sum(self.step_s(n) for n in range(first, last + 1) if self.events[n].activation is not None)
            >= self.duration_s
            for first in range(last + 1)
        )

    def holds(self, last: int) -> bool:
        """Return whether it began somewhere, and has since not gone back over the threshold by the hysteresis."""
        return any(
            self.begins(number) and self.is_stretch(number, last, 0.6 - self.hysteresis)
            for number in range(last + 1)
            if self.events[number].activation is not None
        )


@given(sessions(), st.sampled_from([0.25, 1.0, 2.0, 3.0, 7.5]), st.sampled_from([0.0, 0.02, 0.1]))
def test_a_condition_holds_where_a_search_over_all_stretches_says_so(
    events: list[Event], duration_s: float, hysteresis: float
) -> None:
    oracle = Oracle(events, duration_s, hysteresis)
    expected = [oracle.holds(number) for number in range(len(events))]
    assert holds(f"activation > 0.6 for {duration_s} s", events, hysteresis) == expected


@settings(max_examples=40)
@given(sessions(), st.sampled_from([0.0, 0.1]))
def test_less_activation_is_the_mirror_of_more(events: list[Event], hysteresis: float) -> None:
    mirrored = [
        event if event.activation is None else dataclasses.replace(event, activation=1 - event.activation)
        for event in events
    ]
    above = holds("activation > 0.625 for 2 s", events, hysteresis)
    assert holds("activation < 0.375 for 2 s", mirrored, hysteresis) == above


@settings(max_examples=40)
@given(sessions())
def test_a_stretch_is_at_least_as_long_as_asked(events: list[Event]) -> None:
    for event, holding in zip(events, observe("activation > 0.6 for 3 s", events), strict=True):
        if holding is not None:
            assert event.end_s - holding.began_s >= 3
            assert (event.ended_at - holding.began_at).total_seconds() == event.end_s - holding.began_s


@pytest.mark.parametrize("hop_s", [0.1, 0.25, 0.3, 1, 2.5])
def test_for_5_s_takes_as_many_windows_as_make_5_s_at_any_hop(hop_s: float) -> None:
    held = holds("angry > 0.6 for 5 s", windows([0.7] * 60, hop_s))
    assert held.index(True) == math.ceil(round(5 / hop_s, 6)) - 1
    assert all(held[held.index(True) :])


def test_a_widened_hop_counts_in_full_and_lost_audio_does_not() -> None:
    widened = [window(3, 0.9, hop_s=4), window(7, 0.9), window(8, 0.9)]
    lost = [window(3, 0.9), window(5, 0.9), window(6, 0.9)]  # the window that ends at 4 s never came
    assert holds("angry > 0.6 for 9 s", widened) == [False, False, True]  # 4 s for the first, 4 and 1
    assert holds("angry > 0.6 for 3 s", lost) == [False, False, True]


def test_a_short_pause_neither_counts_nor_breaks_and_a_long_one_ends() -> None:
    short = windows([0.9, 0.9, None, None, 0.9, 0.9])
    assert holds("angry > 0.6 for 3 s", short) == [False, False, False, False, True, True]
    long = windows([0.9, 0.9, 0.9, None, None, None, 0.9])
    assert holds("angry > 0.6 for 3 s", long) == [False, False, True, True, True, False, False]


def test_the_condition_ends_only_past_the_hysteresis_and_begins_only_past_the_threshold() -> None:
    events = windows([0.55, 0.61, 0.59, 0.56, 0.54, 0.59, 0.61])
    assert holds("angry > 0.6", events, 0.05) == [False, True, True, True, False, False, True]
    assert holds("angry > 0.6", events) == [False, True, False, False, False, False, True]


def test_hysteresis_helps_no_condition_to_begin() -> None:
    events = windows([0.61, 0.59, 0.61, 0.61, 0.59, 0.61])
    assert holds("angry > 0.6 for 2 s", events, 0.05) == [False, False, False, True, True, True]


def test_silence_counts_windows_without_speech_but_not_lost_audio() -> None:
    assert holds("silence for 2 s", windows([0.5, None, None, 0.5, None])) == [False, False, True, False, False]
    assert holds("silence for 3 s", [window(3), window(4), window(30), window(31)]) == [False] * 4


def test_unfamiliar_and_uncertain_look_at_score_and_label() -> None:
    events = [window(3, 0.5, ood_score=1.5), window(4, 0.5, ood_score=1.1), window(5), window(6, 0.5, ood_score=1.0)]
    assert holds("unfamiliar for 2 s", events) == [False, True, True, False]
    events = [window(3, 0.5, label="uncertain"), window(4, 0.5, label="uncertain"), window(5, 0.5)]
    assert holds("uncertain for 2 s", events) == [False, True, False]


def test_a_share_is_that_of_the_speech_of_the_last_seconds() -> None:
    events = windows([0.9, 0.9, 0.1, None, 0.1, 0.9, 0.1])
    shares = [holding and holding.value for holding in observe("share(angry, 4 s) >= 0", events)]
    # At a hop of 1 s the last four windows; the first alone fills less than a third of 4 s.
    assert shares == [
        None,
        1,
        pytest.approx(2 / 3),
        pytest.approx(2 / 3),
        pytest.approx(1 / 3),
        pytest.approx(1 / 3),
        pytest.approx(1 / 3),
    ]


@pytest.mark.parametrize("hop_s", [0.1, 0.3, 0.7])
def test_a_window_leaves_a_share_when_its_time_is_over_at_any_hop(hop_s: float) -> None:
    for loud in range(20):
        events = windows([0.9 if number == loud else 0.1 for number in range(40)], hop_s)
        shares = [holding is not None for holding in observe(f"share(angry, {10 * hop_s} s) > 0", events)]
        assert sum(shares) == 10 - max(0, 3 - loud)  # the first three windows fill less than a third


def test_a_rise_is_above_the_mean_of_the_seconds_before() -> None:
    events = windows([0.1, 0.2, 0.3, 0.9, None, 0.5])
    rises = [holding and holding.value for holding in observe("rise(angry, 3 s) >= -1", events)]
    expected = [None, 0.1, 0.15, 0.7, 0.7, 0.5 - 0.6]
    assert rises[:1] == [None]
    assert rises[1:] == pytest.approx(expected[1:])


@given(sessions(), st.sampled_from([1.0, 3.0, 8.0]))
def test_share_and_rise_equal_sums_over_the_whole_session(events: list[Event], window_s: float) -> None:
    oracle = Oracle(events, 0, 0)
    share = parse_condition(f"share(angry, {window_s} s) > 0").quantity.meter()
    rise = parse_condition(f"rise(angry, {window_s} s) > 0").quantity.meter()
    weights = [(oracle.step_s(number), event) for number, event in enumerate(events)]
    for now, (step_s, event) in enumerate(weights):
        last = [pair for pair in weights[: now + 1] if pair[1].end_s > event.end_s - window_s]
        before = [pair for pair in weights[:now] if pair[1].end_s > event.end_s - step_s - window_s]
        expected_share = mean(last, window_s, lambda window: float(window.label == "angry"))
        base = mean(before, window_s, lambda window: window.smoothed["angry"])
        expected_rise = None if base is None or not event.is_speech else event.smoothed["angry"] - base
        assert share(event, step_s) == pytest.approx(expected_share)
        assert rise(event, step_s) == pytest.approx(expected_rise)


def mean(weights: Sequence[tuple[float, Event]], window_s: float, value_of: Callable[[Event], float]) -> float | None:
    spoken = [(step_s, value_of(event)) for step_s, event in weights if event.is_speech]
    total_s = sum(step_s for step_s, _ in spoken)
    return sum(step_s * value for step_s, value in spoken) / total_s if total_s >= window_s / 3 and spoken else None
