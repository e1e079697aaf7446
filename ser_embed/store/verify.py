"""Verification of a store: its tables against each other, its vectors against their checksums, its source clips."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ser_embed.audio.decode import read_bytes
from ser_embed.cli import quiet
from ser_embed.errors import ClipError, InputError
from ser_embed.files import digest_of
from ser_embed.store.checksums import checksum
from ser_embed.store.reader import Store


def disagreements(store: Store, data: Path) -> list[str]:
    """Read a store and its source clips again and list every disagreement.

    Args:
        store: the store, open.
        data: the folder that the manifest's paths are relative to.

    Returns:
        One line for each disagreement; an empty list if there is none.
    """
    clips = store.utterances
    repeated = clips["utterance_id"][clips["utterance_id"].duplicated()].unique()
    problems = [f"{utterance_id}: is in the store more than once" for utterance_id in repeated]
    problems += _training_problems(store)
    rows = zip(clips["utterance_id"], clips["path"], clips["digest"], store.checksums, strict=True)
    progress = tqdm(rows, "verifying", len(clips), unit="clip", disable=quiet())
    for row, (utterance_id, path, digest, expected_checksum) in enumerate(progress):
        problems += [f"{utterance_id}: {problem}" for problem in _vector_problems(store, row, expected_checksum)]
        problems += [f"{utterance_id}: {problem}" for problem in _source_problems(data / path, digest)]
    return problems


def _training_problems(store: Store) -> Iterator[str]:
    """Check that the clips the encoder was fine-tuned on are those that the spec sums up; yield one phrase if not."""
    try:
        _ = store.training_clips
    except InputError as error:
        yield str(error)


def _vector_problems(store: Store, row: int, expected_checksum: int) -> Iterator[str]:
    """Check that the vectors of a clip can be read, have not changed since they were written, and are finite.

    Args:
        store: the store, open.
        row: the clip's row in it.
        expected_checksum: CRC-32 of the vectors when they were written.

    Yields:
        One phrase for each problem.
    """
    try:
        vectors = store.read_unchecked(row)
    except InputError as error:
        yield str(error)
        return
    if checksum(vectors) != expected_checksum:
        yield "its vectors are not those that were written (checksum)"
    if not np.isfinite(vectors).all():
        yield "its vectors hold NaN or infinity"


def _source_problems(path: Path, expected_digest: str) -> Iterator[str]:
    """Check that a clip's audio file can be read and has the same bytes as when it was extracted."""
    try:
        digest = digest_of(read_bytes(path))
    except ClipError as error:
        yield f"its clip {path} is {error}"
        return
    if digest != expected_digest:
        yield f"its clip {path} has changed since it was extracted"
