"""Reopening with back-off: the exact waits, what is told, and what is an error at once."""

import contextlib
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from ser_embed.errors import InputError
from ser_monitor.sources.base import Block, Recording, Source, SourceError
from ser_monitor.sources.reopening import Backoff, SourceStatus, reopened
from tests.ser_monitor.sources.fakes import NOON, FakeClock


class ScriptedRecording(Recording):
    def __init__(self, duration_s: float, failure: str, stop: threading.Event) -> None:
        super().__init__("script", 10, NOON, stop, is_live=True)
        self._duration_s, self._failure_text = duration_s, failure

    def _blocks(self) -> Iterator[Block]:
        yield Block(np.zeros((round(self._duration_s * 10), 1), np.float32), 0.0)
        if self._failure_text:
            raise SourceError(self._failure_text)


class ScriptedSource(Source):
    """Gives at each opening what a script says: seconds of audio and how they end, or why it cannot be opened."""

    kind = "script"
    reopens = True

    def __init__(self, *script: tuple[float, str] | str) -> None:
        super().__init__("camera", "script")
        self.script = list(script)
        self.is_finite = False

    def recordings(self, stop: threading.Event) -> Iterator[Recording]:
        step = self.script.pop(0)
        if isinstance(step, str):
            raise SourceError(step)
        recording = ScriptedRecording(*step, stop)
        recording.is_finite = self.is_finite
        yield recording


def run(source: ScriptedSource, num_waits: int = 10**9) -> tuple[int, list[SourceStatus], FakeClock]:
    """Listen until so many waits or the end; return the number of recordings, what was told, and the clock."""
    stop = threading.Event()

    def after_wait(count: int) -> None:
        if count >= num_waits or not source.script:
            stop.set()

    clock, statuses, count = FakeClock(after_wait), [], 0
    for recording in reopened(source, stop, statuses.append, clock):
        count += 1
        with contextlib.suppress(SourceError):
            list(recording.blocks())
    return count, statuses, clock


def test_waits_double_up_to_a_minute_and_begin_again_after_a_minute_of_audio() -> None:
    source = ScriptedSource((1, "broke"), *["refused"] * 7, (59, "broke"), "refused", (60, ""), "refused", (5, ""))
    count, statuses, clock = run(source)
    assert clock.waits == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 1, 2, 4]
    assert count == 4
    assert [status.retry_in_s for status in statuses if not status.is_open] == clock.waits


def test_it_is_told_why_a_source_has_gone_and_when_it_is_back() -> None:
    _, statuses, _ = run(ScriptedSource((1, "unplugged"), "refused", (1, ""), (1, "")))
    assert [str(status) for status in statuses] == [
        "camera: unplugged; next try in 1 s",
        "camera: refused; next try in 2 s",
        "camera is back after 3 s",
        "camera: end of the recording; next try in 4 s",
        "camera is back after 4 s",
        "camera: end of the recording; next try in 8 s",
    ]


def test_the_first_opening_has_to_work_unless_the_source_waits_for_audio() -> None:
    with pytest.raises(InputError, match="^no such device$"):
        run(ScriptedSource("no such device"))
    waiting = ScriptedSource("drive is not ready", (1, ""))
    waiting.waits = True  # type: ignore[misc]
    assert run(waiting)[0] == 1


def test_a_failure_of_usage_ends_it_whenever_it_comes() -> None:
    source = ScriptedSource((1, ""), "x")

    def no_library(stop: threading.Event) -> Iterator[Recording]:
        raise InputError("expected PortAudio")

    recordings = reopened(source, threading.Event(), lambda _: None, FakeClock())
    next(recordings)
    source.recordings = no_library  # type: ignore[method-assign]
    with pytest.raises(InputError, match="PortAudio"):
        next(recordings)


def test_what_is_finite_ends_once_it_was_heard_to_its_end() -> None:
    complete = ScriptedSource((1, ""), (1, ""))
    complete.is_finite = True
    assert run(complete)[0] == 1
    broken = ScriptedSource((1, "connection lost"), (2, ""), (3, ""))
    broken.is_finite = True
    assert run(broken)[0] == 2
    once = ScriptedSource((1, ""), (1, ""))
    once.reopens = False  # type: ignore[misc]
    count, statuses, clock = run(once)
    assert (count, statuses, clock.waits) == (1, [], [])


def test_a_stop_ends_a_wait_and_is_no_failure() -> None:
    source = ScriptedSource((1, "broke"), *["refused"] * 99)
    count, statuses, clock = run(source, num_waits=3)
    assert (count, len(statuses), len(clock.waits)) == (1, 3, 3)
    stop, statuses = threading.Event(), []
    for recording in reopened(ScriptedSource((1, "")), stop, statuses.append, FakeClock()):
        list(recording.blocks())
        stop.set()
    assert statuses == []


def test_the_schedule() -> None:
    backoff = Backoff()
    assert [backoff.next_s() for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    backoff.reset()
    assert backoff.next_s() == 1
