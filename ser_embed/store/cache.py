"""Cache of extracted clips: the clips in a store and in the part files beside it, looked up by utterance_id."""

import dataclasses
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from ser_embed.audio.decode import FACTS, read_bytes
from ser_embed.audio.reader import MISSING_PREFIXES
from ser_embed.cli import quiet
from ser_embed.errors import ClipError
from ser_embed.files import digest_of
from ser_embed.manifest import UNREADABLE_COLUMNS
from ser_embed.store.reader import Store

# The store or part file that has a clip's vectors, and the clip's row in it. No manifest column can have these names,
# since each column is an HDF5 dataset, and the name of a dataset holds no slash.
SOURCE_FILE = "/source"
SOURCE_ROW = "/row"
SOURCE_COLUMNS = (SOURCE_FILE, SOURCE_ROW)
_NO_ROW = -1  # row of a clip that could not be read
_CLIPS_PER_BLOCK = 1000  # a thread pool keeps an object for each submitted call, so not all clips are submitted at once


def with_source(clips: pd.DataFrame, path: Path, rows: np.ndarray) -> pd.DataFrame:
    """Return a copy of a table of clips with `SOURCE_COLUMNS` added.

    Args:
        clips: the clips, one row each.
        path: the store or part file that has their vectors.
        rows: their rows in that file, integers (clips,).
    """
    clips = clips.copy()
    clips[SOURCE_FILE] = str(path)
    clips[SOURCE_ROW] = rows
    return clips


def _append_rows(columns: dict[str, list], table: pd.DataFrame, path: Path, rows: Sequence[int]) -> None:
    """Append a table and its `SOURCE_COLUMNS` to columns kept as lists.

    Lists, because joining one table for each of a thousand part files takes longer.

    Args:
        columns: the lists to append to, by column name. A column that the table lacks gets None.
        table: the clips, one row each.
        path: the file they were read from.
        rows: their rows in that file.
    """
    values = {
        **{name: table[name].tolist() for name in table},
        SOURCE_FILE: [str(path)] * len(table),
        SOURCE_ROW: rows,
    }
    for name, column in columns.items():
        column += values.get(name, [None] * len(table))


@dataclasses.dataclass(frozen=True)
class Cache:
    """The clips of several stores and part files, each clip once.

    Attributes:
        clips: the facts about each clip (`FACTS`) and the location of its vectors (`SOURCE_COLUMNS`), indexed by
            utterance_id.
        unreadable: the clips that could not be read in the latest attempt: utterance_id, path, reason and
            `SOURCE_FILE`. A clip whose file is only missing is also in `clips` if it was read before, because its
            vectors are still valid.
    """

    clips: pd.DataFrame
    unreadable: pd.DataFrame

    @classmethod
    def from_files(cls, paths: Sequence[Path]) -> "Cache":
        """Read the tables of stores and part files; if two files have the same clip, the later in `paths` counts."""
        columns: dict[str, list] = {name: [] for name in (*UNREADABLE_COLUMNS, *FACTS, *SOURCE_COLUMNS)}
        for path in paths:
            with Store(path) as store:
                _append_rows(columns, store.table(("utterance_id", *FACTS)), path, range(len(store)))
                _append_rows(columns, store.unreadable, path, [_NO_ROW] * len(store.unreadable))
        dtypes = {"duration_s": "float64", SOURCE_ROW: "int64"}
        table = pd.DataFrame(
            {name: pd.Series(columns.pop(name), dtype=dtypes.get(name, "object")) for name in [*columns]}
        )
        latest = table.drop_duplicates("utterance_id", keep="last")
        is_missing = table["reason"].map(lambda reason: str(reason).startswith(MISSING_PREFIXES)).astype(bool)
        latest_with_file = table[~is_missing].drop_duplicates("utterance_id", keep="last")
        clip_columns = ["utterance_id", *FACTS, *SOURCE_COLUMNS]
        return cls(
            clips=latest_with_file.loc[latest_with_file[SOURCE_ROW] != _NO_ROW, clip_columns].set_index("utterance_id"),
            unreadable=latest.loc[latest[SOURCE_ROW] == _NO_ROW, [*UNREADABLE_COLUMNS, SOURCE_FILE]].reset_index(
                drop=True
            ),
        )

    def unchanged_ids(self, manifest: pd.DataFrame, data: Path, workers: int) -> pd.Series:
        """Return which clips of a manifest are cached and have the same bytes as when they were extracted.

        Args:
            manifest: the clips to look up.
            data: the folder that the manifest's paths are relative to.
            workers: number of threads that read files.

        Returns:
            Their utterance_ids.
        """
        cached = manifest[manifest["utterance_id"].isin(self.clips.index)]
        digests = self.clips["digest"].reindex(cached["utterance_id"])

        def is_unchanged(path: str, digest: str) -> bool:
            try:
                return digest_of(read_bytes(data / path)) == digest
            except ClipError:
                return False

        unchanged: list[bool] = []
        with (
            ThreadPoolExecutor(workers) as pool,
            tqdm(desc="checking stored clips", total=len(cached), leave=False, unit="clip", disable=quiet()) as bar,
        ):
            for start in range(0, len(cached), _CLIPS_PER_BLOCK):
                block = slice(start, start + _CLIPS_PER_BLOCK)
                unchanged += pool.map(is_unchanged, cached["path"].iloc[block], digests.iloc[block])
                bar.update(len(unchanged) - start)
        return cached["utterance_id"][np.array(unchanged, dtype=bool)]
