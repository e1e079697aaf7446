"""Watched folders: every finished file once, the oldest first, however it comes to be there."""

import logging
import os
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
    folder: Path, num_looks: int, during_look: Callable[[int], object] = lambda _: None, **options: object
) -> tuple[list[str], FolderSource]:
    """Listen to a folder for so many looks, between which `during_look` is called; return what was heard."""
    stop = threading.Event()

    def after_wait(count: int) -> None:
        during_look(count)
        if count == num_looks:
            stop.set()

    source = FolderSource("calls", folder, SourceOptions(**options), FakeClock(after_wait))  # type: ignore[arg-type]
    return [heard(recording) for recording in source.recordings(stop)], source


def heard(recording: object) -> str:
    try:
        listen(recording)  # type: ignore[arg-type]
    except SourceError:
        pass
    return Path(recording.description).name  # type: ignore[attr-defined]


def test_files_that_are_there_come_first_and_the_oldest_before_the_others(tmp_path: Path) -> None:
    write(tmp_path / "b.wav", 1_000)
    write(tmp_path / "deep" / "er" / "a.wav", 3_000)
    write(tmp_path / "c.wav", 2_000)

    def add(count: int) -> None:
        if count == 3:
            write(tmp_path / "older.wav", 500)

    assert watch(tmp_path, 8, add)[0] == ["b.wav", "c.wav", "a.wav", "older.wav"]


def test_a_file_is_heard_when_it_is_written_to_no_more(tmp_path: Path) -> None:
    whole = write(tmp_path / "outside.bin", 0, 40_000) if False else None
    data = write(tmp_path / "elsewhere" / "whole.wav", 1_000, 40_000).read_bytes()
    folder = tmp_path / "watched"
    folder.mkdir()
    path = folder / "growing.wav"
    heard_at: list[int] = []

    def grow(count: int) -> None:
        if count <= 5:  # a piece between any two looks
            path.write_bytes(data[: len(data) * count // 5])
            os.utime(path, (1_000 + count, 1_000 + count))

    names, source = watch(folder, 12, grow)
    assert whole is None
    assert heard_at == []
    assert names == ["growing.wav"]
    assert source.unreadable == []
