"""Files as recordings: every sample once, at the pace asked for, and damage told after what is good."""

import contextlib
import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

import ser_embed
from ser_embed.errors import ClipError, InputError
from ser_monitor.config import FULL_SPEED
from ser_monitor.sources.base import STOPPED, SourceError
from ser_monitor.sources.file import FileRecording, FileSource
from ser_monitor.sources.options import SourceOptions
from tests.ser_monitor.sources.fakes import NOON, FakeClock, listen, listen_until_failure, tone


def recording_of(path: Path, clock: FakeClock | None = None, **options: object) -> FileRecording:
    return FileRecording(path, SourceOptions(**options), threading.Event(), clock or FakeClock())  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def stereo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of ten seconds in stereo at 44.1 kHz, which is decoded in seven pieces."""
    path = tmp_path_factory.mktemp("file") / "stereo.wav"
    left, right = tone(441_000, 44_100), tone(441_000, 44_100, 600)
    soundfile.write(path, np.stack([left, right], axis=1), 44_100)
    return path


@given(block_s=st.floats(0.001, 12))
@settings(max_examples=15)
def test_blocks_of_any_length_together_are_the_decoded_file(stereo: Path, block_s: float) -> None:
    recording = recording_of(stereo, speed=FULL_SPEED, block_s=block_s)
    samples, blocks = listen(recording)
    np.testing.assert_array_equal(samples, soundfile.read(stereo, dtype="float32")[0])
    length = max(1, round(block_s * 44_100))
    assert {len(block.samples) for block in blocks[:-1]} <= {length}
    assert 0 < len(blocks[-1].samples) <= length
    assert recording.facts.duration_s == pytest.approx(10)
    assert recording.end_reason == "end of file"
    assert recording.failure is None


@pytest.mark.parametrize("suffix", ["flac", "mp3", "ogg"])
def test_compressed_files_are_what_the_library_decodes(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, tone(50_000), 16_000)
    with ser_embed.AudioFile(path) as audio:
        expected = np.concatenate(list(audio.blocks()))
    samples, _ = listen(recording_of(path, speed=FULL_SPEED))
    np.testing.assert_array_equal(samples, expected)


def test_real_time_is_kept_without_drift_however_slow_the_listener_is(stereo: Path) -> None:
    clock = FakeClock()
    recording = recording_of(stereo, clock)
    assert recording.is_live
    for number, block in enumerate(recording.blocks(), 1):
        due_s = 100 + number * 0.1
        assert block.captured_s == pytest.approx(due_s)  # not when it was taken: a delay counts from there
        assert clock.now_s >= block.captured_s - 1e-9
        if number == 10:
            clock.now_s += 1.5
        if 10 < number < 25:
            assert clock.now_s == pytest.approx(102.5)  # the blocks that are overdue come at once
    assert clock.now_s == pytest.approx(110)


def test_full_speed_waits_for_nothing_and_has_no_moment_in_the_future(stereo: Path) -> None:
    clock = FakeClock()
    recording = recording_of(stereo, clock, speed=FULL_SPEED)
    listen(recording)
    assert clock.waits == []
    assert not recording.is_live
    assert recording.started_at == NOON - timedelta(seconds=10)
    assert recording_of(stereo).started_at == NOON


def test_an_archived_file_ended_when_it_was_last_written_to(stereo: Path) -> None:
    os.utime(stereo, (1_700_000_000, 1_700_000_000))
    options = SourceOptions(speed=FULL_SPEED)
    with FileRecording(stereo, options, threading.Event(), FakeClock(), is_archived=True) as recording:
        assert recording.started_at == datetime.fromtimestamp(1_700_000_000 - 10, UTC)
        assert recording.identity == {"size_bytes": stereo.stat().st_size, "modified_s": 1_700_000_000}


def test_what_was_decoded_before_the_damage_is_heard(tmp_path: Path) -> None:
    path = tmp_path / "truncated.flac"
    noise = np.random.default_rng(0).normal(0, 0.1, 200_000).astype(np.float32)
    soundfile.write(path, noise, 16_000)
    path.write_bytes(path.read_bytes()[:-100_000])
    pieces: list[np.ndarray] = []
    with ser_embed.AudioFile(path) as audio, contextlib.suppress(ClipError):
        for piece in audio.blocks():
            pieces.append(piece)
    recording = recording_of(path, speed=FULL_SPEED)
    samples, reason = listen_until_failure(recording)
    assert reason.startswith(f"{path}: truncated or damaged flac")
    np.testing.assert_array_equal(samples, np.concatenate(pieces))
    assert len(samples) % 1_600  # not in whole blocks
    assert recording.end_reason == str(recording.failure) == reason


def test_a_listener_that_leaves_closes_the_file(stereo: Path) -> None:
    """An open file would be a ResourceWarning, which is an error."""
    for speed in ("1", FULL_SPEED):
        recording = recording_of(stereo, speed=speed)
        blocks = recording.blocks()
        next(blocks)
        blocks.close()  # type: ignore[attr-defined]
        assert recording.end_reason == STOPPED
    stop = threading.Event()
    for recording in FileSource("call", stereo, SourceOptions(speed=FULL_SPEED)).recordings(stop):
        num_blocks = 0
        for _ in recording.blocks():
            num_blocks += 1
            stop.set()
        assert num_blocks == 1
        assert recording.end_reason == STOPPED


def test_what_is_no_audio_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"but .*missing\.wav is not there"):
        FileSource("call", tmp_path / "missing.wav", SourceOptions())
    (tmp_path / "text.wav").write_text("no audio" * 10)
    with pytest.raises(SourceError, match=r"text\.wav: not audio"):
        list(FileSource("call", tmp_path / "text.wav", SourceOptions()).recordings(threading.Event()))
