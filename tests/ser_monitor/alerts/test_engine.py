"""Rule engine: one alert while a condition holds, cool-downs over sessions and restarts, ends, threads."""

import contextlib
import dataclasses
import logging
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ser_monitor.alerts.conditions import ConditionState
from ser_monitor.alerts.engine import RuleEngine, clock_text
from ser_monitor.alerts.grammar import parse_condition
from ser_monitor.alerts.rules import Rule
from ser_monitor.events import RULE, UTTERANCE, Alert, AlertEnd, Event, Session
from tests.ser_monitor.alerts.listening import START, session, window, windows


def rule(
    when: str = "angry > 0.6 for 2 s", name: str = "raised voice", cooldown_s: float = 10.0, **fields: float
) -> Rule:
    return Rule(name, parse_condition(when), cooldown_s=cooldown_s, **fields)  # type: ignore[arg-type]


def observe(
    engine: RuleEngine, events: Sequence[Event], of: Session | None = None
) -> tuple[list[Alert], list[AlertEnd]]:
    alerts: list[Alert] = []
    ends: list[AlertEnd] = []
    for event in events:
        begun, ended = engine.observe(of or session(), event)
        alerts += begun
        ends += ended
    return alerts, ends


def at(time_s: float) -> datetime:
    return START + timedelta(seconds=time_s)


def test_an_alert_says_what_where_and_since_when() -> None:
    (alert,), ends = observe(RuleEngine([rule()]), windows([0.1, 0.7, 0.743, 0.8]), session(speaker="anna"))
    assert not ends
    assert (alert.kind, alert.rule, alert.session_id) == (RULE, "raised voice", "s1")
    assert (alert.source, alert.speaker, alert.channels) == ("hotline-1", "anna", ("terminal",))
    assert (alert.began_at, alert.raised_at, alert.value) == (at(3), at(5), 0.743)
    assert alert.message == "raised voice: angry > 0.6 for 2 s (0.74), since 00:00:03 of hotline-1 (anna)"


def test_a_state_has_no_value_to_show() -> None:
    (alert,), _ = observe(RuleEngine([rule("silence for 2 s")]), windows([None, None]))
    assert alert.value is None
    assert alert.message == "raised voice: silence for 2 s, since 00:00:02 of hotline-1"


def test_an_alert_ends_once_and_another_is_raised_after_the_cooldown() -> None:
    loud, calm = [0.9] * 3, [0.1]
    alerts, ends = observe(RuleEngine([rule(cooldown_s=8)]), windows([*loud, *calm, *loud, *calm, *loud, *calm]))
    assert [alert.raised_at for alert in alerts] == [at(4), at(12)]  # that at 8 s is too soon
    assert ends == [AlertEnd(alerts[0].id, at(6)), AlertEnd(alerts[1].id, at(14))]


def test_a_condition_that_outlasts_the_cooldown_raises_its_alert_then() -> None:
    alerts, _ = observe(RuleEngine([rule(cooldown_s=8)]), windows([*[0.9] * 3, 0.1, *[0.9] * 9]))
    assert [(alert.began_at, alert.raised_at) for alert in alerts] == [(at(2), at(4)), (at(6), at(12))]


def test_after_a_long_pause_the_old_alert_ends_even_if_the_new_window_begins_another() -> None:
    instant = rule("angry > 0.6", cooldown_s=0)
    alerts, ends = observe(RuleEngine([instant]), [window(3, 0.9), window(60, 0.9)])
    assert [alert.raised_at for alert in alerts] == [at(3), at(60)]
    assert ends == [AlertEnd(alerts[0].id, at(60))]


def test_the_cooldown_is_shared_by_sessions_of_one_source_and_speaker_only() -> None:
    engine = RuleEngine([rule("angry > 0.6")])
    of = [("a", "desk", "anna"), ("b", "desk", "anna"), ("c", "desk", "ben"), ("d", "hall", "anna")]
    raised = [observe(engine, [window(3, 0.9)], session(*names))[0] for names in of]
    assert [len(alerts) for alerts in raised] == [1, 0, 1, 1]
    assert [len(observe(engine, [window(2, 0.9)], session("e", "desk", "anna"))[0])] == [0]  # its clock is behind


def test_a_recording_of_another_day_is_not_silenced_by_alerts_of_today() -> None:
    engine = RuleEngine([rule("angry > 0.6")])
    yesterday = window(3, 0.9, started_at=START - timedelta(days=1))
    assert len(observe(engine, [window(3, 0.9)])[0]) == 1
    assert len(observe(engine, [yesterday], session("s2"))[0]) == 1


def test_a_cooldown_goes_on_after_a_restart() -> None:
    asked = []

    def last_raised(*names: str) -> datetime | None:
        asked.append(names)
        return at(0)

    engine = RuleEngine([rule("angry > 0.6")], last_raised)
    alerts, _ = observe(engine, windows([0.9] * 10))
    assert [alert.raised_at for alert in alerts] == [at(10)]
    assert asked == [("raised voice", "hotline-1", "")]


def test_alerts_are_raised_while_the_database_cannot_be_asked(caplog: pytest.LogCaptureFixture) -> None:
    def last_raised(*_: str) -> datetime | None:
        raise OSError("database is locked")

    with caplog.at_level(logging.WARNING):
        alerts, _ = observe(RuleEngine([rule("angry > 0.6")], last_raised), windows([0.9] * 3))
    assert len(alerts) == 1
    assert "database is locked" in caplog.text


def test_the_end_of_a_session_ends_its_alerts() -> None:
    engine = RuleEngine([rule(), rule("silence for 1 h", "nobody")])
    (alert,), _ = observe(engine, windows([0.9] * 3))
    assert engine.finish(session(), at(9)) == [AlertEnd(alert.id, at(9))]
    assert engine.finish(session(), at(9)) == []


def test_utterances_and_sessions_that_no_rule_is_for_raise_nothing() -> None:
    engine = RuleEngine([dataclasses.replace(rule("angry > 0.6"), sources=("desk",))])
    assert observe(engine, windows([0.9])) == ([], [])
    assert observe(engine, [window(3, 0.9, kind=UTTERANCE)], session("s2", "desk")) == ([], [])
    assert len(observe(engine, windows([0.9]), session("s2", "desk"))[0]) == 1


def test_a_rule_about_an_emotion_that_the_run_does_not_know_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert observe(RuleEngine([rule("bored > 0.6")]), windows([0.9] * 5)) == ([], [])
    assert caplog.messages == ["rule 'raised voice' cannot come true: the run run knows no 'bored'"]


@settings(max_examples=50)
@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=40), st.sampled_from([0.0, 3.0, 20.0]))
def test_alerts_follow_the_condition(angry: list[float | None], cooldown_s: float) -> None:
    """Each alert lies within a stretch in which the condition holds, has one end, and respects the cool-down."""
    events = windows(angry)
    engine = RuleEngine([rule(cooldown_s=cooldown_s)])
    state = ConditionState(parse_condition("angry > 0.6 for 2 s"), 0.05)
    active: Alert | None = None
    last: datetime | None = None
    for event in events:
        alerts, ends = engine.observe(session(), event)
        holding = state.observe(event)
        if active is not None and (holding is None or holding.began_at != active.began_at):
            assert ends == [AlertEnd(active.id, event.ended_at)]
            active = None
        else:
            assert ends == []
        cool = last is None or (event.ended_at - last).total_seconds() >= cooldown_s
        assert len(alerts) == (active is None and holding is not None and cool)
        if alerts:
            active, last = alerts[0], event.ended_at


def test_sessions_in_several_threads_do_not_mix() -> None:
    engine = RuleEngine([rule(cooldown_s=5)])
    events = windows([0.9, 0.9, 0.9, 0.1] * 20)
    expected = [alert.raised_at for alert in observe(RuleEngine([rule(cooldown_s=5)]), events)[0]]
    of = [session(f"s{number}", f"source-{number}") for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        raised = list(pool.map(lambda one: observe(engine, events, one)[0], of))
    assert [[alert.raised_at for alert in alerts] for alerts in raised] == [expected] * 8
    assert {alert.session_id for alert in raised[3]} == {"s3"}


def test_of_two_sessions_of_one_source_at_once_one_raises() -> None:
    both = threading.Barrier(2)

    def last_raised(*_: str) -> None:
        with contextlib.suppress(threading.BrokenBarrierError):  # the other thread waits for this one
            both.wait(0.05)

    engine = RuleEngine([rule("angry > 0.6")], last_raised)
    with ThreadPoolExecutor(2) as pool:
        raised = list(pool.map(lambda name: observe(engine, windows([0.9] * 3), session(name))[0], ["a", "b"]))
    assert sum(map(len, raised)) == 1


@pytest.mark.parametrize(("time_s", "text"), [(-0.5, "00:00:00"), (3599.99, "00:59:59"), (360000, "100:00:00")])
def test_clock_text(time_s: float, text: str) -> None:
    assert clock_text(time_s) == text
