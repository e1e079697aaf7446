"""Verification of a store: its tables against each other, its vectors against their checksums, its source clips."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ser_embed.audio.decode import read_bytes
from ser_embed.cli import quiet
from ser_embed.errors import ClipError
from ser_embed.files import digest_of
from ser_embed.store.reader import Store, checksum


def disagreements(store: Store, data: Path) -> list[str]:
    """Read a store and its source clips again and list every disagreement.

    Args:
        store: the store, open.
        data: the folder that the manifest's paths are relative to.

    Returns:
        One line for each disagreement; an empty list if there is none.
    """
    clips = store.utterances
    problems = list(_table_problems(store))
    if problems:
        return problems  # clips cannot be matched with vectors, so there is nothing more to compare
    rows = zip(clips["utterance_id"], clips["path"], clips["digest"], store.checksums, strict=True)
    progress = tqdm(rows, "verifying", len(clips), unit="clip", disable=quiet())
    for row, (utterance_id, path, digest, expected_checksum) in enumerate(progress):
        problems += [f"{utterance_id}: {problem}" for problem in _vector_problems(store, row, expected_checksum)]
        problems += [f"{utterance_id}: {problem}" for problem in _source_problems(data / path, digest)]
    return problems


def _table_problems(store: Store) -> Iterator[str]:
    """Compare the numbers of clips, the shape of the vectors and the names of the layers with each other."""
    clips = store.utterances
    for utterance_id in clips["utterance_id"][clips["utterance_id"].duplicated()].unique():
        yield f"{utterance_id}: is in the store more than once"
    if len(clips) != len(store):
        yield f"/utterances has {len(clips)} clips, /checksums {len(store)}"
    num_rows = int(clips["frame_count"].sum()) if store.spec.pooling == "frames" and len(clips) else len(clips)
    expected_shape = (num_rows, len(store.layers), store.spec.width)
    if store.vectors.shape != expected_shape:
        yield f"/vectors has the shape {store.vectors.shape}, expected {expected_shape} from the spec and the clips"
    if store.layers != store.spec.layers:
        yield f"/layers names {', '.join(store.layers)}, the spec {', '.join(store.spec.layers)}"


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
        vectors = store.read_clip(row)
    except OSError as error:
        yield f"its vectors cannot be read ({error})"
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
