"""What is already extracted: the clips of a store and of the part files beside it, found again by utterance_id."""

import dataclasses
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from ser_embed.audio.decode import FACTS, MISSING_PREFIXES, read_bytes
from ser_embed.cli import quiet
from ser_embed.errors import ClipError
from ser_embed.files import digest_of
from ser_embed.manifest import UNREADABLE_COLUMNS
from ser_embed.store.reader import Store

# The file a clip's vectors are in, and which of its clips they are: names that no manifest column can have.
SOURCE = ("/source", "/row")
_UNREAD = -1  # in place of the row
_CHECKED_AT_ONCE = 1000  # a pool keeps a record of each call


def with_source(clips: pd.DataFrame, path: Path, rows: np.ndarray) -> pd.DataFrame:
    """Return a table of clips with `SOURCE`: the file they are in, and the rows (clips,) they have there."""
    clips = clips.copy()
    clips[SOURCE[0]] = str(path)
    clips[SOURCE[1]] = rows
    return clips


def _tell(told: dict[str, list], table: pd.DataFrame, path: Path, rows: Sequence[int]) -> None:
    """Append a table and its `SOURCE` to columns as lists: a table for each of a thousand parts is costlier to join."""
    given = {**{name: table[name].tolist() for name in table}, SOURCE[0]: [str(path)] * len(table), SOURCE[1]: rows}
    for name, column in told.items():
        column += given.get(name, [None] * len(table))


@dataclasses.dataclass(frozen=True)
class Cache:
    """The clips of several stores, each once.

    Attributes:
        clips: what reading told of each clip (`FACTS`) and where its vectors are (`SOURCE`), indexed by utterance_id.
        unreadable: the clips that were tried and could not be read: utterance_id, path, reason and source. One whose
            file is only away is among `clips` too if it was read before: its vectors are as good as they were.
    """

    clips: pd.DataFrame
    unreadable: pd.DataFrame

    @classmethod
    def of(cls, paths: Sequence[Path]) -> "Cache":
        """Look into stores and part files; where two tell of the same clip, the later in `paths` counts."""
        collected: dict[str, list] = {name: [] for name in (*UNREADABLE_COLUMNS, *FACTS, *SOURCE)}
        for path in paths:
            with Store(path) as store:
                _tell(collected, store.table(("utterance_id", *FACTS)), path, range(len(store)))
                _tell(collected, store.unreadable, path, [_UNREAD] * len(store.unreadable))
        dtypes = {"duration_s": "float64", SOURCE[1]: "int64"}
        table = pd.DataFrame(
            {name: pd.Series(collected.pop(name), dtype=dtypes.get(name, "object")) for name in [*collected]}
        )
        latest = table.drop_duplicates("utterance_id", keep="last")
        is_read = latest[SOURCE[1]] != _UNREAD
        away = table["reason"].map(lambda reason: str(reason).startswith(MISSING_PREFIXES)).astype(bool)
        at_hand = table[~away].drop_duplicates("utterance_id", keep="last")
        columns = ["utterance_id", *FACTS, *SOURCE]
        return cls(
            clips=at_hand.loc[at_hand[SOURCE[1]] != _UNREAD, columns].set_index("utterance_id"),
            unreadable=latest.loc[~is_read, [*UNREADABLE_COLUMNS, SOURCE[0]]].reset_index(drop=True),
        )

    def unchanged(self, manifest: pd.DataFrame, data: Path, workers: int) -> pd.Series:
        """Return which clips of a manifest are cached, and still have the bytes they had then.

        Args:
            manifest: the clips to look for.
            data: the folder their paths start from.
            workers: threads that read files.

        Returns:
            Their utterance_ids.
        """
        known = manifest[manifest["utterance_id"].isin(self.clips.index)]
        digests = self.clips["digest"].reindex(known["utterance_id"])

        def is_same(path: str, digest: str) -> bool:
            try:
                return digest_of(read_bytes(data / path)) == digest
            except ClipError:
                return False

        same: list[bool] = []
        with (
            ThreadPoolExecutor(workers) as pool,
            tqdm(desc="checking stored clips", total=len(known), leave=False, unit="clip", disable=quiet()) as bar,
        ):
            for start in range(0, len(known), _CHECKED_AT_ONCE):
                block = slice(start, start + _CHECKED_AT_ONCE)
                same += pool.map(is_same, known["path"].iloc[block], digests.iloc[block])
                bar.update(len(same) - start)
        return known["utterance_id"][np.array(same, dtype=bool)]
