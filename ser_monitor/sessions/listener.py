"""Listener: one session, from the blocks of a recording to its events and alerts.

The blocks are read and cut in the thread of the source; answers come back in the scorer's thread, which makes events of
them, asks the rules and the control charts, and hands all of it to the writer, in order.
"""

import contextlib
import dataclasses
import logging
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

from ser_embed.errors import ClipError
from ser_monitor.alerts.engine import RuleEngine
from ser_monitor.config import WatchConfig
from ser_monitor.database.writer import EventWriter
from ser_monitor.events import NO_SPEECH, WINDOW, Event, Item, Session, SessionEnd, new_id
from ser_monitor.patterns.detector import UnusualDetector
from ser_monitor.scoring.hop_control import HopControl
from ser_monitor.scoring.scorer import Scored, Scorer
from ser_monitor.scoring.session_speaker import SessionSpeaker
from ser_monitor.segments.cutting import Cut, Cutter
from ser_monitor.segments.smoothing import Smoother
from ser_monitor.sources.base import STOPPED, Block, Recording, Source, SourceError

if TYPE_CHECKING:
    from ser_head import Predictor

logger = logging.getLogger(__name__)

_LOAD = ("the machine keeps up again", "the machine cannot keep up")
_LONGEST_GAP_S = 60.0  # of lost audio that is filled with silence


@dataclasses.dataclass(frozen=True)
class Services:
    """What all sessions share.

    Attributes:
        config: how is listened.
        predictor: the run.
        scorer: scores segments.
        writer: writes to the database.
        rules: raises alerts.
        make_detector: makes a detector of unusual stretches for a session; None without.
        activation: probabilities, float64 (segments, classes), to activations, float64 (segments,).
        stop: set when listening is to end.
    """

    config: WatchConfig
    predictor: "Predictor"
    scorer: Scorer
    writer: EventWriter
    rules: RuleEngine
    make_detector: Callable[[Session], UnusualDetector | None]
    activation: Callable[[np.ndarray], np.ndarray | None]
    stop: threading.Event


class Listener:
    """One session.

    Attributes:
        session: what is listened to.
        level_db: level of the last block, in dB of full scale.
        heard_s: seconds of audio so far.
        num_events: events so far.
        has_failed: whether the recording broke off, or could not be scored.
    """

    def __init__(self, services: Services, session: Session, recording: Recording) -> None:
        """Begin; `run` listens.

        Args:
            services: shared by all sessions.
            session: what is listened to.
            recording: its audio.
        """
        config = services.config
        self._hops = HopControl(time.monotonic())
        self.session, self.level_db, self.heard_s, self.num_events = session, -np.inf, 0.0, 0
        self._services, self._recording = services, recording
        self._cutter = Cutter(
            lambda window_s, hop_s: services.predictor.segments(recording.rate_hz, window_s, hop_s, session.recording),
            recording.rate_hz,
            config.window,
            config.hop,
            detects_voice=config.vad == "on",
            with_utterances=config.utterances,
            is_scored=self._hops.takes,
        )
        run = services.predictor.run
        adapts = config.adapt == "on" and config.speaker is None and run.config.personalized and not run.members
        self._speaker = SessionSpeaker() if adapts else None
        self._smoother = Smoother(session.labels, config.smoothing, config.min_confidence)
        self._detector = services.make_detector(session)
        self._num_windows = self._num_skipped = self._num_samples = 0
        self._captured_s: dict[int, float] = {}  # of cuts that are being scored, by their identity
        self._reason, self.has_failed = "", False
        self._is_over = threading.Event()

    def run(self) -> str:
        """Listen until the recording ends, fails, or listening is to stop; return the reason in words.

        What was heard until then is scored and written, whatever happens.
        """
        self._services.writer.put(self.session)
        try:
            self._listen()
        except ClipError as error:
            self._reason, self.has_failed = str(error), True
        except Exception as error:
            self._reason = f"failed: {error}"
            raise
        finally:
            self.has_failed |= self._recording.failure is not None
            self._reason = self._reason or self._recording.end_reason
            if self._services.scorer.submit(self, None, threading.Event()):
                self._is_over.wait()
        return self._reason

    def _listen(self) -> None:
        with contextlib.suppress(SourceError):  # it is the recording's end reason
            for block in self._recording.blocks():
                self._take(self._without_gap(block), block.captured_s)
        self._submit(self._last_cuts(), time.monotonic())

    def _last_cuts(self) -> list[Cut]:
        """Return what the end completes, also of a recording that broke off.

        Raises:
            ClipError: a recording that is all there is of its source, and ended well, is too short or holds NaN.
        """
        try:
            return self._cutter.finish()
        except ClipError:
            is_whole = self._recording.is_finite and self._recording.failure is None
            if is_whole and self._recording.end_reason != STOPPED:
                raise
            return []

    def _without_gap(self, block: Block) -> np.ndarray:
        """Return the samples of a block with silence for what was lost before it, so that times stay right."""
        if block.lost_s <= 0:
            return block.samples
        count = round(min(block.lost_s, _LONGEST_GAP_S) * self._recording.rate_hz)
        silence = np.zeros((count, block.samples.shape[1]), np.float32)
        return np.concatenate([silence, block.samples])

    def _take(self, samples: np.ndarray, captured_s: float) -> None:
        self._num_samples += len(samples)
        self.heard_s = self._num_samples / self._recording.rate_hz
        power = float(np.mean(np.square(samples))) if len(samples) else 0.0
        self.level_db = 10 * np.log10(power) if power > 0 else -np.inf
        self._submit(self._cutter.push(samples), captured_s)

    def _submit(self, cuts: list[Cut], captured_s: float) -> None:
        """Queue what has been cut, but for windows that the machine has no time for."""
        for cut in cuts:
            if cut.kind == WINDOW:
                self._num_windows += 1
                if self._recording.is_live and not self._hops.takes(self._num_windows - 1):
                    self._num_skipped += 1
                    continue
            # Its audio was there so much earlier as the block goes on behind it.
            self._captured_s[id(cut)] = captured_s - max(self.heard_s - cut.segment.end_s, 0.0)
            if not self._services.scorer.submit(self, cut, self._services.stop):
                self._captured_s.pop(id(cut), None)
                return

    def speaker_vectors(self) -> np.ndarray | None:
        """Return what the session has heard of who speaks; see `ser_monitor.scoring.scorer.Listener`."""
        return None if self._speaker is None else self._speaker.vectors

    def receive(self, cut: Cut, scored: Scored | None) -> None:
        """Make an event of an answer, and alerts of the event; see `ser_monitor.scoring.scorer.Listener`."""
        now_s = time.monotonic()
        delay_s = max(now_s - self._captured_s.pop(id(cut)), 0.0) if self._recording.is_live else 0.0
        if self._hops.observe(delay_s, now_s):
            hop_s = self._services.config.hop * self._hops.stride
            logger.warning("%s: %s; a window every %g s", self.session.source, _LOAD[self._hops.stride > 1], hop_s)
        event = self._event(cut, scored, delay_s)
        self._write(event)
        if scored is not None and self._speaker is not None and cut.kind == WINDOW:
            segment = cut.segment
            self._speaker.add(scored.vector, segment.start_s, segment.end_s, cut.speech)

    def _event(self, cut: Cut, scored: Scored | None, delay_s: float) -> Event:
        segment, labels = cut.segment, self.session.labels
        label, plain, smoothed, activation = NO_SPEECH, {}, {}, None
        if scored is not None:
            smoother = self._smoother
            if cut.kind != WINDOW:  # whole utterances stand for themselves
                smoother = Smoother(labels, 0.0, self._services.config.min_confidence)
            values, label = smoother.update(scored.adapted, scored.ood_score, segment.end_s)
            plain, smoothed = (dict(zip(labels, row.tolist(), strict=True)) for row in (scored.plain, values))
            activations = self._services.activation(values[np.newaxis])
            activation = None if activations is None else float(activations[0])
        return Event(
            session_id=self.session.id,
            number=self.num_events,
            kind=cut.kind,
            start_s=segment.start_s,
            end_s=segment.end_s,
            started_at=self.session.started_at + timedelta(seconds=segment.start_s),
            speech=cut.speech,
            label=label,
            probabilities=plain,
            smoothed=smoothed,
            activation=activation,
            ood_score=None if scored is None else scored.ood_score,
            enrolled=0 if scored is None else scored.enrolled,
            hop_s=self._services.config.hop * self._hops.stride,
            delay_s=delay_s,
        )

    def _write(self, event: Event) -> None:
        writer = self._services.writer
        writer.put(event)
        self.num_events += 1
        alerts, ends = self._services.rules.observe(self.session, event)
        if self._detector is not None:
            unusual, normal = self._detector.observe(self.session, event)
            alerts, ends = [*alerts, *unusual], [*ends, *normal]
        items: list[Item] = [*alerts, *ends]
        for item in items:
            writer.put(item)

    def end(self) -> None:
        """End the session, as everything has been answered; see `ser_monitor.scoring.scorer.Listener`."""
        ended_at = self.session.started_at + timedelta(seconds=self.heard_s)
        ends = self._services.rules.finish(self.session, ended_at)
        if self._detector is not None:
            ends = [*ends, *self._detector.finish(self.session, ended_at)]
        for item in ends:
            self._services.writer.put(item)
        facts = {
            "events": self.num_events,
            "skipped_windows": self._num_skipped,
            **dataclasses.asdict(self._recording.facts),
        }
        reason = self._reason or self._recording.end_reason or "scoring failed"
        self._services.writer.put(SessionEnd(self.session.id, ended_at, reason, facts))
        self._is_over.set()


def new_session(services: Services, source: Source, recording: Recording) -> Session:
    """Return a new session of a recording.

    Args:
        services: shared by all sessions.
        source: of the recording.
        recording: is listened to.
    """
    return Session(
        id=new_id(),
        source=source.name,
        kind=source.kind,
        recording=recording.description,
        speaker=services.config.speaker or "",
        started_at=recording.started_at,
        run=services.predictor.run.folder.name,
        labels=services.predictor.labels,
        settings={**services.config.to_dict(), **recording.identity},
    )
