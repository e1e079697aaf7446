"""Audio to score: files, arrays and folders become segments, and whole clips become vectors.

This is the one way from stage 2 to the encoders of stage 1, imported when it is called. What is wrong with a file is
collected as {"file", "reason"}; the other files are scored all the same.
"""

import contextlib
import dataclasses
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ser_embed.cli import quiet
from ser_embed.errors import ClipError, InputError, SilentClipError
from ser_embed.files import digest_of_file
from ser_embed.spec import EmbeddingSpec

AT_ONCE = 32  # waveforms held in memory
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


@dataclasses.dataclass(frozen=True)
class EmbeddedClips:
    """Whole clips as vectors.

    Attributes:
        vectors: float32 (clips, layers, width).
        digests: hash of each clip's file.
        unreadable: {"file", "reason"} of each clip that could not be read.
    """

    vectors: np.ndarray
    digests: tuple[str, ...]
    unreadable: tuple[dict[str, str], ...]


def load_embedder(spec: EmbeddingSpec, model: str | None, device: str) -> Any:
    """Return the `ser_embed.encoders.embedder.Embedder` that makes vectors of `spec`.

    Args:
        spec: what the vectors have to be.
        model: where the encoder is, if not where the spec says.
        device: where it runs.

    Raises:
        InputError: the encoder cannot be had, or makes other vectors.
    """
    from ser_embed.encoders.embedder import Embedder

    return Embedder.of(spec, model, device)


def find_audio(paths: Iterable[Path]) -> list[Path]:
    """Return the files among `paths` and the audio files below the folders among them, each once.

    Raises:
        InputError: a folder holds no audio.
    """
    from ser_embed.corpora.audio_files import SUFFIXES, audio_files

    files: dict[Path, None] = {}
    for path in paths:
        if not path.is_dir():
            files[path] = None
            continue
        folder_files = audio_files(path)
        if not folder_files:
            raise InputError(f"expected audio ({', '.join(SUFFIXES)}) in the folder {path}, found none")
        files.update((path / file, None) for file in folder_files)
    return list(files)


def embed_clips(embedder: Any, files: Iterable[Path], known_digests: Collection[str]) -> EmbeddedClips:
    """Embed whole clips, equal files once.

    Args:
        embedder: of `load_embedder`.
        files: the clips.
        known_digests: hashes of clips to skip.
    """
    digests: dict[str, None] = {}
    unreadable: list[dict[str, str]] = []

    def new_waveforms() -> Iterator[np.ndarray]:
        for file in tqdm(files, "enrolling", unit="file", disable=quiet()):
            try:
                _require_storable(str(file))
                waveform, facts = _load(file, embedder.max_clip_s)
            except ClipError as error:
                unreadable.append({"file": str(file), "reason": str(error)})
                continue
            if facts.digest not in known_digests and facts.digest not in digests:
                digests[facts.digest] = None
                yield waveform

    waveforms = new_waveforms()
    vectors = [np.zeros((0, len(embedder.spec.layers), embedder.spec.width), np.float32)]
    while group := list(islice(waveforms, AT_ONCE)):
        vectors.append(embedder.embed_waveforms(group))
    return EmbeddedClips(np.concatenate(vectors), tuple(digests), tuple(unreadable))


def file_digests(files: Iterable[Path]) -> dict[str, str]:
    """Return the hashes of files by path, as `embed_clips` has them; a file that cannot be read has none."""
    digests = {}
    for path in files:
        with contextlib.suppress(OSError):  # reported when the file is to be scored
            if path.is_file():  # a pipe might never end
                digests[str(path)] = digest_of_file(path)
    return digests


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
            _require_storable(name)
            if window_s is None:
                yield _whole(item, name, longest_s)
            else:
                yield from _voiced_windows(name, _windows(item, window_s, hop_s or window_s / 2))
        except ClipError as error:
            unreadable.append({"file": name, "reason": str(error)})


def _require_storable(name: str) -> None:
    """Check that a file's name can stand in a table."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ClipError("its name is not UTF-8; rename it") from error


def _load(file: Path, longest_s: float) -> tuple[np.ndarray, Any]:
    """Return waveform and facts of a clip that an encoder can take whole."""
    from ser_embed.audio.decode import AudioPreprocessing, load_clip

    waveform, facts = load_clip(file, AudioPreprocessing())
    _require_length(facts.duration_s, longest_s)
    return waveform, facts


def _require_length(duration_s: float, longest_s: float) -> None:
    if duration_s > longest_s:
        raise ClipError(
            f"too long to be scored whole: {duration_s:.0f} s, at most {longest_s:.0f} s; "
            "cut it, or score it with --window"
        )


def _whole(item: Path | AudioArray, name: str, longest_s: float) -> Segment:
    if isinstance(item, Path):
        waveform, facts = _load(item, longest_s)
        return Segment(name, 0.0, facts.duration_s, waveform)
    from ser_embed.audio.decode import check_waveform, to_16k_mono

    duration_s = len(item.samples) / item.rate_hz
    _require_length(duration_s, longest_s)
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
