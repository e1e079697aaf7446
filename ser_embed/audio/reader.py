"""Reader of audio: a file, decoded from start to end in blocks, with everything checked that can be.

Before anything is decoded, the container is walked (`ser_embed.audio.integrity`), and rate and channels are held to
bounds. After the last block, the number of samples is compared with what the container promised.
"""

import contextlib
import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile

from ser_embed.audio.flac import FlacHeader, SampleHash
from ser_embed.audio.integrity import audio_start, promised_samples
from ser_embed.errors import ClipError

# Beginnings of the reason when a file cannot be reached now, but may be available in a later run.
MISSING_PREFIXES = ("missing: ", "cannot be opened: ")
MIN_RATE_HZ, MAX_RATE_HZ = 1_000, 768_000  # no microphone records speech at less or more
MAX_CHANNELS = 64
BLOCK = 1 << 16  # samples decoded at once
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_INT32_SCALE = np.float32(2.0**-31)
_NOT_FILES = {
    stat.S_IFDIR: f"{MISSING_PREFIXES[1]}it is a folder",
    stat.S_IFIFO: "no file, but a named pipe",
    stat.S_IFCHR: "no file, but a device",
    stat.S_IFBLK: "no file, but a device",
}


class AudioReader:
    """An audio file, to be read once from start to end.

    Attributes:
        rate_hz: its sampling rate.
        channels: their number.
    """

    def __init__(self, file: BinaryIO) -> None:
        """Check the container and open the decoder.

        Args:
            file: the file: one of the operating system, or one in memory.

        Raises:
            ClipError: it is no audio, or damaged, or has a rate or a number of channels that no recording has.
        """
        self._promised = promised_samples(file)
        self._flac = FlacHeader.read(file, audio_start(file))
        source: Any = _TolerantBytes(file.getvalue()) if isinstance(file, io.BytesIO) else file.fileno()
        if isinstance(source, int):
            os.lseek(source, 0, os.SEEK_SET)  # where libsndfile begins to read
        with _as_clip_error(bool(self._flac)):
            self._decoder = _SequentialFile(source, closefd=False)
        self.rate_hz, self.channels = self._decoder.samplerate, self._decoder.channels
        if not MIN_RATE_HZ <= self.rate_hz <= MAX_RATE_HZ:
            raise ClipError(f"a sampling rate of {self.rate_hz} Hz; expected {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz")
        if self.channels > MAX_CHANNELS:
            raise ClipError(f"{self.channels} channels; expected at most {MAX_CHANNELS}")

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield all samples, float32 (up to `BLOCK`, channels), full scale at 1.

        Raises:
            ClipError: the decoder fails, or there are fewer samples than promised, which the end shows.
        """
        count, sample_hash = 0, SampleHash(self._flac) if self._flac and self._flac.bits <= 24 else None
        with _as_clip_error(bool(self._flac)):
            while len(
                samples := self._decoder.read(BLOCK, dtype="int32" if sample_hash else "float32", always_2d=True)
            ):
                count += len(samples)
                if sample_hash:
                    sample_hash.update(samples)
                    samples = samples.astype(np.float32) * _INT32_SCALE
                yield samples
        if sample_hash:
            sample_hash.check()
        if count < self._promised:
            raise ClipError(f"not decoded whole: {self._promised} samples in the file, {count} found by the decoder")
        if not self._flac and not self._promised and count < self._decoder.frames:
            raise ClipError(f"truncated: {self._decoder.frames} samples declared, {count} present")


class AudioFile:
    """An audio file of any length, read once from start to end in a `with` statement.

    >>> with AudioFile("speech.mp3") as audio:  # doctest: +SKIP
    ...     for samples in audio.blocks():  # float32 (samples, channels)
    ...         print(len(samples) / audio.rate_hz, "s")

    Attributes:
        path: the file.
        rate_hz: its sampling rate.
        channels: their number.
    """

    def __init__(self, path: str | Path) -> None:
        """Open the file and check its container.

        Raises:
            ClipError: see `open_audio` and `AudioReader`.
        """
        self.path = Path(path)
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(open_audio(self.path))
            self._reader = AudioReader(file)
            self._file = stack.pop_all()
        self.rate_hz, self.channels = self._reader.rate_hz, self._reader.channels

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield all samples; see `AudioReader.blocks`."""
        return self._reader.blocks()

    def __enter__(self) -> "AudioFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


class _SequentialFile(soundfile.SoundFile):
    """A file that is read from start to end.

    soundfile seeks after every read, which makes an mp3 decoder continue at a wrong position.
    """

    def seekable(self) -> bool:
        """Return False, so that soundfile never seeks."""
        return False


class _TolerantBytes(io.BytesIO):
    """Bytes in which libsndfile, misled by a damaged header, may look for positions that there are not."""

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move to a position, or stay where there is none; an error would be printed by soundfile, and ignored."""
        try:
            return super().seek(offset, whence)
        except (ValueError, OverflowError):
            return self.tell()


@contextlib.contextmanager
def _as_clip_error(is_flac: bool) -> Iterator[None]:
    """Turn an error of the decoder into the reason why a clip is left out."""
    try:
        yield
    except (soundfile.SoundFileError, ValueError, MemoryError) as error:
        reason = getattr(error, "error_string", str(error))
        # Only decoding shows that a flac file is truncated.
        raise ClipError(f"{'truncated or damaged flac' if is_flac else 'not audio'}: {reason}") from error


def open_audio(path: Path) -> BinaryIO:
    """Open a file for reading, if it is a regular one that may hold audio.

    Raises:
        ClipError: the file is missing, cannot be opened, is empty, a git-lfs pointer, or a pipe or device, which might
            never end.
    """
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError as error:
        raise ClipError(f"{MISSING_PREFIXES[0]}there is no such file") from error
    except (OSError, ValueError) as error:
        raise ClipError(f"{MISSING_PREFIXES[1]}{getattr(error, 'strerror', None) or error}") from error
    kind = stat.S_IFMT(os.fstat(handle).st_mode)
    if kind != stat.S_IFREG:
        os.close(handle)
        raise ClipError(_NOT_FILES.get(kind, "no file, but something else"))
    file = os.fdopen(handle, "rb")
    try:
        start = file.read(len(_LFS_POINTER))
    except OSError as error:
        file.close()
        raise ClipError(f"{MISSING_PREFIXES[1]}{error.strerror or error}") from error
    if not start or start == _LFS_POINTER:
        file.close()
        what = "a git-lfs pointer, not the audio itself; fetch it with: git lfs pull" if start else "empty: 0 bytes"
        raise ClipError(what)
    file.seek(0)
    return file
