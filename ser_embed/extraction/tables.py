"""Tables of an extraction: the clips that the new store will hold, and those that could not be read or are gone."""

from pathlib import Path

import pandas as pd

from ser_embed.corpora.scan import Scan
from ser_embed.manifest import UNREADABLE_COLUMNS, recordings_of
from ser_embed.store.cache import SOURCE_FILE, Cache
from ser_embed.store.merge import merge_clips, merge_unreadable


def merge_tables(
    scan: Scan, manifest: pd.DataFrame, store_path: Path, cache: Cache
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Merge the tables of the corpora, the old store and the part files.

    Args:
        scan: the clips of the corpora.
        manifest: the clips of this run: those of the scan up to --limit, and their copies.
        store_path: the store.
        cache: the clips of the old store and of the part files.

    Returns:
        The clips that the new store will hold, the clips that this run could not use, and all clips that the new store
        will list as unreadable.
    """
    # Part files list the clips that could not be decoded; the scan lists those whose file names it could not parse.
    undecodable = cache.unreadable[cache.unreadable[SOURCE_FILE] != str(store_path)]
    recordings = dict(zip(manifest["utterance_id"], recordings_of(manifest), strict=True))
    sources = undecodable["utterance_id"].map(lambda name: recordings.get(name, name))
    # Where a recording cannot be read, its copies need no mention.
    is_implied = (sources != undecodable["utterance_id"]) & sources.isin(undecodable["utterance_id"])
    unreadable = pd.concat([scan.unreadable, undecodable[~is_implied]])[list(UNREADABLE_COLUMNS)]
    all_unreadable = merge_unreadable(unreadable, _unreadable_before(scan, manifest, store_path, cache))
    readable = manifest[~manifest["utterance_id"].isin(undecodable["utterance_id"])]
    return merge_clips(readable.sort_values("utterance_id"), cache), unreadable, all_unreadable


def _unreadable_before(scan: Scan, manifest: pd.DataFrame, store_path: Path, cache: Cache) -> pd.DataFrame:
    """Return the unreadable clips of the old store that this run does not look at.

    These are the clips of other corpora, and those beyond --limit.

    Args:
        scan: the clips of the corpora.
        manifest: the clips of this run: those of the scan up to --limit.
        store_path: the store.
        cache: the clips of the old store and of the part files.
    """
    in_store = cache.unreadable[cache.unreadable[SOURCE_FILE] == str(store_path)]
    beyond_limit = set(scan.manifest["utterance_id"]) - set(manifest["utterance_id"])
    corpora = {_corpus_of(name) for name in [*scan.manifest["utterance_id"], *scan.unreadable["utterance_id"]]}
    is_other_corpus = ~in_store["utterance_id"].map(_corpus_of).isin(corpora)
    return in_store[in_store["utterance_id"].isin(beyond_limit) | is_other_corpus]


def _corpus_of(utterance_id: str) -> str:
    """Return the corpus of an utterance_id, which is the part before the first slash."""
    return utterance_id.partition("/")[0]


def is_removed_from_corpora(scan: Scan, clips: pd.DataFrame) -> pd.Series:
    """Return which clips the corpora of this run no longer have, as booleans (clips,)."""
    is_of_this_run = clips["corpus"].isin(scan.manifest["corpus"].unique())
    return is_of_this_run & ~recordings_of(clips).isin(scan.manifest["utterance_id"])
