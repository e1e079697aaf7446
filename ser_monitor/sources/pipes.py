"""Pipes as sources: stdin, and named pipes whose writers come and go.

Stdin ends once. It is not live: its writer may be faster than real time, and is held up when the pipe is full. A named
pipe is live: whatever writes to it, such as arecord or a phone line, does so as it records. It is listened to until the
source is stopped; each writer, from its first sample until it goes away, is one recording. Audio that a writer failed
to deliver shows as drift, not as a dropout, as a pipe does not tell how much is missing.
"""

import contextlib
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

from ser_embed.errors import InputError
from ser_monitor.sources.base import Recording, Source, SourceError
from ser_monitor.sources.clock import SYSTEM_CLOCK, Clock
from ser_monitor.sources.options import SourceOptions
from ser_monitor.sources.raw_pcm import SAMPLE_BYTES, PcmRecording, PipeReader, require_raw

_STDIN = 0
_WRITER_POLL_S = 0.2


class PipeRecording(PcmRecording):
    """Raw samples of one writer of a named pipe."""

    is_finite = False
    _good_end = "the writer closed the pipe"


class StdinSource(Source):
    """Raw samples from stdin, listened to once."""

    kind = "stdin"
    reopens = False

    def __init__(self, name: str, options: SourceOptions, clock: Clock = SYSTEM_CLOCK, handle: int = _STDIN) -> None:
        """Name the pipe that is this program's stdin.

        Args:
            name: of the source.
            options: rate of the samples.
            clock: tells when they are there.
            handle: file descriptor of the pipe.

        Raises:
            InputError: it is a terminal, or closed.
        """
        super().__init__(name, "stdin")
        self._options, self._clock, self._handle = options, clock, handle
        try:
            os.fstat(handle)
        except OSError as error:
            raise InputError("expected raw audio on stdin, which is closed") from error
        if os.isatty(handle):
            raise InputError(
                "expected raw 16-bit mono audio on stdin, which is a terminal; pipe it in, for example from: "
                f"arecord -f S16_LE -c 1 -r {options.rate}"
            )

    def recordings(self, stop: threading.Event) -> Iterator[Recording]:
        """Yield the one recording, when its first samples are there; see `Source.recordings`."""
        reader = PipeReader(self._handle, stop, self._clock)
        try:
            first = reader.read(SAMPLE_BYTES * self._options.rate)
        except OSError as error:
            raise SourceError(f"stdin cannot be read: {error.strerror or error}") from error
        if first is None:
            return
        if not first:
            raise SourceError("expected raw 16-bit mono audio on stdin, which ended before any came")
        require_raw(first, self.description)
        with PcmRecording(self.description, reader, first, self._options, is_live=False) as recording:
            yield recording


class PipeSource(Source):
    """Raw samples from a named pipe, whose writers come and go."""

    kind = "pipe"
    reopens = True
    waits = True

    def __init__(self, name: str, path: Path, options: SourceOptions, clock: Clock = SYSTEM_CLOCK) -> None:
        """Name a pipe.

        Args:
            name: of the source.
            path: the pipe.
            options: rate of the samples.
            clock: tells when they are there.

        Raises:
            InputError: there is no such pipe.
        """
        if not path.is_fifo():
            raise InputError(f"expected a named pipe, but {path} is {'none' if path.exists() else 'not there'}")
        super().__init__(name, str(path))
        self._path, self._options, self._clock = path, options, clock

    def recordings(self, stop: threading.Event) -> Iterator[Recording]:
        """Wait for writers and yield a recording of each, until `stop` is set; see `Source.recordings`.

        The pipe stays open between two of them, so that what the next one writes meanwhile is not lost.
        """
        handle = self._open()
        reader = PipeReader(handle, stop, self._clock)
        try:
            while (first := self._first_bytes(handle, stop)) is not None:
                require_raw(first, self.description)
                with PipeRecording(self.description, reader, first, self._options, is_live=True) as recording:
                    yield recording
        finally:
            reader.close()
            os.close(handle)

    def _open(self) -> int:
        """Open the pipe without waiting for a writer.

        Raises:
            SourceError: it cannot be opened, or has become something else.
        """
        try:
            handle = os.open(self._path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        except OSError as error:
            raise SourceError(f"the pipe {self._path} cannot be opened: {error.strerror or error}") from error
        if not stat.S_ISFIFO(os.fstat(handle).st_mode):
            os.close(handle)
            raise SourceError(f"expected a named pipe, but {self._path} is none any more")
        return handle

    def _first_bytes(self, handle: int, stop: threading.Event) -> bytes | None:
        """Wait for a writer; return its first bytes, or None when `stop` is set."""
        reader = PipeReader(handle, stop, self._clock, stall_s=_WRITER_POLL_S)
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                first = self._read(reader)
                if first or first is None:
                    return first
                self._clock.wait(stop, _WRITER_POLL_S)  # the last writer has gone, and reading no longer waits
            self._require_same(handle)
        return None

    def _read(self, reader: PipeReader) -> bytes | None:
        try:
            return reader.read(SAMPLE_BYTES * self._options.rate)
        except TimeoutError:
            raise
        except OSError as error:
            raise SourceError(f"the pipe {self._path} cannot be read: {error.strerror or error}") from error

    def _require_same(self, handle: int) -> None:
        """Check that writers still reach the pipe that is open.

        Raises:
            SourceError: it has been removed or replaced.
        """
        try:
            is_same = os.path.samestat(os.stat(self._path), os.fstat(handle))
        except OSError:
            is_same = False
        if not is_same:
            raise SourceError(f"the pipe {self._path} has been removed or replaced")
