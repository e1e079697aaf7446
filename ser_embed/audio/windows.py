"""Windows of long audio, decoded piece by piece as 16 kHz waveforms. Nothing is padded."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ser_embed.audio.decode import to_16k_mono
from ser_embed.audio.reader import AudioFile
from ser_embed.errors import ClipError
from ser_embed.spec import MIN_SAMPLES, RATE_HZ


def windows(path: Path, window_s: float, hop_s: float) -> Iterator[tuple[float, float, np.ndarray]]:
    """Cut a long file into overlapping windows, with no more than two of them in memory.

    Args:
        path: an audio file of any length, rate and number of channels.
        window_s: length of a window in seconds.
        hop_s: distance between the starts of two windows in seconds.

    Yields:
        Start and end in seconds, and the waveform, float32 (samples,) at 16 kHz. The last window ends with the file
        and may be shorter, but never shorter than the minimum of an encoder. Silent windows are included.

    Raises:
        ClipError: the file cannot be read or decoded, or is shorter than the minimum of an encoder. That samples are
            missing may show only at the end.
    """
    with AudioFile(path) as audio:
        buffer = WindowBuffer(audio.rate_hz, window_s, hop_s)
        for samples in audio.blocks():
            yield from buffer.push(samples)
        yield from buffer.finish()


class WindowBuffer:
    """Samples that arrive piece by piece, cut into overlapping windows as soon as each is complete."""

    def __init__(self, rate_hz: int, window_s: float, hop_s: float) -> None:
        """Begin with no samples.

        Args:
            rate_hz: sampling rate of the samples in Hz.
            window_s: length of a window in seconds.
            hop_s: distance between the starts of two windows in seconds.
        """
        self._rate_hz = rate_hz
        self._window, self._hop = round(window_s * rate_hz), round(hop_s * rate_hz)
        self._samples: np.ndarray | None = None  # (samples, channels), from `_start` on
        self._start = 0

    def push(self, samples: np.ndarray) -> Iterator[tuple[float, float, np.ndarray]]:
        """Add samples, float32 (samples, channels), and yield the windows they complete; see `windows`."""
        self._samples = samples if self._samples is None else np.concatenate([self._samples, samples])
        while len(self._samples) >= self._window:
            yield self._cut(self._samples[: self._window])
            self._samples, self._start = self._samples[self._hop :], self._start + self._hop

    def finish(self) -> Iterator[tuple[float, float, np.ndarray]]:
        """Yield the last window, which is shorter, if it holds anything that the one before did not.

        Raises:
            ClipError: all samples together are fewer than the minimum of an encoder.
        """
        is_first = self._start == 0
        samples = np.empty((0, 1), np.float32) if self._samples is None else self._samples
        if len(samples) < MIN_SAMPLES * self._rate_hz / RATE_HZ:
            if is_first:
                raise ClipError(f"too short: {len(samples)} samples at {self._rate_hz} Hz")
        elif is_first or len(samples) > self._window - self._hop:
            yield self._cut(samples)

    def _cut(self, samples: np.ndarray) -> tuple[float, float, np.ndarray]:
        end = self._start + len(samples)
        return self._start / self._rate_hz, end / self._rate_hz, to_16k_mono(samples, self._rate_hz)
