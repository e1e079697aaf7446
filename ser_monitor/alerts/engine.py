"""Rule engine: the windows of all sessions in, alerts and their ends out.

While a rule's condition holds in a session there is one alert of it. After one was raised, the rule is silent for the
same source and speaker until its cool-down is over, counted in audio from the last alert, in whichever session that
was. A condition that holds longer than that raises its alert then.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from ser_monitor.alerts.conditions import ConditionState, Holding
from ser_monitor.alerts.rules import Rule
from ser_monitor.events import RULE, WINDOW, Alert, AlertEnd, Event, Session, new_id

LastRaised = Callable[[str, str, str], datetime | None]
"""Returns when a rule last raised an alert, by the names of rule, source and speaker."""

_LOG = logging.getLogger(__name__)


class RuleEngine:
    """All rules over all sessions.

    Sessions may be observed from several threads at once, one session from one thread at a time.

    Args:
        rules: of one file.
        last_raised: looks up alerts from before the start, so that cool-downs go on after a restart.
    """

    def __init__(self, rules: Sequence[Rule], last_raised: LastRaised | None = None) -> None:
        self._rules = tuple(rules)
        self._cooldowns = _Cooldowns(last_raised or _never)
        self._sessions: dict[str, list[_Watch]] = {}

    def observe(self, session: Session, event: Event) -> tuple[list[Alert], list[AlertEnd]]:
        """Take a session's next event; utterances raise nothing, as their windows have been observed.

        Args:
            session: that the event belongs to.
            event: the events of a session come in order.

        Returns:
            Alerts that begin and alerts that end with it.
        """
        alerts: list[Alert] = []
        ends: list[AlertEnd] = []
        if event.kind == WINDOW:
            for watch in self._watches(session):
                watch.observe(event, alerts, ends)
        return alerts, ends

    def finish(self, session: Session, at: datetime) -> list[AlertEnd]:
        """End the alerts of a session that is over.

        Args:
            session: the session.
            at: moment of its end, in UTC.
        """
        watches = self._sessions.pop(session.id, [])
        return [AlertEnd(watch.alert.id, at) for watch in watches if watch.alert is not None]

    def _watches(self, session: Session) -> list["_Watch"]:
        if session.id not in self._sessions:
            rules = [rule for rule in self._rules if rule.applies_to(session)]
            _warn_of_unknown_emotions(rules, session)
            self._sessions[session.id] = [_Watch(rule, session, self._cooldowns) for rule in rules]
        return self._sessions[session.id]


class _Watch:
    """One rule in one session.

    Attributes:
        alert: that has not ended, if there is one.
    """

    def __init__(self, rule: Rule, session: Session, cooldowns: "_Cooldowns") -> None:
        self._rule, self._session, self._cooldowns = rule, session, cooldowns
        self._state = ConditionState(rule.condition, rule.hysteresis)
        self.alert: Alert | None = None

    def observe(self, event: Event, alerts: list[Alert], ends: list[AlertEnd]) -> None:
        """Take a window.

        Args:
            event: the window.
            alerts: an alert that begins is added to them.
            ends: an end of an alert is added to them.
        """
        holding = self._state.observe(event)
        if self.alert is not None and (holding is None or holding.began_at != self.alert.began_at):
            ends.append(AlertEnd(self.alert.id, event.ended_at))
            self.alert = None
        if self.alert is None and holding is not None:
            key = CooldownKey(self._rule.name, self._session.source, self._session.speaker)
            if self._cooldowns.begin(key, self._rule.cooldown_s, event.ended_at):
                self.alert = _alert(self._rule, self._session, holding, event.ended_at)
                alerts.append(self.alert)


@dataclass(frozen=True)
class CooldownKey:
    """What has a cool-down of its own: a rule with a source and a speaker, by their names."""

    rule: str
    source: str
    speaker: str


class _Cooldowns:
    """The moments of the last alerts, shared by all sessions."""

    def __init__(self, last_raised: LastRaised) -> None:
        self._last_raised = last_raised
        self._moments: dict[CooldownKey, datetime | None] = {}
        self._lock = threading.Lock()

    def begin(self, key: CooldownKey, cooldown_s: float, now: datetime) -> bool:
        """Begin a cool-down, unless one is going on; return whether it began.

        Args:
            key: whose.
            cooldown_s: how long it takes.
            now: moment in the audio, which in another session may be behind that of the last alert.
        """
        with self._lock:
            last = self._last(key)
            if last is not None and abs((now - last).total_seconds()) < cooldown_s:
                return False
            self._moments[key] = now
            return True

    def _last(self, key: CooldownKey) -> datetime | None:
        if key not in self._moments:
            try:
                self._moments[key] = self._last_raised(key.rule, key.source, key.speaker)
            except Exception as error:  # an alert too many is better than a session that ends
                _LOG.warning("the last alert of the rule %r cannot be looked up: %s", key.rule, error)
                return None
        return self._moments[key]


def _never(*_: str) -> None:
    """Return that a rule has raised no alert yet."""


def _alert(rule: Rule, session: Session, holding: Holding, at: datetime) -> Alert:
    value = None if rule.condition.is_state else holding.value
    shown = "" if value is None else f" ({value:.2f})"
    who = f"{session.source} ({session.speaker})" if session.speaker else session.source
    return Alert(
        id=new_id(),
        kind=RULE,
        rule=rule.name,
        session_id=session.id,
        source=session.source,
        speaker=session.speaker,
        began_at=holding.began_at,
        raised_at=at,
        value=value,
        message=f"{rule.name}: {rule.condition}{shown}, since {clock_text(holding.began_s)} of {who}",
        channels=rule.channels,
    )


def clock_text(time_s: float) -> str:
    """Return a time of a session in hours, minutes and seconds.

    >>> clock_text(72.9)
    '00:01:12'
    """
    whole_s = max(0, int(time_s))
    return f"{whole_s // 3600:02d}:{whole_s // 60 % 60:02d}:{whole_s % 60:02d}"


def _warn_of_unknown_emotions(rules: Sequence[Rule], session: Session) -> None:
    for rule in rules:
        for emotion in rule.condition.quantity.emotions:
            if session.labels and emotion not in session.labels:
                _LOG.warning("rule %r cannot come true: the run %s knows no %r", rule.name, session.run, emotion)
