"""Pipes: samples to the last whole one, from one writer after the other."""

import os
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from ser_embed.errors import InputError
from ser_monitor.sources.base import STOPPED, SourceError
from ser_monitor.sources.options import SourceOptions
from ser_monitor.sources.pipes import PipeSource, StdinSource
from tests.ser_monitor.sources.fakes import NOON, FakeClock, listen, pcm, tone


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Return the two ends of a pipe: the one to read, and the one to write."""
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            continue  # the test has closed it


class TestStdin:
    def test_samples_come_through_to_the_end(self, pipe: tuple[int, int]) -> None:
        sound = tone(20_000, 8_000)
        os.write(pipe[1], pcm(sound))
        os.close(pipe[1])
        source = StdinSource("line", SourceOptions(rate=8_000), FakeClock(), pipe[0])
        (recording,) = iterate(source)
        samples, blocks = recording
        np.testing.assert_array_equal(samples[:, 0], sound)
        assert [len(block.samples) for block in blocks] == [800] * 25

    @pytest.mark.parametrize("num_bytes", [3, 3_201, 3_999])
    def test_a_pipe_that_ends_in_the_middle_of_a_sample_gives_the_whole_ones(
        self, pipe: tuple[int, int], num_bytes: int
    ) -> None:
        sound = tone(2_000)
        os.write(pipe[1], pcm(sound)[:num_bytes])
        os.close(pipe[1])
        ((samples, _),) = iterate(StdinSource("line", SourceOptions(), FakeClock(), pipe[0]))
        np.testing.assert_array_equal(samples[:, 0], sound[: num_bytes // 2])

    def test_bytes_that_come_one_by_one_make_whole_samples(self, pipe: tuple[int, int]) -> None:
        sound = tone(40)
        data = iter(pcm(sound))

        def write_next(_: int) -> None:
            byte = next(data, None)
            if byte is None:
                os.close(pipe[1])
            else:
                os.write(pipe[1], bytes([byte]))

        ((samples, _),) = iterate(StdinSource("line", SourceOptions(), FakeClock(write_next), pipe[0]))
        np.testing.assert_array_equal(samples[:, 0], sound)

    def test_a_stop_ends_the_waiting_for_a_silent_writer(self, pipe: tuple[int, int]) -> None:
        stop = threading.Event()
        clock = FakeClock(lambda count: count < 50 or stop.set())
        os.write(pipe[1], pcm(tone(1_000)))
        for recording in StdinSource("line", SourceOptions(), clock, pipe[0]).recordings(stop):
            assert list(recording.blocks()) == []  # not a whole block
            assert recording.end_reason == STOPPED
            assert not recording.is_live
        assert len(clock.waits) == 50

    def test_what_is_no_raw_audio_is_one_line(self, pipe: tuple[int, int]) -> None:
        os.write(pipe[1], b"RIFF\x00\x00\x00\x00WAVE")
        source = StdinSource("line", SourceOptions(), FakeClock(), pipe[0])
        with pytest.raises(SourceError, match="expected raw 16-bit mono samples from stdin, not a wav file"):
            next(source.recordings(threading.Event()))
        os.close(pipe[1])
        with pytest.raises(SourceError, match="ended before any came"):
            next(source.recordings(threading.Event()))

    def test_a_terminal_and_a_closed_stdin_are_refused(self, pipe: tuple[int, int]) -> None:
        controller, terminal = os.openpty()
        try:
            with pytest.raises(InputError, match="which is a terminal; .* -r 8000"):
                StdinSource("line", SourceOptions(rate=8_000), handle=terminal)
        finally:
            os.close(controller)
            os.close(terminal)
        os.close(pipe[0])
        with pytest.raises(InputError, match="which is closed"):
            StdinSource("line", SourceOptions(), handle=pipe[0])


def iterate(source: StdinSource) -> list[tuple]:
    """Return the samples and blocks of each recording of a source."""
    return [listen(recording) for recording in source.recordings(threading.Event())]


class TestNamedPipe:
    def test_each_writer_is_a_recording(self, tmp_path: Path) -> None:
        path, stop = tmp_path / "line.fifo", threading.Event()
        os.mkfifo(path)
        sounds = {4: tone(3_000), 30: tone(4_000, frequency_hz=600), 40: tone(5)}

        def after_wait(count: int) -> None:
            if count in sounds:
                write(path, sounds[count])
            if count == 60:
                stop.set()

        clock = FakeClock(after_wait)
        samples = []
        for recording in PipeSource("line", path, SourceOptions(), clock).recordings(stop):
            assert recording.is_live
            assert not recording.is_finite
            begun_s = clock.now_s - 100
            assert recording.started_at < NOON + timedelta(seconds=begun_s)
            samples.append(listen(recording)[0][:, 0])
            assert recording.end_reason == "the writer closed the pipe"
        assert len(samples) == 3
        for expected, actual in zip(sounds.values(), samples, strict=True):
            np.testing.assert_array_equal(actual, expected)

    def test_what_the_next_writer_writes_meanwhile_is_not_lost(self, tmp_path: Path) -> None:
        path, stop = tmp_path / "line.fifo", threading.Event()
        os.mkfifo(path)
        first, second = tone(3_000), tone(4_000, frequency_hz=600)
        clock = FakeClock(lambda count: write(path, first) if count == 2 else None)
        recordings = PipeSource("line", path, SourceOptions(), clock).recordings(stop)
        recording = next(recordings)
        np.testing.assert_array_equal(listen(recording)[0][:, 0], first)
        write(path, second)  # while the listener ends its session
        np.testing.assert_array_equal(listen(next(recordings))[0][:, 0], second)
        stop.set()
        assert next(recordings, None) is None

    def test_a_pipe_that_is_removed_is_a_failure(self, tmp_path: Path) -> None:
        path = tmp_path / "line.fifo"
        os.mkfifo(path)
        clock = FakeClock(lambda count: path.unlink() if count == 7 else None)
        with pytest.raises(SourceError, match="has been removed or replaced"):
            next(PipeSource("line", path, SourceOptions(), clock).recordings(threading.Event()))
        assert len(clock.waits) < 15
        with pytest.raises(InputError, match="expected a named pipe, but .* is not there"):
            PipeSource("line", path, SourceOptions())


def write(path: Path, samples: np.ndarray) -> None:
    """Write to a named pipe that is being read, and go away."""
    handle = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    os.write(handle, pcm(samples))
    os.close(handle)
