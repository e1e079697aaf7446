"""Scorer: segments of many sessions in one pass; a session's answers do not depend on what else is in the queue."""

import dataclasses
import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ser_monitor.scoring import scorer as scoring
from ser_monitor.scoring.scorer import Scored, Scorer
from ser_monitor.scoring.session_speaker import MOST_WINDOWS, SessionSpeaker
from ser_monitor.segments.cutting import Cut


@dataclasses.dataclass
class FakeSegment:
    waveform: np.ndarray | None
    start_s: float = 0.0
    end_s: float = 1.0


class FakeHeads:
    """Vectors are the waveforms; the answer is their mean less that of what is enrolled.

    Attributes:
        batches: number of segments of each forward pass.
    """

    def __init__(self) -> None:
        self.batches: list[int] = []

    def embed(self, segments: list[FakeSegment]) -> list[np.ndarray]:
        self.batches.append(len(segments))
        return [np.stack([segment.waveform for segment in segments])[:, np.newaxis]]

    def score(self, vectors: list[np.ndarray], speakers: list[np.ndarray | None]) -> tuple[np.ndarray, np.ndarray]:
        means = vectors[0].mean(axis=(1, 2))
        shifts = [0.0 if speaker is None else float(speaker.mean()) for speaker in speakers]
        outputs = means - np.array(shifts)
        return np.stack([outputs, 1 - outputs], axis=1), means


class Session:
    """A listener that adapts to all it has heard.

    Attributes:
        answers: what it was given.
    """

    def __init__(self) -> None:
        self.answers: list[Scored | None] = []
        self.ended = threading.Event()
        self._speaker = SessionSpeaker()

    def speaker_vectors(self) -> np.ndarray | None:
        return self._speaker.vectors

    def receive(self, cut: Cut, scored: Scored | None) -> None:
        self.answers.append(scored)
        if scored is not None:
            number = len(self.answers)
            self._speaker.add(scored.vector, number, number + 1, 1.0)

    def end(self) -> None:
        self.ended.set()


def cut_of(value: float | None) -> Cut:
    waveform = None if value is None else np.full(4, value, np.float32)
    segment: Any = FakeSegment(waveform)
    return Cut("window", segment, 0.0 if value is None else 1.0)


def scored(sessions: list[Session], order: list[tuple[int, float | None]], heads: FakeHeads) -> None:
    """Queue segments in an order of sessions, all of them before the scorer begins."""
    predictor: Any = SimpleNamespace(scorer=heads, speaker=None)
    scorer = Scorer(predictor)
    for index, value in order:
        assert scorer.submit(sessions[index], cut_of(value), threading.Event())
    for session in sessions:
        scorer.submit(session, None, threading.Event())
    scorer.start()
    scorer.close()
    assert scorer.failure is None


def test_windows_of_all_sessions_go_through_the_encoder_together() -> None:
    heads, sessions = FakeHeads(), [Session(), Session(), Session()]
    scored(sessions, [(index, 0.1 * index) for index in range(3)] * 4, heads)
    assert heads.batches == [12]
    assert all(session.ended.is_set() for session in sessions)


@pytest.mark.parametrize("at_once", [1, 2, 5, 32])
def test_answers_of_a_session_do_not_depend_on_the_others(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "AT_ONCE", at_once)
    values = [0.5, None, 0.25, 0.75, 0.125]
    alone = Session()
    scored([alone], [(0, value) for value in values], FakeHeads())
    together = [Session(), Session()]
    order = [(1, 0.9), *[pair for value in values for pair in ((0, value), (1, 0.3))]]
    scored(together, order, FakeHeads())
    first = [None if answer is None else answer.adapted[0] for answer in alone.answers]
    second = [None if answer is None else answer.adapted[0] for answer in together[0].answers]
    assert first == second
    heard = [0.5, 0.25, 0.75]
    expected = [0.5, None, 0.25 - 0.5, 0.75 - np.mean(heard[:2]), 0.125 - np.mean(heard)]
    assert first == pytest.approx(expected)
    plain = [None if answer is None else answer.plain[0] for answer in alone.answers]
    assert plain == values
    assert [answer and answer.enrolled for answer in alone.answers] == [0, None, 1, 2, 3]


def test_what_is_silent_is_answered_without_the_encoder() -> None:
    heads, session = FakeHeads(), Session()
    scored([session], [(0, None), (0, None)], heads)
    assert session.answers == [None, None]
    assert heads.batches == []


def test_a_full_queue_waits_and_gives_up_when_it_is_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "WAITING", 1)
    monkeypatch.setattr(scoring, "_ASKED_AGAIN_S", 0.001)
    predictor: Any = SimpleNamespace(scorer=FakeHeads(), speaker=None)
    scorer, session, stop = Scorer(predictor), Session(), threading.Event()
    assert scorer.submit(session, cut_of(0.5), stop)
    stop.set()
    assert not scorer.submit(session, cut_of(0.5), stop)
    assert scorer.num_waiting == 1


def test_what_ends_the_scoring_is_kept_and_nobody_waits_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    heads, failed = FakeHeads(), threading.Event()
    heads.embed = lambda segments: 1 / 0  # type: ignore[assignment]
    predictor: Any = SimpleNamespace(scorer=heads, speaker=None)
    scorer, session = Scorer(predictor, failed.set), Session()
    scorer.start()
    scorer.submit(session, cut_of(0.5), threading.Event())
    assert failed.wait(10)
    assert isinstance(scorer.failure, ZeroDivisionError)
    assert not scorer.submit(session, cut_of(0.5), threading.Event())
    assert session.ended.wait(10)
    scorer.close()
    assert "scoring failed" in caplog.text


def test_a_speaker_is_known_by_windows_that_do_not_overlap() -> None:
    speaker = SessionSpeaker()
    for start_s in range(12):
        speaker.add(np.full((1, 2), start_s, np.float32), start_s, start_s + 3, 1.0)
    speaker.add(np.zeros((1, 2), np.float32), 20, 23, 0.4)
    vectors = speaker.vectors
    assert vectors is not None
    assert vectors[:, 0, 0].tolist() == [0, 3, 6, 9]


def test_a_long_session_is_known_by_a_sample_of_all_of_it() -> None:
    speaker = SessionSpeaker()
    for index in range(3000):
        speaker.add(np.full((1, 1), index, np.float32), index, index + 1, 1.0)
    assert len(speaker) == MOST_WINDOWS
    vectors = speaker.vectors
    assert vectors is not None
    assert 900 < vectors.mean() < 2100
