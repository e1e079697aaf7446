"""What is already extracted: the clips of a store and of the part files beside it, found again by utterance_id."""

import dataclasses
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from ser_embed.audio import digest_of, read_bytes
from ser_embed.console import quiet
from ser_embed.errors import ClipError
from ser_embed.store import UNREADABLE_COLUMNS, Store

# The file a clip's vectors are in, and which of its clips they are: names that no manifest column can have.
SOURCE = ("/source", "/row")


@dataclasses.dataclass(frozen=True)
class Cache:
    """The clips of several stores, each once.

    Attributes:
        clips: manifest columns and `SOURCE`, indexed by utterance_id.
        unreadable: the clips that were tried and could not be read: utterance_id, path, reason and source.
    """

    clips: pd.DataFrame
    unreadable: pd.DataFrame

    @classmethod
    def of(cls, paths: Sequence[Path]) -> "Cache":
        """Look into stores and part files; where two hold the same clip, the later in `paths` counts."""
        clips = [pd.DataFrame(columns=["utterance_id", "digest", *SOURCE], dtype=object)]
        unreadable = [pd.DataFrame(columns=[*UNREADABLE_COLUMNS, SOURCE[0]], dtype=object)]
        for path in paths:
            with Store(path) as store:
                rows = pd.DataFrame({SOURCE[0]: str(path), SOURCE[1]: range(len(store))})
                clips.append(pd.concat([store.utterances, rows], axis="columns"))
                unreadable.append(store.unreadable.assign(**{SOURCE[0]: str(path)}))
        found = [pd.concat([table for table in tables if len(table)] or tables[:1]) for tables in (clips, unreadable)]
        latest = [table.drop_duplicates("utterance_id", keep="last") for table in found]
        return cls(latest[0].set_index("utterance_id"), latest[1].reset_index(drop=True))

    def unchanged(self, manifest: pd.DataFrame, data: Path, workers: int) -> set[str]:
        """Return which clips of a manifest are cached, and still have the bytes they had then.

        Args:
            manifest: the clips to look for.
            data: the folder their paths start from.
            workers: threads that read files.
        """
        known = manifest[manifest["utterance_id"].isin(self.clips.index)]
        digests = self.clips["digest"].reindex(known["utterance_id"])

        def is_same(pair: tuple[str, str]) -> bool:
            path, digest = pair
            try:
                return digest_of(read_bytes(data / path)) == digest
            except ClipError:
                return False

        with ThreadPoolExecutor(workers) as pool:
            same = pool.map(is_same, zip(known["path"], digests, strict=True))
            bar = tqdm(same, "checking stored clips", len(known), leave=False, unit="clip", disable=quiet())
            return {utterance_id for utterance_id, is_kept in zip(known["utterance_id"], bar, strict=True) if is_kept}
