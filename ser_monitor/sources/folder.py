"""Folders as sources: every audio file in them, and those that appear later.

A folder is looked through at intervals, with its subfolders. The files that are there come first, the one that was
written first before the others. A file is opened once its size and time of modification are the same in two looks,
which leaves alone what a recorder still writes to. One that cannot be read then may be written to by a slow program:
it is tried again until it has not changed for half a minute, then told once, and left until it changes.
"""

import dataclasses
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from ser_embed.cli import printable
from ser_embed.errors import InputError
from ser_monitor.config import FULL_SPEED
from ser_monitor.sources.base import Recording, Source, SourceError
from ser_monitor.sources.clock import SYSTEM_CLOCK, Clock
from ser_monitor.sources.file import FileRecording
from ser_monitor.sources.options import SourceOptions

logger = logging.getLogger(__name__)

SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3")  # of the formats that the library reads
_HIDDEN = (".", "~")  # beginnings of names that programs give to what is not finished
_UNFINISHED = (".tmp.", ".temp.", ".part.", ".partial.")
_GIVEN_UP_AFTER_S = 30.0


@dataclasses.dataclass(frozen=True, order=True)
class FileVersion:
    """A file as it is at a moment; the one written first comes first.

    Attributes:
        modified_ns: time of modification in nanoseconds since 1970.
        path: the file.
        size_bytes: its size.
    """

    modified_ns: int
    path: Path
    size_bytes: int


class FolderSource(Source):
    """A folder that is watched until the source is stopped."""

    kind = "folder"
    reopens = True  # a network drive may go and come back
    waits = True

    def __init__(self, name: str, folder: Path, options: SourceOptions, clock: Clock = SYSTEM_CLOCK) -> None:
        """Name a folder.

        Args:
            name: of the source.
            folder: the folder.
            options: how it is watched; its files are read at full speed unless a speed is given.
            clock: between looks.

        Raises:
            InputError: there is no such folder.
        """
        if not folder.is_dir():
            raise InputError(f"expected a folder, but {folder} is {'none' if folder.exists() else 'not there'}")
        super().__init__(name, str(folder))
        self._folder, self._clock = folder, clock
        self._options = dataclasses.replace(options, speed=options.speed or FULL_SPEED)
        self._waiting: dict[FileVersion, float] = {}  # since when, in monotonic seconds
        self._finished: set[int] = set()  # hashes of versions: a year of files has to fit into memory

    def recordings(self, stop: threading.Event) -> Iterator[Recording]:
        """Yield a recording of each file, until `stop` is set; see `Source.recordings`."""
        while not stop.is_set():
            for version in self._ready():
                if stop.is_set():
                    return
                recording = self._open(version, stop)
                if recording is None:
                    continue
                with recording:
                    yield recording
                if recording.failure is not None:
                    self._give_up(version, recording.failure)
            self._clock.wait(stop, self._options.poll_s)

    def _ready(self) -> list[FileVersion]:
        """Look through the folder; return the files that have not changed since the last look."""
        now_s = self._clock.monotonic()
        versions = [version for version in _versions(self._folder) if not self._is_finished(version)]
        before = self._waiting
        self._waiting = {version: before.get(version, now_s) for version in versions}
        return sorted(version for version in versions if version in before)

    def _is_finished(self, version: FileVersion) -> bool:
        if hash(version) in self._finished:
            return True
        is_done = self._options.is_done
        if is_done is None or not is_done(version.path, version.size_bytes, version.modified_ns / 1e9):
            return False
        self._finished.add(hash(version))
        return True

    def _open(self, version: FileVersion, stop: threading.Event) -> FileRecording | None:
        """Open a file; return None if it cannot be read, or not yet."""
        try:
            recording = FileRecording(version.path, self._options, stop, self._clock, is_archived=True)
        except SourceError as error:
            if self._clock.monotonic() - self._waiting[version] >= _GIVEN_UP_AFTER_S:
                self._give_up(version, error)
            return None
        if (recording.size_bytes, recording.modified_s) != (version.size_bytes, version.modified_ns / 1e9):
            recording.close()  # it was written to after the look
            return None
        self._finished.add(hash(version))
        return recording

    def _give_up(self, version: FileVersion, error: SourceError) -> None:
        self._finished.add(hash(version))
        reason = str(error).removeprefix(f"{version.path}: ")
        self.unreadable.append({"path": str(version.path), "reason": reason})
        logger.warning("unreadable: %s: %s", printable(str(version.path)), printable(reason))


def _versions(folder: Path) -> Iterator[FileVersion]:
    """Yield the audio files under a folder; subfolders that cannot be listed are passed over.

    Raises:
        SourceError: the folder itself cannot be listed.
    """
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise SourceError(f"the folder {folder} cannot be listed: {error.strerror or error}") from error
    subfolders = []
    for entry in entries:
        if entry.name.startswith(_HIDDEN):
            continue
        try:
            if entry.is_dir(follow_symlinks=False):
                subfolders.append(Path(entry.path))
            elif _is_audio(entry.name) and entry.is_file():
                status = entry.stat()
                yield FileVersion(status.st_mtime_ns, Path(entry.path), status.st_size)
        except OSError:
            continue  # it has been removed since
    for subfolder in subfolders:
        try:
            yield from _versions(subfolder)
        except SourceError:
            logger.debug("%s cannot be listed", printable(str(subfolder)))


def _is_audio(name: str) -> bool:
    """Tell whether a file's name is that of finished audio."""
    lower = name.lower()
    return lower.endswith(SUFFIXES) and not any(part in lower for part in _UNFINISHED)
