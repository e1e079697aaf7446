"""Does a store agree with itself, and with the clips it was made from?"""

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
    """Reread a store and its source clips.

    Args:
        store: the store, open.
        data: the folder the manifest's paths start from.

    Returns:
        One line for everything that does not agree; none if all is well.
    """
    clips = store.utterances
    problems = list(_shape_problems(store))
    if problems:
        return problems  # the rows cannot be told apart, so there is nothing more to compare
    checksums = store.checksums
    rows = zip(clips["utterance_id"], clips["path"], clips["digest"], checksums, strict=True)
    for row, (name, path, digest, expected) in enumerate(
        tqdm(rows, "verifying", len(clips), unit="clip", disable=quiet())
    ):
        problems += [f"{name}: {problem}" for problem in _vector_problems(store, row, expected)]
        problems += [f"{name}: {problem}" for problem in _source_problems(data / path, digest)]
    return problems


def _shape_problems(store: Store) -> Iterator[str]:
    clips = store.utterances
    for name in clips["utterance_id"][clips["utterance_id"].duplicated()].unique():
        yield f"{name}: is in the store more than once"
    if len(clips) != len(store):
        yield f"/utterances has {len(clips)} clips, /checksums {len(store)}"
    expected = int(clips["frame_count"].sum()) if store.spec.pooling == "frames" and len(clips) else len(clips)
    if store.vectors.shape != (expected, len(store.layers), store.spec.width):
        wanted = (expected, len(store.layers), store.spec.width)
        yield f"/vectors has the shape {store.vectors.shape}, expected {wanted} from the spec and the clips"
    if store.layers != store.spec.layers:
        yield f"/layers names {', '.join(store.layers)}, the spec {', '.join(store.spec.layers)}"


def _vector_problems(store: Store, row: int, expected: int) -> Iterator[str]:
    try:
        vectors = store.read_clip(row)
    except OSError as error:
        yield f"its vectors cannot be read ({error})"
        return
    if checksum(vectors) != expected:
        yield "its vectors are not those that were written (checksum)"
    if not np.isfinite(vectors).all():
        yield "its vectors hold NaN or infinity"


def _source_problems(path: Path, digest: str) -> Iterator[str]:
    try:
        found = digest_of(read_bytes(path))
    except ClipError as error:
        yield f"its clip {path} is {error}"
        return
    if found != digest:
        yield f"its clip {path} has changed since it was extracted"
