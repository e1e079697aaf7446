"""Opening of what listening needs, the cheap checks before the expensive ones."""

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import ser_head
from ser_embed.errors import InputError
from ser_monitor.alerts.channels.base import ChannelContext
from ser_monitor.alerts.delivery import Delivery
from ser_monitor.alerts.engine import RuleEngine
from ser_monitor.alerts.rules import load_rules
from ser_monitor.config import WatchConfig
from ser_monitor.database.connection import DatabaseError
from ser_monitor.database.database import Database
from ser_monitor.events import Item, Session
from ser_monitor.patterns.baseline import MOST_WINDOWS, Baseline
from ser_monitor.patterns.config import PatternConfig
from ser_monitor.patterns.detector import UnusualDetector
from ser_monitor.patterns.signals import signal_of
from ser_monitor.sessions.monitor import Monitor
from ser_monitor.sources.base import Source
from ser_monitor.sources.options import SourceOptions
from ser_monitor.sources.registry import open_source, require_distinct_names

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def open_monitor(
    config: WatchConfig, texts: Sequence[str], on_commit: Callable[[Sequence[Item]], object] = lambda _: None
) -> Iterator[tuple[Monitor, list[Source]]]:
    """Open sources, rules, database and run, and give a monitor that listens to them; send alerts until it is left.

    Args:
        config: how is listened.
        texts: the sources, see `ser_monitor.sources.registry.open_source`.
        on_commit: takes what has been committed, in the writer's thread.

    Yields:
        The monitor, and the sources for its `run`.

    Raises:
        InputError: one of them cannot be worked with.
    """
    options = SourceOptions(rate=config.rate, speed=config.speed)
    checked = [open_source(text, options) for text in texts]
    require_distinct_names(checked)
    for source in checked:
        source.require_usable()
    if config.rules:
        load_rules(config.rules)
    with Database(config.database) as database:
        interrupted = database.close_interrupted_sessions()
        if interrupted:
            logger.info("sessions that were interrupted before: %d; what they had found is kept", interrupted)
        predictor = open_predictor(config)
        rules = load_rules(config.rules, predictor.labels) if config.rules else ()
        options = SourceOptions(rate=config.rate, speed=config.speed, is_done=_done_before(database))
        sources = [open_source(text, options) for text in texts]
        monitor = Monitor(
            config,
            predictor,
            database,
            RuleEngine(rules, database.last_raised),
            lambda session: make_detector(config, database, session),
            on_commit,
        )
        delivery = Delivery(database, ChannelContext())
        monitor.deliver_by(delivery)
        delivery.start()
        try:
            yield monitor, sources
        finally:
            monitor.close()
            delivery.close()


def open_predictor(config: WatchConfig) -> ser_head.Predictor:
    """Load the run.

    Raises:
        InputError: it cannot be had, or answers with a number.
    """
    predictor = ser_head.Predictor(
        config.run,
        speaker=config.speaker,
        profiles=config.profiles,
        min_confidence=config.min_confidence,
        model=config.model,
        device=config.device,
    )
    if not predictor.labels:
        raise InputError(f"expected a run with emotions, but {predictor.run.folder} answers with a number")
    return predictor


def make_detector(config: WatchConfig, database: Database, session: Session) -> UnusualDetector | None:
    """Return a detector of unusual stretches, with what was usual of the session's source and speaker before.

    Args:
        config: how many false alarms are accepted.
        database: of earlier sessions.
        session: that begins.
    """
    if not config.unusual:
        return None
    patterns = PatternConfig(false_alarms_per_hour=config.unusual)
    try:
        windows = database.latest_windows(session.source, session.speaker, session.run, MOST_WINDOWS)
    except DatabaseError as error:  # listening goes on
        logger.warning("%s: what is usual cannot be looked up: %s", session.source, error)
        return UnusualDetector(patterns, None)
    signals = [signal_of(name) for name in patterns.signals]
    return UnusualDetector(patterns, Baseline.fit(windows, signals) if len(windows) else None)


def _done_before(database: Database) -> Callable[[Path, int, float], bool]:
    """Return what tells which files of folders have been listened to, to their end, in earlier sessions."""
    sessions = database.sessions()
    finished = sessions[(sessions["kind"] == "folder") & (sessions["end_reason"] == "end of file")]
    done = {
        (recording, settings.get("size_bytes"), settings.get("modified_s"))
        for recording, settings in zip(finished["recording"], finished["settings"], strict=True)
    }
    return lambda path, size_bytes, modified_s: (str(path), size_bytes, modified_s) in done
