"""Raw PCM from stdin and named pipes: 16-bit little-endian mono samples at a rate that the caller states.

Stdin ends once. It is not live: its writer may be faster than real time, and is held up when the pipe is full. A named
pipe is live: whatever writes to it, such as arecord or a phone line, does so as it records. It is listened to until the
source is stopped; each writer, from its first sample until it goes away, is one recording. Audio that a writer failed
to deliver shows as drift, not as a dropout, as a pipe does not tell how much is missing.
"""

import contextlib
import errno
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from ser_embed.errors import InputError
from ser_monitor.sources.base import Block, Recording, Source, SourceError
from ser_monitor.sources.clock import SYSTEM_CLOCK, Clock
from ser_monitor.sources.options import SourceOptions

SAMPLE_BYTES = 2
_STDIN = 0
_FULL_SCALE = np.float32(2.0**15)
_LONGEST_WAIT_S = 0.1  # until `stop` is seen
_WRITER_POLL_S = 0.2
_CONTAINERS = {b"RIFF": "wav", b"OggS": "ogg", b"fLaC": "flac", b"ID3": "mp3"}


class PipeReader:
    """A pipe, read so that a stop or a stall ends the waiting.

    Attributes:
        stop: ends the waiting.
        clock: measures it.
    """

    def __init__(
        self,
        handle: int,
        stop: threading.Event,
        clock: Clock,
        stall_s: float | None = None,
        meanwhile: Callable[[], object] | None = None,
    ) -> None:
        """Read from an open pipe, which stays the caller's.

        Args:
            handle: its file descriptor.
            stop: ends the waiting.
            clock: measures it.
            stall_s: longest wait for a byte in seconds; None is for ever.
            meanwhile: called at least ten times a second while reading or waiting.
        """
        self.stop, self.clock = stop, clock
        self._handle, self._stall_s, self._meanwhile = handle, stall_s, meanwhile
        self._is_closed = False

    def close(self) -> None:
        """Refuse to read on: the file descriptor may soon be another file's."""
        self._is_closed = True

    def read(self, most: int) -> bytes | None:
        """Return up to so many bytes as soon as there are any; none is the end, and None that `stop` is set.

        Raises:
            TimeoutError: nothing came for `stall_s`.
            OSError: the pipe cannot be read.
        """
        since_s = self.clock.monotonic()
        while not self.stop.is_set():
            if self._is_closed:
                raise OSError(errno.EBADF, "the pipe was closed by its reader")
            is_ready = self.clock.wait_to_read(self._handle, _LONGEST_WAIT_S)
            if self._meanwhile is not None:
                self._meanwhile()
            if is_ready:
                try:
                    return os.read(self._handle, most)
                except BlockingIOError:
                    continue
            if self._stall_s is not None and self.clock.monotonic() - since_s >= self._stall_s:
                raise TimeoutError(f"no audio for {self._stall_s:g} s")
        return None


class PcmRecording(Recording):
    """Raw samples from a pipe."""

    is_finite = True
    _good_end = "end of stdin"

    def __init__(
        self, description: str, reader: PipeReader, first: bytes, options: SourceOptions, *, is_live: bool
    ) -> None:
        """Begin with the first bytes of a pipe.

        Args:
            description: what is heard.
            reader: the pipe.
            first: bytes that have been read from it.
            options: rate of the samples and length of blocks.
            is_live: whether the writer writes as it records.
        """
        self._reader, self._rest, self._clock = reader, first, reader.clock
        self._block_bytes = SAMPLE_BYTES * max(1, round(options.block_s * options.rate))
        first_s = self._clock.monotonic() - len(first) / SAMPLE_BYTES / options.rate
        super().__init__(description, options.rate, self._clock.utc_at(first_s), reader.stop, is_live=is_live)

    def _blocks(self) -> Iterator[Block]:
        while True:
            while len(self._rest) < self._block_bytes:
                data = self._read()
                if data is None:
                    return
                if not data:
                    yield from self._take(len(self._rest) - len(self._rest) % SAMPLE_BYTES)  # half a sample is lost
                    self._check_end()
                    return
                self._rest += data
            yield from self._take(self._block_bytes)

    def _read(self) -> bytes | None:
        try:
            return self._reader.read(self._block_bytes - len(self._rest))
        except OSError as error:
            raise SourceError(f"{self.description}: {error.strerror or error}") from error

    def _take(self, num_bytes: int) -> Iterator[Block]:
        if num_bytes:
            data, self._rest = self._rest[:num_bytes], self._rest[num_bytes:]
            yield Block(decode_pcm(data), self._clock.monotonic())

    def _check_end(self) -> None:
        """Raise a SourceError if the end of the pipe is not that of the audio."""


class PipeRecording(PcmRecording):
    """Raw samples of one writer of a named pipe."""

    is_finite = False
    _good_end = "the writer closed the pipe"


def decode_pcm(data: bytes) -> np.ndarray:
    r"""Return 16-bit little-endian mono samples as float32 (samples, 1), full scale at 1.

    >>> decode_pcm(b"\x00\x40\x00\x80").tolist()
    [[0.5], [-1.0]]
    """
    return (np.frombuffer(data, "<i2").astype(np.float32) / _FULL_SCALE)[:, np.newaxis]


def _require_raw(first: bytes, description: str) -> None:
    """Check that a pipe's first bytes are not those of an audio file.

    Raises:
        SourceError: they are.
    """
    for magic, container in _CONTAINERS.items():
        if first.startswith(magic):
            raise SourceError(f"expected raw 16-bit mono samples from {description}, not a {container} file")


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
        _require_raw(first, self.description)
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
                _require_raw(first, self.description)
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
