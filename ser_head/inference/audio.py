"""Audio to score: files and arrays become segments, whole or in windows.

What is wrong with a file is
collected as {"file", "reason"}; the other files are scored all the same.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ser_embed.cli import quiet
from ser_embed.errors import ClipError, InputError, SilentClipError
from ser_head.inference.clips import load_whole, require_length, require_storable

_MOST_CHANNELS = 64  # an array with more columns is rather (channels, samples)


@dataclasses.dataclass(frozen=True)
class Segment:
    """A stretch of audio to score: a window, or a whole file.

    Attributes:
        file: where it is from: a path, or the name of an array.
        start_s: where it begins, in seconds.
        end_s: where it ends, in seconds.
        waveform: float32 (samples,) at 16 kHz; None if it is silent.
    """

    file: str
    start_s: float
    end_s: float
    waveform: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class AudioArray:
    """Audio in memory.

    Attributes:
        name: what it is called in tables.
        samples: float32 (samples, channels), full scale at 1.
        rate_hz: sampling rate in Hz.
    """

    name: str
    samples: np.ndarray
    rate_hz: int

    @classmethod
    def of(cls, samples: Any, rate_hz: int | None, name: str = "array") -> "AudioArray":
        """Take samples as numpy, soundfile and librosa give them.

        Args:
            samples: numbers (samples,) or (samples, channels); integers are scaled from their full range.
            rate_hz: sampling rate in Hz.
            name: what to call it.

        Raises:
            InputError: no rate is given, or it is no audio of this shape.
        """
        if rate_hz is None:
            raise InputError("an array of samples needs its sampling rate: rate=16000, for example")
        if not float(rate_hz) > 0 or int(rate_hz) != rate_hz:
            raise InputError(f"the rate has to be a positive whole number of Hz, not {rate_hz!r}")
        array = np.asarray(samples)
        if array.dtype.kind not in "iuf" or array.ndim not in (1, 2):
            raise InputError(
                f"expected samples of shape (samples,) or (samples, channels), not {array.dtype} {array.shape}"
            )
        if array.ndim == 2 and array.shape[1] > _MOST_CHANNELS:
            raise InputError(f"expected samples of shape (samples, channels), not {array.shape}; transpose it")
        if array.dtype.kind in "iu":
            info = np.iinfo(array.dtype)
            middle = 0 if array.dtype.kind == "i" else (info.max + 1) / 2
            array = (array.astype(np.float64) - middle) / ((info.max + 1) if array.dtype.kind == "i" else middle)
        array = array.astype(np.float32, copy=False)
        return cls(name, array[:, np.newaxis] if array.ndim == 1 else array, int(rate_hz))


def read_segments(
    audio: Sequence[Path | AudioArray],
    window_s: float | None,
    hop_s: float | None,
    longest_s: float,
    unreadable: list[dict[str, str]],
) -> Iterator[Segment]:
    """Read audio, one file or array after the other.

    Args:
        audio: files and arrays.
        window_s: length of a window in seconds; None for whole files.
        hop_s: distance between the starts of two windows in seconds.
        longest_s: the longest file that is scored whole, in seconds.
        unreadable: files that cannot be read are added to it.

    Yields:
        The segments to score, file by file. Of long files a few windows at a time are in memory.
    """
    is_quiet = quiet() or len(audio) == 1 or isinstance(audio[0] if audio else None, AudioArray)
    for item in tqdm(audio, "scoring", unit="file", disable=is_quiet):
        name = item.name if isinstance(item, AudioArray) else str(item)
        try:
            require_storable(name)
            if window_s is None:
                yield _whole(item, name, longest_s)
            else:
                yield from _voiced_windows(name, _windows(item, window_s, hop_s or window_s / 2))
        except ClipError as error:
            unreadable.append({"file": name, "reason": str(error)})


def _whole(item: Path | AudioArray, name: str, longest_s: float) -> Segment:
    if isinstance(item, Path):
        waveform, facts = load_whole(item, longest_s)
        return Segment(name, 0.0, facts.duration_s, waveform)
    from ser_embed.audio.decode import check_waveform, to_16k_mono

    duration_s = len(item.samples) / item.rate_hz
    require_length(duration_s, longest_s)
    waveform = to_16k_mono(item.samples, item.rate_hz)
    check_waveform(waveform)
    return Segment(name, 0.0, duration_s, waveform)


def _windows(item: Path | AudioArray, window_s: float, hop_s: float) -> Iterator[tuple[float, float, np.ndarray]]:
    from ser_embed.audio.windows import windows

    if isinstance(item, Path):
        yield from windows(item, window_s, hop_s)
    else:
        buffer = window_buffer(item.rate_hz, window_s, hop_s)
        yield from buffer.push(item.samples)
        yield from buffer.finish()


def _voiced_windows(name: str, windows: Iterable[tuple[float, float, np.ndarray]]) -> Iterator[Segment]:
    """Yield windows as segments, once one of them has a voice; a file without any is unreadable."""
    silent: list[Segment] = []
    has_voice = False
    for start_s, end_s, waveform in windows:
        segment = as_segment(name, start_s, end_s, waveform)
        if segment.waveform is None:
            silent.append(segment)
        else:
            has_voice = True
            yield from [*silent, segment]
            silent.clear()
    if not has_voice:
        raise SilentClipError("silent from beginning to end")
    yield from silent


def window_buffer(rate_hz: int, window_s: float, hop_s: float) -> Any:
    """Return a `ser_embed.audio.windows.WindowBuffer` for samples that arrive piece by piece.

    Args:
        rate_hz: sampling rate of the samples in Hz.
        window_s: length of a window in seconds.
        hop_s: distance between the starts of two windows in seconds.
    """
    from ser_embed.audio.windows import WindowBuffer

    return WindowBuffer(rate_hz, window_s, hop_s)


def as_segment(name: str, start_s: float, end_s: float, waveform: np.ndarray) -> Segment:
    """Return a window as a segment, without its waveform if it is silent.

    Args:
        name: file or array it is from.
        start_s: where it begins, in seconds.
        end_s: where it ends, in seconds.
        waveform: float32 (samples,) at 16 kHz.

    Raises:
        ClipError: it holds NaN, or is too short for an encoder.
    """
    from ser_embed.audio.decode import check_waveform

    try:
        check_waveform(waveform)
    except SilentClipError:
        return Segment(name, start_s, end_s, None)
    return Segment(name, start_s, end_s, waveform)
