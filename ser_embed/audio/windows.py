"""Windows of a long audio file, decoded one at a time as 16 kHz waveforms. Nothing is padded."""

import mmap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from ser_embed.audio.decode import read_bytes, to_16k_mono
from ser_embed.audio.integrity import describe_truncation
from ser_embed.errors import ClipError
from ser_embed.spec import MIN_SAMPLES, RATE_HZ

_SUSPICIOUS_BYTES = 1_000  # a smaller file may be empty or a git-lfs pointer


def windows(path: Path, window_s: float, hop_s: float) -> Iterator[tuple[float, float, np.ndarray]]:
    """Cut a long file into overlapping windows, with no more than one of them in memory.

    Args:
        path: an audio file of any length, rate and number of channels.
        window_s: length of a window in seconds.
        hop_s: distance between the starts of two windows in seconds.

    Yields:
        Start and end in seconds, and the waveform, float32 (samples,) at 16 kHz. The last window ends with the file
        and may be shorter, but never shorter than the minimum of an encoder. Silent windows are included.

    Raises:
        ClipError: the file cannot be read or decoded, or is shorter than the minimum of an encoder.
    """
    if not path.is_file() or path.stat().st_size < _SUSPICIOUS_BYTES:
        read_bytes(path)  # raises the error for a file that is missing, empty or a git-lfs pointer
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        truncation = describe_truncation(data)
    if truncation:
        raise ClipError(f"truncated: {truncation}")
    try:
        with _SequentialFile(path) as file:
            rate_hz = file.samplerate
            yield from _read_windows(file, round(window_s * rate_hz), round(hop_s * rate_hz), rate_hz)
    except soundfile.LibsndfileError as error:
        raise ClipError(f"not audio: {error.error_string}") from error


class _SequentialFile(soundfile.SoundFile):
    """A file that is read from start to end.

    soundfile seeks after every read, which makes an mp3 decoder continue at a wrong position.
    """

    def seekable(self) -> bool:
        """Return False, so that soundfile never seeks."""
        return False


def _read_windows(
    file: soundfile.SoundFile, window: int, hop: int, rate_hz: int
) -> Iterator[tuple[float, float, np.ndarray]]:
    """Yield the windows of an open file.

    Args:
        file: the file, at its start.
        window: length of a window in samples of the file.
        hop: distance between the starts of two windows in samples of the file.
        rate_hz: sampling rate of the file in Hz.

    Yields:
        Start and end in seconds, and the waveform, float32 (samples,) at 16 kHz.

    Raises:
        ClipError: the file is shorter than the minimum of an encoder.
    """
    min_samples = MIN_SAMPLES * rate_hz / RATE_HZ
    buffer = np.empty((0, file.channels), np.float32)  # (samples, channels), from `start` on
    start = 0
    while True:
        new = file.read(window - len(buffer), dtype="float32", always_2d=True)
        buffer = np.concatenate([buffer, new])
        at_end = len(buffer) < window
        is_first = start == 0
        if len(buffer) < min_samples:
            if is_first:
                raise ClipError(f"too short: {len(buffer)} samples at {rate_hz} Hz")
            return
        # A remainder that lies entirely within the previous window would add nothing.
        if is_first or not at_end or len(buffer) > window - hop:
            yield start / rate_hz, (start + len(buffer)) / rate_hz, to_16k_mono(buffer, rate_hz)
        if at_end:
            return
        buffer, start = buffer[hop:], start + hop
