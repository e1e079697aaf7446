"""Detection of unusual stretches in a session, as alerts.

A speaker who is enrolled from the session's own speech is watched once that is done, as answers change until then.

The times of a stretch are estimates, which the chart gives once it is sure: an alert is raised some windows after its
`began_at`, and its end is told some windows after its `ended_at`.
"""

import dataclasses
from datetime import datetime, timedelta

from ser_monitor.events import UNUSUAL, WINDOW, Alert, AlertEnd, Event, Session, new_id
from ser_monitor.patterns.baseline import Baseline
from ser_monitor.patterns.charts import CHARTS
from ser_monitor.patterns.config import PatternConfig
from ser_monitor.patterns.signal_watch import ScoredWindow, SignalWatch, Stretch
from ser_monitor.patterns.signals import LONGEST_PAUSE, SETTLED, signal_of


class UnusualDetector:
    """The watch of one session for what is unusual of its speaker or source.

    Attributes:
        config: what is watched.
    """

    def __init__(
        self,
        config: PatternConfig | None = None,
        baseline: Baseline | None = None,
        channels: tuple[str, ...] = ("terminal",),
    ) -> None:
        """Begin a session.

        Args:
            config: what is watched; None for the defaults.
            baseline: of the speaker's or source's past; None if there is none, which means that nothing is unusual in
                the first two minutes of speech.
            channels: where alerts are sent.
        """
        self.config = config or PatternConfig()
        self._past = baseline.signals if baseline is not None else {}
        self._channels = channels
        self._watches: list[SignalWatch] = []
        self._alert_ids: dict[tuple[str, str], str] = {}  # of the alerts that last, by signal and direction
        self._previous: Event | None = None
        self._is_settling = False  # the speaker is being enrolled
        self._hop_s, self._speech_end_s = 1.0, 0.0  # usual seconds between windows; end of the last one with speech

    def observe(self, session: Session, event: Event) -> tuple[list[Alert], list[AlertEnd]]:
        """Go on by an event of the session; utterances change nothing.

        Args:
            session: the session.
            event: the next event.

        Returns:
            The alerts that are raised, and the ends of earlier ones.
        """
        if event.kind != WINDOW:
            return [], []
        if self._previous is None:
            self._begin(event)
        changes: list[Stretch] = []
        continues = event.end_s - self._speech_end_s <= LONGEST_PAUSE * self._hop_s
        if not continues:
            changes += [stretch for watch in self._watches for stretch in watch.end()]
        if event.is_speech:
            self._speech_end_s = event.end_s
            changes += self._settle() if 0 < event.enrolled < SETTLED else self._step(event, continues)
        self._previous = event
        ends = [self._end(stretch, event) for stretch in changes if stretch.ended_s is not None]
        return [self._alert(stretch, session, event) for stretch in changes if stretch.ended_s is None], ends

    def finish(self, session: Session, at: datetime) -> list[AlertEnd]:
        """End the alerts that last, because the session ends.

        Args:
            session: the session.
            at: moment of its end, in UTC.
        """
        if self._previous is None:
            return []
        stretches = [stretch for watch in self._watches for stretch in watch.end()]
        ends = [self._end(stretch, self._previous) for stretch in stretches]
        return [dataclasses.replace(end, ended_at=min(end.ended_at, at)) for end in ends]

    def _begin(self, event: Event) -> None:
        """Make the watches, which share the false alarms that are accepted."""
        self._hop_s, self._speech_end_s = event.hop_s, event.end_s
        per_signal = self.config.false_alarms_per_hour / max(1, len(self.config.signals))
        for name in self.config.signals:
            watch = SignalWatch(
                signal_of(name),
                CHARTS[self.config.chart],
                per_signal * self._hop_s / 3600,
                self._hop_s,
                self._past.get(name),
            )
            self._watches.append(watch)

    def _settle(self) -> list[Stretch]:
        """Leave out a window of a speaker who is being enrolled; return the stretches that end with it."""
        if self._is_settling:
            return []
        self._is_settling = True
        return [stretch for watch in self._watches for stretch in watch.forget_session()]

    def _step(self, event: Event, continues: bool) -> list[Stretch]:
        """Return the stretches that begin or end with an event with speech.

        Args:
            event: the event.
            continues: whether there was speech not long before.
        """
        previous, continues = self._previous or event, continues and not self._is_settling
        self._is_settling = False
        steps = previous.hop_s / self._hop_s if previous.is_speech else 1.0
        new_from_s = event.start_s if previous is event else max(event.start_s, previous.end_s)
        changes = []
        for watch in self._watches:
            quantity = watch.signal.read(event)
            if quantity is not None:
                window = ScoredWindow(quantity, new_from_s, event.end_s, steps, continues and steps == 1)
                changes += watch.step(window)
        return changes

    def _alert(self, stretch: Stretch, session: Session, event: Event) -> Alert:
        alert_id = self._alert_ids[stretch.signal, stretch.direction] = new_id()
        since = timedelta(seconds=int(stretch.began_s))
        noun, whom = signal_of(stretch.signal).noun, session.speaker or session.source
        return Alert(
            alert_id,
            UNUSUAL,
            f"{UNUSUAL} {stretch.signal}",
            session.id,
            session.source,
            session.speaker,
            _moment(stretch.began_s, event),
            event.ended_at,
            signal_of(stretch.signal).read(event),
            f"{UNUSUAL}: {noun} {stretch.direction} than usual for {whom} since {since!s:0>8}",
            self._channels,
        )

    def _end(self, stretch: Stretch, event: Event) -> AlertEnd:
        return AlertEnd(
            self._alert_ids.pop((stretch.signal, stretch.direction)), _moment(stretch.ended_s or 0.0, event)
        )


def _moment(at_s: float, event: Event) -> datetime:
    """Return the moment of a time of the session, given one of its events."""
    return event.started_at + timedelta(seconds=at_s - event.start_s)
