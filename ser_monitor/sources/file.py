"""Files as recordings: any audio that the library reads, in blocks at the file's own rate, paced or at full speed.

At full speed, a file is taken to have just ended when it is opened, so that none of its moments lies in the future; a
file of a folder ended when it was last written to.
"""

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from ser_embed.errors import ClipError, InputError
from ser_monitor.config import FULL_SPEED
from ser_monitor.sources.base import Block, Recording, Source, SourceError, is_utf8
from ser_monitor.sources.clock import SYSTEM_CLOCK, Clock
from ser_monitor.sources.options import SourceOptions

_LONGEST_S = 10 * 365 * 86_400.0  # more is what a decoder says that does not know


class FileRecording(Recording):
    """The audio of one file.

    Attributes:
        path: the file.
        size_bytes: its size when it was opened.
        modified_s: when it had been modified, in seconds since 1970.
    """

    is_finite = True
    _good_end = "end of file"

    def __init__(
        self, path: Path, options: SourceOptions, stop: threading.Event, clock: Clock, *, is_archived: bool = False
    ) -> None:
        """Open a file.

        Args:
            path: the file.
            options: how it is read.
            stop: ends the blocks.
            clock: paces them.
            is_archived: whether it ended when it was last written to, and not just now.

        Raises:
            SourceError: it cannot be opened, is no audio, or its name is not UTF-8.
        """
        self.path, self._block_s, self._clock = path, options.block_s, clock
        self._stack = contextlib.ExitStack()
        if not is_utf8(str(path)):
            raise SourceError(f"{path}: its name is not UTF-8; rename it")
        is_paced = options.speed != FULL_SPEED
        with self._as_source_error():
            rate_hz, duration_s, self._decoded = self._stack.enter_context(_decoded(path))
            status = os.stat(path)
        self.size_bytes, self.modified_s = status.st_size, status.st_mtime_ns / 1e9
        ended_at = datetime.fromtimestamp(self.modified_s, UTC) if is_archived else clock.utc_now()
        started_at = clock.utc_now() if is_paced else ended_at - timedelta(seconds=duration_s)
        super().__init__(str(path), rate_hz, started_at, stop, is_live=is_paced)

    @property
    def identity(self) -> Mapping[str, Any]:
        """Size and time of modification: with the path, they tell a file that was listened to before."""
        return {"size_bytes": self.size_bytes, "modified_s": self.modified_s}

    def _blocks(self) -> Iterator[Block]:
        blocks = self._cut()
        return self._paced(blocks) if self.is_live else blocks

    def _cut(self) -> Iterator[Block]:
        """Yield the samples in blocks of equal length; the last may be shorter."""
        length = max(1, round(self._block_s * self.rate_hz))
        remainder: np.ndarray | None = None
        try:
            with self._as_source_error():
                for decoded in self._decoded:
                    samples = decoded if remainder is None else np.concatenate([remainder, decoded])
                    whole = len(samples) - len(samples) % length
                    for start in range(0, whole, length):
                        yield self._block(samples[start : start + length])
                    remainder = samples[whole:]
        except SourceError:
            if remainder is not None and len(remainder):
                yield self._block(remainder)  # what was decoded before the damage is good
            raise
        if remainder is not None and len(remainder):
            yield self._block(remainder)

    def _block(self, samples: np.ndarray) -> Block:
        return Block(samples, self._clock.monotonic())

    def _paced(self, blocks: Iterator[Block]) -> Iterator[Block]:
        """Yield each block at the moment at which its last sample would have been there.

        The moments count from the first, so that waiting does not add up to a drift, and a consumer that was slow
        catches up.
        """
        begin_s, num_samples = self._clock.monotonic(), 0
        for block in blocks:
            num_samples += len(block.samples)
            due_s = begin_s + num_samples / self.rate_hz
            if self._clock.wait(self._stop, due_s - self._clock.monotonic()):
                return
            yield Block(block.samples, due_s)

    def close(self) -> None:
        """Close the file."""
        self._stack.close()

    @contextlib.contextmanager
    def _as_source_error(self) -> Iterator[None]:
        try:
            yield
        except (ClipError, OSError) as error:
            self.close()
            raise SourceError(f"{self.path}: {error}") from error


class FileSource(Source):
    """A file, listened to once."""

    kind = "file"
    reopens = False

    def __init__(self, name: str, path: Path, options: SourceOptions, clock: Clock = SYSTEM_CLOCK) -> None:
        """Name a file.

        Args:
            name: of the source.
            path: the file.
            options: how it is read.
            clock: paces it.

        Raises:
            InputError: there is no such file.
        """
        if not path.is_file():
            raise InputError(f"expected an audio file, but {path} is {'no file' if path.exists() else 'not there'}")
        super().__init__(name, str(path))
        self._path, self._options, self._clock = path, options, clock

    def recordings(self, stop: threading.Event) -> Iterator[Recording]:
        """Yield the file's recording; see `Source.recordings`."""
        if not stop.is_set():
            with FileRecording(self._path, self._options, stop, self._clock) as recording:
                yield recording


@contextlib.contextmanager
def _decoded(path: Path) -> Iterator[tuple[int, float, Iterator[np.ndarray]]]:
    """Open a file and give its rate in Hz, its declared duration in seconds, and its samples as they are decoded.

    Raises:
        ClipError: it cannot be opened or decoded. That samples are missing may show only at the end.
    """
    import soundfile

    import ser_embed

    with ser_embed.AudioFile(path) as audio:
        try:
            duration_s = min(soundfile.info(str(path)).duration, _LONGEST_S)
        except soundfile.SoundFileError:  # the blocks will show what is wrong
            duration_s = 0.0
        yield audio.rate_hz, duration_s, audio.blocks()
