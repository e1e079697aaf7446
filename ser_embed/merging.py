"""From part files and the old store to the new store: one sorted table, one rename.

Clips are sorted by utterance_id, so that the same clips give the same store whatever was extracted first.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ser_embed.audio import FACTS
from ser_embed.cache import SOURCE, Cache
from ser_embed.manifest import combine
from ser_embed.spec import EmbeddingSpec
from ser_embed.store import UNREADABLE_COLUMNS, Store
from ser_embed.writing import CLIPS_PER_CHUNK, StoreWriter


def merged_clips(manifest: pd.DataFrame, cache: Cache) -> pd.DataFrame:
    """Return the clips the new store will hold, sorted by utterance_id.

    Labels and all other columns of the manifest come from the manifest as it is now, so that a label put right needs
    no new extraction. Cached clips the manifest does not name, such as another corpus's, stay as they are.

    Returns:
        Manifest columns and `SOURCE`.
    """
    present = manifest[manifest["utterance_id"].isin(cache.clips.index)]
    found = cache.clips.reindex(present["utterance_id"])
    fresh = present.assign(**{name: found[name].to_numpy() for name in (*FACTS, *SOURCE) if name in found})
    others = cache.clips[~cache.clips.index.isin(manifest["utterance_id"])].reset_index()
    tables = [table for table in (fresh, others) if len(table)]
    return combine(tables) if tables else fresh


def merged_unreadable(*lists: pd.DataFrame) -> pd.DataFrame:
    """Put lists of unreadable clips together, each path once, sorted by path: utterance_id, path, reason."""
    table = pd.concat([unreadable[list(UNREADABLE_COLUMNS)] for unreadable in lists]).astype(object)
    return table.drop_duplicates("path", keep="first").sort_values("path", ignore_index=True)


def write_merged(
    path: Path, spec: EmbeddingSpec, software: Mapping[str, Any], clips: pd.DataFrame, unreadable: pd.DataFrame
) -> None:
    """Write the new store from the files the clips are in, a block at a time, and put it in place of the old one.

    Args:
        path: the store.
        spec: what the vectors are.
        software: versions and the data folder, kept as attributes.
        clips: what `merged_clips` returned.
        unreadable: what `merged_unreadable` returned.
    """
    columns = [name for name in clips.columns if name not in (*SOURCE, "frame_start", "frame_count")]
    with StoreWriter(path, spec, software) as writer:
        for start in range(0, len(clips), CLIPS_PER_CHUNK):
            block = clips.iloc[start : start + CLIPS_PER_CHUNK].reset_index(drop=True)
            writer.add(block[columns], _read_block(block))
        writer.add_unreadable(unreadable)
        writer.commit()


def _read_block(block: pd.DataFrame) -> list[np.ndarray]:
    """Read the vectors of up to 100 clips, opening each file once."""
    vectors: dict[int, np.ndarray] = {}
    for source, rows in block.groupby(SOURCE[0], sort=False).groups.items():
        with Store(str(source)) as store:
            for position in rows:
                values = store.read_clip(int(block[SOURCE[1]].iloc[position]))
                vectors[position] = values if store.spec.pooling == "frames" else values[0]
    return [vectors[position] for position in range(len(block))]
