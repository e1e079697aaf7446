"""Simulation of rules: past sessions raise what they would have raised live."""

from ser_monitor.alerts.engine import RuleEngine
from ser_monitor.alerts.grammar import parse_condition
from ser_monitor.alerts.rules import Rule
from ser_monitor.alerts.simulate import dry_run
from tests.ser_monitor.alerts.listening import START, session, windows

RULES = [Rule("raised voice", parse_condition("angry > 0.6 for 2 s"), cooldown_s=5)]


def test_one_session_raises_what_it_raised_live() -> None:
    events = windows([0.9, 0.9, 0.1] * 10)
    engine = RuleEngine(RULES)
    live = [alert for event in events for alert in engine.observe(session(), event)[0]]
    assert len(live) > 3
    assert [alert.raised_at for alert in dry_run(RULES, [(session(), events)])] == [alert.raised_at for alert in live]


def test_sessions_of_the_same_time_share_cooldowns_in_the_order_of_the_audio() -> None:
    later, sooner = windows([0.1, 0.1, 0.9, 0.9]), windows([0.9, 0.9, 0.1, 0.1])
    alerts = dry_run(RULES, iter([(session("a"), iter(later)), (session("b"), iter(sooner))]))
    assert [(alert.session_id, (alert.raised_at - START).total_seconds()) for alert in alerts] == [("b", 4)]
    alerts = dry_run(RULES, [(session("a", "desk"), later), (session("b", "hall"), sooner)])
    assert [alert.session_id for alert in alerts] == ["b", "a"]
