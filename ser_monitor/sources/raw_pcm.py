"""Raw PCM: 16-bit little-endian mono samples that come through a pipe, at a rate that the caller states."""

import errno
import os
import threading
from collections.abc import Callable, Iterator

import numpy as np

from ser_monitor.sources.base import Block, Recording, SourceError
from ser_monitor.sources.clock import Clock
from ser_monitor.sources.options import SourceOptions

SAMPLE_BYTES = 2
_FULL_SCALE = np.float32(2.0**15)
_LONGEST_WAIT_S = 0.1  # until `stop` is seen
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


def decode_pcm(data: bytes) -> np.ndarray:
    r"""Return 16-bit little-endian mono samples as float32 (samples, 1), full scale at 1.

    >>> decode_pcm(b"\x00\x40\x00\x80").tolist()
    [[0.5], [-1.0]]
    """
    return (np.frombuffer(data, "<i2").astype(np.float32) / _FULL_SCALE)[:, np.newaxis]


def require_raw(first: bytes, description: str) -> None:
    """Check that a pipe's first bytes are not those of an audio file.

    Raises:
        SourceError: they are.
    """
    for magic, container in _CONTAINERS.items():
        if first.startswith(magic):
            raise SourceError(f"expected raw 16-bit mono samples from {description}, not a {container} file")
