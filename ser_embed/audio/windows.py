"""Windows of a long audio file, decoded one at a time."""

import mmap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from ser_embed.audio.decode import read_bytes, to_16k_mono
from ser_embed.audio.integrity import shortfall
from ser_embed.errors import ClipError
from ser_embed.spec import MIN_SAMPLES, RATE_HZ


def windows(path: Path, window_s: float, hop_s: float) -> Iterator[tuple[float, float, np.ndarray]]:
    """Cut a long file into overlapping windows, decoding no more than one at a time.

    Args:
        path: an audio file of any length, rate and number of channels.
        window_s: length of a window in seconds.
        hop_s: step from one window's start to the next's in seconds.

    Yields:
        Start and end in seconds, and float32 (samples,) at 16 kHz. The last window ends where the file ends and is
        shorter if need be, but never shorter than what an encoder takes. Silent windows come too.

    Raises:
        ClipError: the file cannot be read or decoded, or is shorter than an encoder takes.
    """
    if not path.is_file() or path.stat().st_size < 1_000:
        read_bytes(path)  # says what is wrong with a file that is missing, empty or a pointer
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        short = shortfall(data)
    if short:
        raise ClipError(f"truncated: {short}")
    try:
        with _Stream(path) as file:
            rate_hz = file.samplerate
            yield from _windows_of(file, round(window_s * rate_hz), round(hop_s * rate_hz), rate_hz)
    except soundfile.LibsndfileError as error:
        raise ClipError(f"not audio: {error.error_string}") from error


class _Stream(soundfile.SoundFile):
    """A file read from front to back. soundfile seeks after every read, which makes an mp3 decoder lose its place."""

    def seekable(self) -> bool:
        """Say no, so that nothing seeks."""
        return False


def _windows_of(
    file: soundfile.SoundFile, window: int, hop: int, rate_hz: int
) -> Iterator[tuple[float, float, np.ndarray]]:
    shortest = MIN_SAMPLES * rate_hz / RATE_HZ
    held = np.empty((0, file.channels), np.float32)
    start = 0
    while True:
        new = file.read(window - len(held), dtype="float32", always_2d=True)
        held = np.concatenate([held, new])
        ended = len(held) < window
        first = start == 0
        if len(held) < shortest:
            if first:
                raise ClipError(f"too short: {len(held)} samples at {rate_hz} Hz")
            return
        # A remainder that the window before has already heard whole says nothing new.
        if first or not ended or len(held) > window - hop:
            yield start / rate_hz, (start + len(held)) / rate_hz, to_16k_mono(held, rate_hz)
        if ended:
            return
        held, start = held[hop:], start + hop
