"""From part files and the old store to the new store: one sorted table, one rename.

Clips are sorted by utterance_id, so that the same clips give the same store whatever was extracted first.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ser_embed.encoders.speaker_embeddings import same_speakers
from ser_embed.manifest import FRAME_COLUMNS, UNREADABLE_COLUMNS, combine
from ser_embed.spec import EmbeddingSpec
from ser_embed.store.cache import SOURCE, Cache, with_source
from ser_embed.store.reader import Store
from ser_embed.store.writer import CLIPS_PER_CHUNK, StoreWriter


def merged_clips(manifest: pd.DataFrame, cache: Cache) -> pd.DataFrame:
    """Return the clips the new store will hold, sorted by utterance_id.

    Labels and all other columns of the manifest come from the manifest as it is now, so that a label put right needs
    no new extraction. Cached clips the manifest does not name, such as another corpus's, stay as they are.

    Args:
        manifest: the clips of this run that can be read.
        cache: where their vectors are, and what else there is.

    Returns:
        Manifest columns and `SOURCE`.
    """
    fresh = manifest[manifest["utterance_id"].isin(cache.clips.index)].reset_index(drop=True)
    found = cache.clips.reindex(fresh["utterance_id"]).reset_index(drop=True)
    fresh[list(found.columns)] = found
    others = cache.clips[~cache.clips.index.isin(manifest["utterance_id"])]
    tables = [_described(Path(str(path)), rows) for path, rows in others.groupby(SOURCE[0], sort=False)[SOURCE[1]]]
    return combine([table for table in (fresh, *tables) if len(table)]) if tables else fresh


def _described(path: Path, rows: pd.Series) -> pd.DataFrame:
    """Return what a store or part file says of some of its clips: its columns and `SOURCE`."""
    with Store(path) as store:
        return with_source(store.utterances.iloc[rows.to_numpy(np.int64)], path, rows.to_numpy())


def merged_unreadable(*lists: pd.DataFrame) -> pd.DataFrame:
    """Put lists of unreadable clips together, each path once, sorted by path: utterance_id, path, reason."""
    table = pd.concat([unreadable[list(UNREADABLE_COLUMNS)] for unreadable in lists]).astype(object)
    return table.drop_duplicates("path", keep="first").sort_values("path", ignore_index=True)


def write_merged(
    path: Path,
    spec: EmbeddingSpec,
    software: Mapping[str, Any],
    clips: pd.DataFrame,
    unreadable: pd.DataFrame,
    speakers: Mapping[str, np.ndarray],
) -> None:
    """Write the new store from the files the clips are in, a block at a time, and put it in place of the old one.

    Args:
        path: the store.
        spec: what the vectors are.
        software: versions and the data folder, kept as attributes.
        clips: what `merged_clips` returned.
        unreadable: what `merged_unreadable` returned.
        speakers: what `ser_embed.encoders.speaker_embeddings.stored_speakers` returned.
    """
    table = clips[manifest_columns(clips)]
    with StoreWriter(path, spec, software) as writer:
        for start in range(0, len(clips), CLIPS_PER_CHUNK):
            block = slice(start, start + CLIPS_PER_CHUNK)
            writer.add(table.iloc[block], _read_block(clips.iloc[block].reset_index(drop=True)))
        writer.add_unreadable(unreadable)
        writer.add_speakers(speakers)
        writer.commit()


def manifest_columns(clips: pd.DataFrame) -> list[str]:
    """Return which columns of a table are the manifest's: neither `SOURCE` nor what only the store works out."""
    return [name for name in clips.columns if name not in (*SOURCE, *FRAME_COLUMNS)]


def is_up_to_date(
    path: Path, clips: pd.DataFrame, unreadable: pd.DataFrame, speakers: Mapping[str, np.ndarray]
) -> bool:
    """Return whether the store at `path` says all this already, so that it need not be written again."""
    if (clips[SOURCE[0]] != str(path)).any():
        return False
    with Store(path) as store:
        names = manifest_columns(clips)
        return (
            len(store) == len(clips)
            and set(names) == set(store.columns).difference(FRAME_COLUMNS)
            and all(store.table([name])[name].equals(clips[name]) for name in names)
            and store.unreadable.equals(unreadable)
            and same_speakers(store.speaker_vectors, speakers)
        )


def _read_block(block: pd.DataFrame) -> list[np.ndarray]:
    """Read the vectors of up to 100 clips, opening each file once."""
    vectors: dict[int, np.ndarray] = {}
    for path, rows in block.groupby(SOURCE[0], sort=False)[SOURCE[1]]:
        with Store(str(path)) as store:
            by_clip = store.spec.pooling == "frames"
            found = [store.read_clip(int(row)) for row in rows] if by_clip else store.read(rows)
            vectors.update(zip(rows.index, found, strict=True))
    return [vectors[position] for position in range(len(block))]
