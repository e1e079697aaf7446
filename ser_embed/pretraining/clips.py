"""Which clips a folder holds, and who speaks in them. Labels are not needed."""

from pathlib import Path

import numpy as np
import pandas as pd

from ser_embed.corpora.audio_files import audio_files, printable
from ser_embed.corpora.manifest_csv import MANIFEST
from ser_embed.corpora.scan import scan_data
from ser_embed.corpora.tables import read_table
from ser_embed.errors import InputError
from ser_embed.manifest import safe_path


def find_clips(data: Path) -> pd.DataFrame:
    """List the clips of a data folder.

    A `manifest.csv` with `path` and `speaker` in the folder comes first; then the corpora this library knows; then
    every audio file under the folder, spoken by nobody knows whom.

    Args:
        data: the folder.

    Returns:
        One row per clip, sorted by path: `path`, relative to the folder, and `speaker`, "" where it is unknown.

    Raises:
        InputError: there is no such folder, no audio in it, or its table is not what it should be.
    """
    if not data.is_dir():
        raise InputError(f"expected a data folder, but there is none at {data}")
    table = data / MANIFEST
    clips = _listed(table) if table.is_file() else _scanned(data)
    return clips.sort_values("path", ignore_index=True)


def _listed(table: Path) -> pd.DataFrame:
    clips = read_table(table, ("path", "speaker"))
    if not len(clips):
        raise InputError(f"expected a row per clip in {table}, found only the header")
    return clips.assign(path=[safe_path(path, table.parent, str(table)) for path in clips["path"]])


def _scanned(data: Path) -> pd.DataFrame:
    try:
        return scan_data(data).manifest[["path", "speaker"]]
    except InputError as error:
        paths = [printable(path) for path in audio_files(data)]
        if not paths:
            raise InputError(f"expected audio in {data}, found none") from error
    return pd.DataFrame({"path": paths, "speaker": ""})


def split(speakers: np.ndarray, by: str, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Part clips into those to learn from and those held out.

    Args:
        speakers: who speaks in each clip, str (clips,); clips of nobody known, "", are never held out as a speaker.
        by: "speakers" or "clips".
        share: of the speakers, or clips, to hold out; at least one, unless the share is 0.
        seed: draws them.

    Returns:
        Two sorted int64 arrays of clips.

    Raises:
        InputError: there are fewer than two speakers, or clips, to part.
    """
    keys = speakers if by == "speakers" else np.arange(len(speakers))
    units = np.unique(keys[keys != ""]) if by == "speakers" else keys
    if share and len(units) < 2:
        raise InputError(f"holding out {by} for validation needs two at least, found {len(units)}; see --validation 0")
    count = min(len(units) - 1, max(1, round(share * len(units)))) if share else 0
    held = np.isin(keys, np.random.default_rng(seed).permutation(units)[:count])
    return np.flatnonzero(~held), np.flatnonzero(held)
