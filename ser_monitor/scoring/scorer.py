"""Scorer: the segments of all sessions in one queue and one forward pass at a time.

Segments of one session are scored in order, each with what those before it have taught of the speaker; so a session's
answers do not depend on what else is in the queue, or on how fast it is emptied.
"""

import dataclasses
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ser_monitor.segments.cutting import Cut

if TYPE_CHECKING:
    from ser_head import Predictor

logger = logging.getLogger(__name__)

AT_ONCE = 32  # segments of a forward pass; more are no faster, and the first would wait for the last
WAITING = 128  # segments in the queue, at most; of 3 s they hold 25 MB
_ASKED_AGAIN_S = 0.2  # while the queue is full


@dataclasses.dataclass(frozen=True)
class Scored:
    """What the heads say of a segment.

    Attributes:
        plain: probabilities for a speaker as the configuration says, float64 (classes,).
        adapted: the same with what the session has heard of the speaker.
        ood_score: out-of-domain score.
        vector: of the first encoder, float32 (layers, width).
        enrolled: windows that `adapted` was scored with.
    """

    plain: np.ndarray
    adapted: np.ndarray
    ood_score: float
    vector: np.ndarray
    enrolled: int


class Listener(Protocol):
    """What the scorer asks of a session, and gives back; always from the scorer's thread."""

    def speaker_vectors(self) -> np.ndarray | None:
        """Return what the session has heard of who speaks, to adapt to; None to score it plain."""

    def receive(self, cut: Cut, scored: Scored | None) -> None:
        """Take the answer to a segment: what the heads say, None of one without speech."""

    def end(self) -> None:
        """Take note that all its segments have been answered."""


@dataclasses.dataclass(frozen=True)
class _Job:
    listener: Listener
    cut: Cut | None  # None ends the session


class Scorer:
    """Scores segments of many sessions in a thread of its own.

    Attributes:
        failure: what ended it, if anything did.
        busy_s: seconds it has computed; `encoding_s` of them in the encoder.
    """

    def __init__(self, predictor: "Predictor", on_failure: Callable[[], object] = lambda: None) -> None:
        """Take the predictor; `start` begins.

        Args:
            predictor: of a run whose encoder pools over time.
            on_failure: called if something unforeseen ends the thread.
        """
        self.failure: BaseException | None = None
        self.busy_s = self.encoding_s = 0.0
        self._predictor, self._on_failure = predictor, on_failure
        self._jobs: queue.Queue[_Job | None] = queue.Queue(WAITING)
        self._listeners: set[Listener] = set()  # that have not ended
        self._thread = threading.Thread(target=self._run, name="scorer", daemon=True)

    def start(self) -> None:
        """Begin to score."""
        self._thread.start()

    def submit(self, listener: Listener, cut: Cut | None, stop: threading.Event) -> bool:
        """Queue a segment, waiting while the queue is full.

        Args:
            listener: whose it is.
            cut: the segment; None once there are no more.
            stop: gives up waiting.

        Returns:
            Whether it was queued.
        """
        job = _Job(listener, cut)
        while self.failure is None:
            try:
                self._jobs.put(job, timeout=_ASKED_AGAIN_S)
            except queue.Full:
                if stop.is_set():
                    return False
            else:
                return True
        return False

    @property
    def num_waiting(self) -> int:
        """Segments in the queue."""
        return self._jobs.qsize()

    def close(self) -> None:
        """Score what is in the queue, and end."""
        if self._thread.is_alive():
            while self.failure is None:
                try:
                    self._jobs.put(None, timeout=_ASKED_AGAIN_S)
                    break
                except queue.Full:
                    continue
            self._thread.join()

    def _run(self) -> None:
        try:
            is_open = True
            while is_open:
                jobs = self._next_jobs()
                is_open = None not in jobs
                self._listeners |= {job.listener for job in jobs if job is not None}
                started_s = time.monotonic()
                self._score([job for job in jobs if job is not None])
                self.busy_s += time.monotonic() - started_s
        except Exception as error:
            logger.exception("scoring failed")
            self.failure = error
            self._on_failure()
            for listener in self._listeners:  # which wait for their end
                listener.end()

    def _next_jobs(self) -> list[_Job | None]:
        """Wait for a job, and take those behind it."""
        jobs = [self._jobs.get()]
        while len(jobs) < AT_ONCE and jobs[-1] is not None:
            try:
                jobs.append(self._jobs.get_nowait())
            except queue.Empty:
                break
        return jobs

    def _score(self, jobs: Sequence[_Job]) -> None:
        voiced = [(id(job), job.cut) for job in jobs if job.cut is not None and job.cut.is_speech]
        rows = {job: row for row, (job, _) in enumerate(voiced)}
        vectors = self._embed([cut for _, cut in voiced]) if voiced else []
        for turn in _turns(jobs):
            self._answer(turn, rows, vectors)

    def _embed(self, cuts: Sequence[Cut]) -> list[np.ndarray]:
        started_s = time.monotonic()
        vectors = self._predictor.scorer.embed([cut.segment for cut in cuts])
        self.encoding_s += time.monotonic() - started_s
        return vectors

    def _answer(self, jobs: Sequence[_Job], rows: dict[int, int], vectors: Sequence[np.ndarray]) -> None:
        """Score at most one segment of each session, and hand the answers back."""
        voiced = [job for job in jobs if id(job) in rows]
        answers: dict[int, Scored] = {}
        if voiced:
            chosen = [of_encoder[[rows[id(job)] for job in voiced]] for of_encoder in vectors]
            answers = dict(zip(map(id, voiced), self._scored(voiced, chosen), strict=True))
        for job in jobs:
            if job.cut is None:
                self._listeners.discard(job.listener)
                job.listener.end()
            else:
                job.listener.receive(job.cut, answers.get(id(job)))

    def _scored(self, jobs: Sequence[_Job], vectors: Sequence[np.ndarray]) -> list[Scored]:
        """Score segments twice: as `predict` does, and with what is heard of the speaker where there is something."""
        by_config: Any = self._predictor.speaker
        plain, ood_scores = self._predictor.scorer.score(vectors, [by_config] * len(jobs))
        enrolled = [job.listener.speaker_vectors() for job in jobs]
        adapting = [row for row, own in enumerate(enrolled) if own is not None]
        adapted = plain.copy()
        if adapting:
            chosen = [of_encoder[adapting] for of_encoder in vectors]
            adapted[adapting] = self._predictor.scorer.score(chosen, [enrolled[row] for row in adapting])[0]
        counts = [0 if own is None else len(own) for own in enrolled]
        return [
            Scored(plain[row], adapted[row], float(ood_scores[row]), vectors[0][row], counts[row])
            for row in range(len(jobs))
        ]


def _turns(jobs: Sequence[_Job]) -> list[list[_Job]]:
    """Group jobs in turns, each with at most one of a session, in the session's order."""
    turns: list[list[_Job]] = []
    counts: dict[int, int] = {}
    for job in jobs:
        turn = counts.get(id(job.listener), 0)
        counts[id(job.listener)] = turn + 1
        if turn == len(turns):
            turns.append([])
        turns[turn].append(job)
    return turns
