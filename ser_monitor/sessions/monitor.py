"""Monitor: all sources, each in a thread of its own, with one scorer, one writer, and the delivery of alerts.

    source thread   blocks -> cuts ─┐
    source thread   blocks -> cuts ─┼─▶ scorer thread: events, alerts ─▶ writer thread: committed ─▶ displays, delivery

An event is shown, and an alert sent, only once it is committed.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import ser_head
from ser_embed.cli import printable
from ser_embed.errors import InputError, SerError
from ser_monitor.alerts.engine import RuleEngine
from ser_monitor.config import WatchConfig
from ser_monitor.database.database import Database
from ser_monitor.database.writer import EventWriter
from ser_monitor.events import Alert, Event, Item, Session
from ser_monitor.patterns.detector import UnusualDetector
from ser_monitor.scoring.scorer import Scorer
from ser_monitor.sessions.listener import Listener, Services, new_session
from ser_monitor.sources.base import Source
from ser_monitor.sources.reopening import reopened

if TYPE_CHECKING:
    from ser_monitor.alerts.delivery import Delivery

logger = logging.getLogger(__name__)

_SIGNALS_SEEN_S = 0.2


class Monitor:
    """Listens to sources until they end or it is stopped.

    Attributes:
        listeners: the sessions that go on now, by the name of their source.
        database_name: where events go, for messages.
        num_events: events that are committed.
        num_alerts: alerts that are committed.
        num_unwritten: events, alerts and the like that the database did not take to the end; the log says so.
        unreadable: one {"path", "reason"} of each source, or file of a folder, that could not be listened to.
    """

    def __init__(
        self,
        config: WatchConfig,
        predictor: ser_head.Predictor,
        database: Database,
        rules: RuleEngine,
        make_detector: Callable[[Session], UnusualDetector | None],
        on_commit: Callable[[Sequence[Item]], object] = lambda _: None,
    ) -> None:
        """Take what is shared by all sessions; `run` listens.

        Args:
            config: how is listened.
            predictor: the run.
            database: takes what is found.
            rules: raise alerts.
            make_detector: makes a detector of unusual stretches for a session; None without.
            on_commit: takes what has been committed, in the writer's thread.
        """
        self.listeners: dict[str, Listener] = {}
        self.database_name = database.name
        self.num_events = self.num_alerts = self.num_unwritten = 0
        self.unreadable: list[dict[str, str]] = []
        self._failed: dict[str, str] = {}  # what is wrong with sources that ended by a failure, in one line
        self._stop = threading.Event()
        self._on_commit = on_commit
        self._delivery: Delivery | None = None
        self._writer = EventWriter(database, self._committed)
        self.scorer = Scorer(predictor, self._stop.set)
        self._services = Services(
            config=config,
            predictor=predictor,
            scorer=self.scorer,
            writer=self._writer,
            rules=rules,
            make_detector=make_detector,
            activation=lambda values: ser_head.activation(values, predictor.labels),
            stop=self._stop,
        )

    def deliver_by(self, delivery: "Delivery") -> None:
        """Let alerts be sent as soon as they are committed."""
        self._delivery = delivery

    def run(self, sources: Sequence[Source]) -> None:
        """Listen until all sources have ended, or Ctrl-C; what was heard until then is scored and written.

        Args:
            sources: of different names.

        Raises:
            InputError: no source could be opened.
            KeyboardInterrupt: Ctrl-C came; everything is written all the same. So it is with SIGTERM.
        """
        self.scorer.start()
        ended = [threading.Event() for _ in sources]
        try:
            for source, event in zip(sources, ended, strict=True):
                threading.Thread(target=self._listen, args=(source, event), name=source.name, daemon=True).start()
            _wait(ended)
        finally:
            self._stop.set()
            _wait(ended)
            self.scorer.close()
            self.close()
            for source in sources:
                self.unreadable += source.unreadable
        if self.scorer.failure is not None:
            raise SerError(f"scoring failed: {self.scorer.failure}") from self.scorer.failure
        if len(self._failed) == len(sources) and not self.num_events:
            raise InputError("; ".join(self._failed.values()))

    def stop(self) -> None:
        """End the listening, from any thread; `run` returns once everything is written."""
        self._stop.set()

    def close(self) -> None:
        """Write what is left; may be called twice."""
        self.num_unwritten = self._writer.close()

    def _listen(self, source: Source, ended: threading.Event) -> None:
        """Listen to all recordings of a source, and say when that is over."""
        try:
            for recording in reopened(source, self._stop):
                with recording:
                    self._listen_to(source, recording)
        except SerError as error:
            self._note_failure(source, source.description, str(error))
        except Exception as error:
            logger.exception("%s: listening failed", printable(source.name))
            self._note_failure(source, source.description, f"failed: {error}")
        finally:
            ended.set()

    def _listen_to(self, source: Source, recording: Any) -> None:
        session = new_session(self._services, source, recording)
        listener = Listener(self._services, session, recording)
        self.listeners[source.name] = listener
        try:
            reason = listener.run()
        finally:
            self.listeners.pop(source.name, None)
        if listener.has_failed and not source.reopens:
            self._note_failure(source, recording.description, reason)
        elif listener.has_failed and recording.failure is None:  # a folder counts those that broke off
            self.unreadable.append({"path": recording.description, "reason": reason})
        facts = facts_in_words(recording.facts, listener.num_events)
        logger.info("%s: %s; %s", printable(source.name), printable(reason), facts)

    def _note_failure(self, source: Source, path: str, reason: str) -> None:
        """Keep that a source has ended by a failure, which a SourceError names with its path."""
        reason = reason.removeprefix(f"{path}: ")
        self.unreadable.append({"path": path, "reason": reason})
        self._failed[source.name] = reason if path in reason else f"{path}: {reason}"

    def _committed(self, items: Sequence[Item]) -> None:
        num_alerts = sum(isinstance(item, Alert) for item in items)
        self.num_events += sum(isinstance(item, Event) for item in items)
        self.num_alerts += num_alerts
        if num_alerts and self._delivery is not None:
            self._delivery.notify()
        self._on_commit(items)


def _wait(events: Sequence[threading.Event]) -> None:
    """Wait for all events, in steps, so that signals come through.

    Not for the threads themselves: one whose `join` is interrupted by Ctrl-C counts as ended in Python 3.11, though it
    is running.
    """
    for event in events:
        while not event.wait(_SIGNALS_SEEN_S):
            pass


def facts_in_words(facts: Any, num_events: int) -> str:
    """Return what came of a recording, in words.

    Args:
        facts: `ser_monitor.sources.timeline.RecordingFacts`.
        num_events: of its session.
    """
    words = [f"{facts.duration_s:.1f} s of audio", f"{num_events} events"]
    if facts.dropouts:
        words.append(f"{facts.dropouts} dropouts, {facts.lost_s:.1f} s lost")
    if facts.drift_ppm is not None:
        words.append(f"clock drift {facts.drift_ppm:+.0f} ppm")
    return ", ".join(words)
