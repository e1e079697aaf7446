"""Watched folders: every finished file once, the oldest first, however it comes to be there."""

import contextlib
import io
import logging
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

from ser_embed.errors import InputError
from ser_monitor.sources.base import SourceError
from ser_monitor.sources.folder import FolderSource
from ser_monitor.sources.options import SourceOptions
from tests.ser_monitor.sources.fakes import FakeClock, listen, tone


def write(path: Path, modified_s: float, num_samples: int = 1_600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone(num_samples), 16_000)
    os.utime(path, (modified_s, modified_s))
    return path


def watch(
    folder: Path, num_looks: int, after_look: Callable[[int], object] = lambda _: None, **options: object
) -> tuple[list[tuple[str, int]], FolderSource]:
    """Listen to a folder for so many looks, with `after_look` between them.

    Returns the name and the samples of each recording, and the source.
    """
    stop = threading.Event()

    def after_wait(count: int) -> None:
        after_look(count)
        if count == num_looks:
            stop.set()

    source = FolderSource("calls", folder, SourceOptions(**options), FakeClock(after_wait))  # type: ignore[arg-type]
    recordings = []
    for recording in source.recordings(stop):
        with contextlib.suppress(SourceError):
            listen(recording)
        recordings.append((Path(recording.description).name, round(recording.facts.duration_s * recording.rate_hz)))
    return recordings, source


def test_a_file_whose_name_is_no_text_is_told_and_the_others_are_heard(tmp_path: Path) -> None:
    name = os.fsdecode(b"b\xff.wav")
    try:
        write(tmp_path / name, 1_000)
    except (OSError, UnicodeEncodeError, soundfile.SoundFileError):
        shutil.copy(write(tmp_path / "a.wav", 2_000), tmp_path / name)
    write(tmp_path / "a.wav", 2_000)
    recordings, source = watch(tmp_path, 40)
    assert [file for file, _ in recordings] == ["a.wav"]
    assert source.unreadable == [{"path": str(tmp_path / name), "reason": "its name is not UTF-8; rename it"}]


def test_files_that_are_there_come_first_and_the_oldest_before_the_others(tmp_path: Path) -> None:
    write(tmp_path / "b.wav", 1_000)
    write(tmp_path / "deep" / "er" / "a.wav", 3_000)
    write(tmp_path / "c.wav", 2_000)

    def add(count: int) -> None:
        if count == 3:
            write(tmp_path / "older.wav", 500)

    recordings, _ = watch(tmp_path, 8, add)
    assert [name for name, _ in recordings] == ["b.wav", "c.wav", "a.wav", "older.wav"]


def streamed(num_samples: int) -> bytes:
    """Return a wav file as arecord writes it: its header does not say how long it will be, so any part is audio."""
    buffer = io.BytesIO()
    soundfile.write(buffer, tone(num_samples), 16_000, format="wav")
    data = bytearray(buffer.getvalue())
    data[4:8] = data[40:44] = b"\xff" * 4
    return bytes(data)


def test_a_file_is_left_alone_while_it_is_written_to(tmp_path: Path) -> None:
    data = streamed(40_000)
    path = tmp_path / "watched" / "growing.wav"
    path.parent.mkdir()

    def grow(count: int) -> None:
        if count <= 5:  # a piece between any two looks
            path.write_bytes(data[: len(data) * count // 5])
            os.utime(path, (1_000 + count, 1_000 + count))

    recordings, source = watch(path.parent, 12, grow)
    assert recordings == [("growing.wav", 40_000)]
    assert source.unreadable == []


def test_a_file_that_grows_between_a_look_and_its_turn_is_left_alone(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", 1_000)
    path, data = tmp_path / "b.wav", streamed(40_000)
    path.write_bytes(data[:20_000])
    stop = threading.Event()
    source = FolderSource("calls", tmp_path, SourceOptions(), FakeClock(lambda count: count < 9 or stop.set()))
    lengths = []
    for recording in source.recordings(stop):
        if not lengths:
            path.write_bytes(data)  # while a.wav is listened to
        lengths.append(len(listen(recording)[0]))
    assert lengths == [1_600, 40_000]


def test_a_program_that_pauses_in_the_middle_of_a_file_is_waited_for(tmp_path: Path) -> None:
    data = write(tmp_path / "whole.wav", 1_000, 40_000).read_bytes()
    path = tmp_path / "watched" / "growing.wav"
    path.parent.mkdir()
    path.write_bytes(data[:30_000])  # unchanged for twenty looks, but not as long as its header says

    def finish(count: int) -> None:
        if count == 20:
            path.write_bytes(data)

    recordings, source = watch(path.parent, 25, finish)
    assert recordings == [("growing.wav", 40_000)]
    assert source.unreadable == []


def test_a_file_that_cannot_be_read_is_told_once_and_left_until_it_changes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "text.wav"
    path.write_text("no audio" * 10)
    write(tmp_path / "good.wav", 1_000)
    with caplog.at_level(logging.WARNING, "ser_monitor"):
        recordings, source = watch(tmp_path, 100)
    assert recordings == [("good.wav", 1_600)]
    assert [item["path"] for item in source.unreadable] == [str(path)]
    assert source.unreadable[0]["reason"].startswith("not audio")
    assert [record.getMessage() for record in caplog.records] == [
        f"unreadable: {path}: {source.unreadable[0]['reason']}"
    ]

    def repair(count: int) -> None:
        if count == 50:
            write(path, 2_000)

    assert ("text.wav", 1_600) in watch(tmp_path, 60, repair)[0]


def test_a_file_that_breaks_off_is_heard_as_far_as_it_goes_and_listed(tmp_path: Path) -> None:
    path = tmp_path / "truncated.flac"
    soundfile.write(path, tone(200_000), 16_000)
    path.write_bytes(path.read_bytes()[:-20_000])
    recordings, source = watch(tmp_path, 5)
    assert [name for name, _ in recordings] == ["truncated.flac"]
    assert 0 < recordings[0][1] < 200_000
    assert [item["path"] for item in source.unreadable] == [str(path)]


def test_names_that_programs_give_to_what_is_not_finished_are_passed_over(tmp_path: Path) -> None:
    for name in (".hidden.wav", "~a.wav", "a.part.wav", "a.tmp.wav", ".trash/a.wav"):
        write(tmp_path / name, 1_000)
    (tmp_path / "notes.txt").write_text("no audio")
    (tmp_path / "a.wav.part").write_bytes(b"RIFF")
    (tmp_path / "folder.wav").mkdir()
    write(tmp_path / "Loud.WAV", 1_000)
    recordings, source = watch(tmp_path, 50)
    assert recordings == [("Loud.WAV", 1_600)]
    assert source.unreadable == []


def test_a_version_is_heard_once_and_a_new_version_again(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", 1_000)

    def rewrite(count: int) -> None:
        if count == 10:
            write(path, 1_000, 3_200)  # the same time, another size
        if count == 20:
            write(path, 1_500, 3_200)  # the same size, another time

    assert watch(tmp_path, 40, rewrite)[0] == [("a.wav", 1_600), ("a.wav", 3_200), ("a.wav", 3_200)]


def test_what_was_listened_to_before_a_restart_is_passed_over(tmp_path: Path) -> None:
    old, changed = write(tmp_path / "old.wav", 1_000.5), write(tmp_path / "changed.wav", 1_000)
    done = {(path, path.stat().st_size, path.stat().st_mtime) for path in (old, changed)}
    write(changed, 2_000)
    asked: list[Path] = []

    def is_done(path: Path, size_bytes: int, modified_s: float) -> bool:
        asked.append(path)
        return (path, size_bytes, modified_s) in done

    recordings, _ = watch(tmp_path, 10, is_done=is_done)
    assert [name for name, _ in recordings] == ["changed.wav"]
    assert asked.count(old) == 1  # a database is not asked at every look


def test_the_identity_of_a_recording_is_what_is_asked_for_after_a_restart(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", 1_000.123456789)
    stop = threading.Event()
    source = FolderSource("calls", tmp_path, SourceOptions(), FakeClock(lambda count: count < 9 or stop.set()))
    done = []
    for recording in source.recordings(stop):
        done.append((recording.description, *recording.identity.values()))
    assert len(done) == 1
    assert watch(tmp_path, 10, is_done=lambda path, *version: (str(path), *version) in done)[0] == []


def test_a_folder_that_goes_away_is_a_failure_and_its_files_are_remembered(tmp_path: Path) -> None:
    folder, away = tmp_path / "drive", tmp_path / "unplugged"
    write(folder / "a.wav", 1_000)
    stop = threading.Event()
    clock = FakeClock(lambda count: folder.rename(away) if count == 5 else None)
    source = FolderSource("calls", folder, SourceOptions(), clock)
    recordings = source.recordings(stop)
    names = [next(recordings).description]
    with pytest.raises(SourceError, match="the folder .* cannot be listed: No such file"):
        next(recordings)
    away.rename(folder)
    write(folder / "b.wav", 1_000)
    clock.during_wait = lambda count: count < 15 or stop.set()
    names += [recording.description for recording in source.recordings(stop)]
    assert names == [str(folder / "a.wav"), str(folder / "b.wav")]
    shutil.rmtree(folder)
    with pytest.raises(InputError, match="expected a folder, but .* is not there"):
        FolderSource("calls", folder, SourceOptions())


def test_files_of_a_folder_are_read_at_full_speed_unless_asked_otherwise(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", 1_000)
    for options, is_live in ((SourceOptions(), False), (SourceOptions(speed="1"), True)):
        stop = threading.Event()
        source = FolderSource("calls", tmp_path, options, FakeClock(lambda count, stop=stop: count < 5 or stop.set()))
        assert [recording.is_live for recording in source.recordings(stop)] == [is_live]
