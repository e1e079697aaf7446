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
from ser_embed.manifest import AUGMENTATION, AUGMENTED_FROM, UNREADABLE_COLUMNS, recordings_of
from ser_embed.store.reader import Store

# The store or part file that has a clip's vectors, and the clip's row in it. No manifest column can have these names,
# since each column is an HDF5 dataset, and the name of a dataset holds no slash.
SOURCE_FILE = "/source"
SOURCE_ROW = "/row"
SOURCE_COLUMNS = (SOURCE_FILE, SOURCE_ROW)
_COPY_COLUMNS = (AUGMENTED_FROM, AUGMENTATION)
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
        clips: the facts about each clip (`FACTS`), the location of its vectors (`SOURCE_COLUMNS`) and what it is an
            augmented copy of, if it is one (`augmented_from`, `augmentation`), indexed by utterance_id.
        unreadable: the clips that could not be read in the latest attempt: utterance_id, path, reason and
            `SOURCE_FILE`. A clip whose file is only missing is also in `clips` if it was read before, because its
            vectors are still valid.
    """

    clips: pd.DataFrame
    unreadable: pd.DataFrame

    @classmethod
    def from_files(cls, paths: Sequence[Path]) -> "Cache":
        """Read the tables of stores and part files; if two files have the same clip, the later in `paths` counts."""
        columns: dict[str, list] = {name: [] for name in (*UNREADABLE_COLUMNS, *FACTS, *SOURCE_COLUMNS, *_COPY_COLUMNS)}
        for path in paths:
            with Store(path) as store:
                names = ("utterance_id", *FACTS, *(name for name in _COPY_COLUMNS if name in store.columns))
                _append_rows(columns, store.table(names), path, range(len(store)))
                _append_rows(columns, store.unreadable, path, [_NO_ROW] * len(store.unreadable))
        dtypes = {"duration_s": "float64", SOURCE_ROW: "int64"}
        table = pd.DataFrame(
            {name: pd.Series(columns.pop(name), dtype=dtypes.get(name, "object")) for name in [*columns]}
        )
        table[[*_COPY_COLUMNS]] = table[[*_COPY_COLUMNS]].where(table[[*_COPY_COLUMNS]].notna(), "")
        latest = table.drop_duplicates("utterance_id", keep="last")
        is_missing = table["reason"].map(lambda reason: str(reason).startswith(MISSING_PREFIXES)).astype(bool)
        latest_with_file = table[~is_missing].drop_duplicates("utterance_id", keep="last")
        clip_columns = ["utterance_id", *FACTS, *SOURCE_COLUMNS, *_COPY_COLUMNS]
        return cls(
            clips=latest_with_file.loc[latest_with_file[SOURCE_ROW] != _NO_ROW, clip_columns].set_index("utterance_id"),
            unreadable=latest.loc[latest[SOURCE_ROW] == _NO_ROW, [*UNREADABLE_COLUMNS, SOURCE_FILE]].reset_index(
                drop=True
            ),
        )

    def without_outdated_copies(self, manifest: pd.DataFrame) -> "Cache":
        """Leave out augmented copies of a manifest's recordings that it does not ask for, or not as they were made.

        Args:
            manifest: the clips of a run, recordings and copies.
        """
        clips = self.clips.reset_index()
        recordings = recordings_of(clips)
        is_copy = recordings != clips["utterance_id"]
        made_by = manifest.assign(augmentation=manifest.get(AUGMENTATION, ""))
        asked_for = made_by.set_index("utterance_id")[AUGMENTATION]
        is_as_asked_for = clips["utterance_id"].map(asked_for) == clips[AUGMENTATION]
        is_outdated = is_copy & recordings.isin(manifest["utterance_id"]) & ~is_as_asked_for
        return dataclasses.replace(self, clips=self.clips[~is_outdated.to_numpy(bool)])

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
        paths = cached["path"].drop_duplicates()  # a recording and its copies have one file
        digests: list[str | None] = []
        with (
            ThreadPoolExecutor(workers) as pool,
            tqdm(desc="checking stored clips", total=len(paths), leave=False, unit="clip", disable=quiet()) as bar,
        ):
            for start in range(0, len(paths), _CLIPS_PER_BLOCK):
                digests += pool.map(
                    _digest_or_none, (data / path for path in paths.iloc[start : start + _CLIPS_PER_BLOCK])
                )
                bar.update(len(digests) - start)
        present = cached["path"].map(dict(zip(paths, digests, strict=True))).to_numpy(object)
        stored = self.clips["digest"].reindex(cached["utterance_id"]).to_numpy(object)
        return cached["utterance_id"][(present == stored).astype(bool)]


def _digest_or_none(path: Path) -> str | None:
    """Return the hash of a file's bytes, or None for one that cannot be read."""
    try:
        return digest_of(read_bytes(path))
    except ClipError:
        return None
