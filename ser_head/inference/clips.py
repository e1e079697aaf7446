"""Clips of audio: found in folders, read whole, and embedded by the encoder that made a run's vectors.

With `ser_head.inference.audio` this is the one way from stage 2 to the encoders of stage 1, imported when it is called.
"""

import contextlib
import dataclasses
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ser_embed.cli import quiet
from ser_embed.errors import ClipError, InputError
from ser_embed.files import digest_of_file
from ser_embed.spec import EmbeddingSpec

AT_ONCE = 32  # waveforms held in memory


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
                require_storable(str(file))
                waveform, facts = load_whole(file, embedder.max_clip_s)
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


def require_storable(name: str) -> None:
    """Check that a file's name can stand in a table.

    Raises:
        ClipError: it is not UTF-8.
    """
    try:
        name.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ClipError("its name is not UTF-8; rename it") from error


def load_whole(file: Path, longest_s: float) -> tuple[np.ndarray, Any]:
    """Return the waveform of a clip, float32 (samples,) at 16 kHz, and its `ser_embed.audio.decode.ClipFacts`.

    Raises:
        ClipError: it cannot be read, or is longer than an encoder takes whole.
    """
    from ser_embed.audio.decode import AudioPreprocessing, load_clip

    waveform, facts = load_clip(file, AudioPreprocessing())
    require_length(facts.duration_s, longest_s)
    return waveform, facts


def require_length(duration_s: float, longest_s: float) -> None:
    """Check that audio is no longer than an encoder takes whole, in seconds.

    Raises:
        ClipError: it is.
    """
    if duration_s > longest_s:
        raise ClipError(
            f"too long to be scored whole: {duration_s:.0f} s, at most {longest_s:.0f} s; "
            "cut it, or score it with --window"
        )
