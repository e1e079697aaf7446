"""Simulation of rules: the alerts that they would have raised on past sessions."""

import heapq
from collections.abc import Iterable, Iterator, Sequence

from ser_monitor.alerts.engine import RuleEngine
from ser_monitor.alerts.rules import Rule
from ser_monitor.events import Alert, Event, Session


def dry_run(rules: Sequence[Rule], sessions: Iterable[tuple[Session, Iterable[Event]]]) -> list[Alert]:
    """Return the alerts that rules raise on past sessions, in the order of the audio; nothing is sent.

    Args:
        rules: to try.
        sessions: each with its events in order. Sessions of the same time share cool-downs as they would live, so
            events of all are merged by the moments of their ends, without loading them at once.
    """
    engine = RuleEngine(rules)
    streams = [_with_session(session, events) for session, events in sessions]
    alerts: list[Alert] = []
    for session, event in heapq.merge(*streams, key=lambda pair: pair[1].ended_at):
        alerts += engine.observe(session, event)[0]
    return alerts


def _with_session(session: Session, events: Iterable[Event]) -> Iterator[tuple[Session, Event]]:
    return ((session, event) for event in events)
