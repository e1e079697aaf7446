"""Merging of part files and the old store into the new store, which replaces the old one in a single rename.

Clips are sorted by utterance_id, so that the same clips give the same store in whatever order they were extracted.
"""

import contextlib
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ser_embed.audio.decode import FACTS
from ser_embed.encoders.speaker_embeddings import same_speakers
from ser_embed.manifest import FRAME_COLUMNS, UNREADABLE_COLUMNS, combine
from ser_embed.spec import EmbeddingSpec
from ser_embed.store.cache import SOURCE_COLUMNS, SOURCE_FILE, SOURCE_ROW, Cache, with_source
from ser_embed.store.reader import Store
from ser_embed.store.writer import CLIPS_PER_CHUNK, StoreWriter


@dataclasses.dataclass(frozen=True)
class EncoderTraining:
    """What a store keeps of the training of its encoder, for those who use its vectors.

    Attributes:
        speakers: the result of `ser_embed.encoders.speaker_embeddings.stored_speakers`.
        clips: the result of `ser_embed.encoders.training_clips.read_training_clips`.
    """

    speakers: Mapping[str, np.ndarray]
    clips: pd.DataFrame


def merge_clips(manifest: pd.DataFrame, cache: Cache) -> pd.DataFrame:
    """Return the clips that the new store will hold, sorted by utterance_id.

    Labels and all other columns of the manifest are taken from the manifest as it is now, so that a corrected label
    needs no new extraction. Cached clips that the manifest does not name, such as those of another corpus, stay as they
    are.

    Args:
        manifest: the readable clips of this run.
        cache: the clips that have vectors, with the location of those vectors.

    Returns:
        A table of manifest columns and `SOURCE_COLUMNS`.
    """
    manifest_clips = manifest[manifest["utterance_id"].isin(cache.clips.index)].reset_index(drop=True)
    facts = cache.clips[[*FACTS, *SOURCE_COLUMNS]].reindex(manifest_clips["utterance_id"]).reset_index(drop=True)
    manifest_clips[list(facts.columns)] = facts
    not_in_manifest = cache.clips[~cache.clips.index.isin(manifest["utterance_id"])]
    tables = [
        _read_clips(Path(str(path)), rows)
        for path, rows in not_in_manifest.groupby(SOURCE_FILE, sort=False)[SOURCE_ROW]
    ]
    if not tables:
        return manifest_clips
    return combine([table for table in (manifest_clips, *tables) if len(table)])


def _read_clips(path: Path, rows: pd.Series) -> pd.DataFrame:
    """Read the manifest of some rows of a store or part file, and add `SOURCE_COLUMNS`."""
    with Store(path) as store:
        return with_source(store.utterances.iloc[rows.to_numpy(np.int64)], path, rows.to_numpy())


def merge_unreadable(*tables: pd.DataFrame) -> pd.DataFrame:
    """Combine tables of unreadable clips into one, sorted by path: utterance_id, path, reason.

    If several tables have the same path, the first counts.
    """
    merged = pd.concat([table[list(UNREADABLE_COLUMNS)] for table in tables]).astype(object)
    return merged.drop_duplicates("path", keep="first").sort_values("path", ignore_index=True)


def write_merged(
    path: Path,
    spec: EmbeddingSpec,
    software: Mapping[str, Any],
    clips: pd.DataFrame,
    unreadable: pd.DataFrame,
    training: EncoderTraining,
) -> None:
    """Write the new store, copying vectors from the source files block by block, and replace the old store with it.

    Args:
        path: the store.
        spec: what the vectors are.
        software: versions and the data folder, stored as attributes.
        clips: the result of `merge_clips`.
        unreadable: the result of `merge_unreadable`.
        training: what the encoder was trained on.

    Raises:
        OSError: the store cannot be written; the old store is unchanged.
    """
    table = clips[manifest_columns(clips)]
    with StoreWriter(path, spec, software) as writer:
        with contextlib.ExitStack() as stack:
            # The old store gives clips to many blocks, and each opening compares all of it but the vectors.
            is_source = (clips[SOURCE_FILE] == str(path)).any()
            opened = {str(path): stack.enter_context(Store(path))} if is_source else {}
            for start in range(0, len(clips), CLIPS_PER_CHUNK):
                block = slice(start, start + CLIPS_PER_CHUNK)
                vectors = _read_block(clips.iloc[block].reset_index(drop=True), opened)
                writer.add(table.iloc[block], vectors)
        writer.add_unreadable(unreadable)
        writer.add_speakers(training.speakers)
        writer.add_training_clips(training.clips)
        writer.commit()


def manifest_columns(clips: pd.DataFrame) -> list[str]:
    """Return the manifest's columns of a table: all but `SOURCE_COLUMNS` and those that the store computes itself."""
    return [name for name in clips.columns if name not in (*SOURCE_COLUMNS, *FRAME_COLUMNS)]


def is_up_to_date(
    path: Path, clips: pd.DataFrame, unreadable: pd.DataFrame, speakers: Mapping[str, np.ndarray]
) -> bool:
    """Return whether a store of the same spec already has exactly this content, so that it need not be written again.

    The spec has a digest of the clips that the encoder was fine-tuned on, so those are the same too.

    Args:
        path: the store.
        clips: the result of `merge_clips`.
        unreadable: the result of `merge_unreadable`.
        speakers: the result of `ser_embed.encoders.speaker_embeddings.stored_speakers`.
    """
    if (clips[SOURCE_FILE] != str(path)).any():
        return False
    with Store(path) as store:
        names = manifest_columns(clips)
        return (
            store.is_sealed
            and len(store) == len(clips)
            and set(names) == set(store.columns).difference(FRAME_COLUMNS)
            and all(store.table([name])[name].equals(clips[name]) for name in names)
            and store.unreadable.equals(unreadable)
            and same_speakers(store.speaker_vectors, speakers)
        )


def _read_block(block: pd.DataFrame, opened: Mapping[str, Store]) -> list[np.ndarray]:
    """Read the vectors of a block of clips, opening each source file once.

    Args:
        block: at most `CLIPS_PER_CHUNK` clips with `SOURCE_COLUMNS`, indexed from 0.
        opened: source files that are open already, by path.

    Returns:
        One float32 array per clip, in the order of the block: (layers, width), or (frames, layers, width) with frames
        pooling.
    """
    vectors: dict[int, np.ndarray] = {}
    for path, rows in block.groupby(SOURCE_FILE, sort=False)[SOURCE_ROW]:
        source = opened.get(str(path))
        with contextlib.nullcontext(source) if source else Store(str(path)) as store:
            is_frames = store.spec.pooling == "frames"
            clip_vectors = [store.read_clip(int(row)) for row in rows] if is_frames else store.read(rows)
            vectors.update(zip(rows.index, clip_vectors, strict=True))
    return [vectors[position] for position in range(len(block))]
