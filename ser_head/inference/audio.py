"""From files to what a head can score: which files, which stretches of them, and the vectors of whole clips.

The one way from stage 2 to the encoders of stage 1, taken when called. What is wrong with a file is gathered, one
{"file", "reason"} each; the others go on.
"""

import contextlib
import dataclasses
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ser_embed.cli import quiet
from ser_embed.errors import ClipError, InputError, SilentClipError
from ser_embed.files import digest_of_file
from ser_embed.spec import EmbeddingSpec

AT_ONCE = 32  # waveforms held in memory


@dataclasses.dataclass(frozen=True)
class PredictConfig:
    """How audio is listened to, and what is made of it.

    Attributes:
        window_s: length of a window in seconds, or None for whole files.
        hop_s: step between windows in seconds; half a window if None.
        speaker: who speaks: the name of a profile, or of a speaker as the training corpus has it; or None.
        enroll: a file or folder of unlabelled clips of who speaks, used this once; or None.
        profiles: where the profiles are; None for the run's own.
        corpus: what the audio is from, of the corpora that the run standardises each by itself; None for none of them.
        min_confidence: below this probability the answer is "uncertain"; see `ser_head.inference.prediction_table.emotions_of`.
        device: where the encoder runs.
        model: where the encoder is, if not where it was in training.
    """

    window_s: float | None = None
    hop_s: float | None = None
    speaker: str | None = None
    enroll: str | Path | None = None
    profiles: str | Path | None = None
    corpus: str | None = None
    min_confidence: float | None = None
    device: str = "auto"
    model: str | None = None

    def __post_init__(self) -> None:
        if self.window_s is None and self.hop_s is not None:
            raise InputError("--hop needs a --window to step with")
        for name, value in (("window", self.window_s), ("hop", self.hop_s)):
            if value is not None and not (isinstance(value, Real) and 0.1 <= value < np.inf):
                raise InputError(f"--{name} has to be at least 0.1 s, not {value!r}")
        if self.window_s is not None and self.hop_s is not None and self.hop_s > self.window_s:
            raise InputError(f"--hop has to be at most the window ({self.window_s} s), not {self.hop_s}")
        least = self.min_confidence
        if least is not None and not (isinstance(least, Real) and 0 <= least <= 1):
            raise InputError(f"--min-confidence has to be from 0 to 1, not {least!r}")


@dataclasses.dataclass(frozen=True)
class Segment:
    """A stretch of audio to score: a window, or a whole file.

    Attributes:
        file: where it is from.
        start_s: where it begins, in seconds.
        end_s: where it ends, in seconds.
        waveform: float32 (samples,) at 16 kHz; None if it is silent.
    """

    file: Path
    start_s: float
    end_s: float
    waveform: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class EmbeddedClips:
    """Whole clips as vectors.

    Attributes:
        vectors: float32 (clips, layers, width).
        digests: hash of each clip's file.
        unreadable: {"file", "reason"} of each that could not be read.
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
        found = audio_files(path)
        if not found:
            raise InputError(f"expected audio ({', '.join(SUFFIXES)}) in the folder {path}, found none")
        files.update((path / file, None) for file in found)
    return list(files)


def embed_clips(embedder: Any, files: Iterable[Path], unwanted: Collection[str]) -> EmbeddedClips:
    """Embed whole clips, the same clip once.

    Args:
        embedder: of `load_embedder`.
        files: the clips.
        unwanted: hashes of clips to skip.
    """
    digests: dict[str, None] = {}
    unreadable: list[dict[str, str]] = []

    def waveforms() -> Iterator[np.ndarray]:
        for file in tqdm(files, "enrolling", unit="file", disable=quiet()):
            try:
                waveform, facts = _load(file, embedder.max_clip_s)
            except ClipError as error:
                unreadable.append({"file": str(file), "reason": str(error)})
                continue
            if facts.digest not in unwanted and facts.digest not in digests:
                digests[facts.digest] = None
                yield waveform

    wanted = waveforms()
    vectors = [np.zeros((0, len(embedder.spec.layers), embedder.spec.width), np.float32)]
    while group := list(islice(wanted, AT_ONCE)):
        vectors.append(embedder.embed_waveforms(group))
    return EmbeddedClips(np.concatenate(vectors), tuple(digests), tuple(unreadable))


def file_digests(files: Iterable[Path]) -> dict[Path, str]:
    """Return the hashes of files as `embed_clips` has them; a file that cannot be read has none."""
    digests = {}
    for path in files:
        with contextlib.suppress(OSError):  # told when the file is to be scored
            digests[path] = digest_of_file(path)
    return digests


def listen(
    files: Iterable[Path], hearing: PredictConfig, longest_s: float, unreadable: list[dict[str, str]]
) -> Iterator[Segment]:
    """Read files one after the other.

    Args:
        files: audio files.
        hearing: whole, or in which windows.
        longest_s: the longest file that is heard whole.
        unreadable: to it is added what could not be read.

    Yields:
        What there is to score, file by file. Of long files one window at a time is in memory.
    """
    for file in tqdm(files, "listening", unit="file", disable=quiet()):
        try:
            yield from _windows(file, hearing.window_s, hearing.hop_s) if hearing.window_s else _whole(file, longest_s)
        except ClipError as error:
            unreadable.append({"file": str(file), "reason": str(error)})


def _load(file: Path, longest_s: float) -> tuple[np.ndarray, Any]:
    """Return the waveform and the facts of a clip that an encoder can take whole."""
    from ser_embed.audio.decode import AudioPreprocessing, load_clip
    from ser_embed.spec import RATE_HZ

    waveform, facts = load_clip(file, AudioPreprocessing())
    if len(waveform) > longest_s * RATE_HZ:
        raise ClipError(
            f"too long to be heard whole: {facts.duration_s:.0f} s, at most {longest_s:.0f} s; "
            "cut it, or score it with --window"
        )
    return waveform, facts


def _whole(file: Path, longest_s: float) -> Iterator[Segment]:
    waveform, facts = _load(file, longest_s)
    yield Segment(file, 0.0, facts.duration_s, waveform)


def _windows(file: Path, window_s: float, hop_s: float | None) -> Iterator[Segment]:
    from ser_embed.audio.decode import check_waveform
    from ser_embed.audio.windows import windows

    silent: list[Segment] = []  # held back until a voice is heard: a file without any is not scored at all
    heard = False
    for start_s, end_s, waveform in windows(file, window_s, hop_s or window_s / 2):
        try:
            check_waveform(waveform)
        except SilentClipError:
            silent.append(Segment(file, start_s, end_s, None))
        else:
            heard = True
            yield from [*silent, Segment(file, start_s, end_s, waveform)]
            silent.clear()
    if not heard:
        raise SilentClipError("silent from beginning to end")
    yield from silent
