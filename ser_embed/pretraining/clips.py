"""Clips of a data folder: their paths and speakers, and which of them are held out for validation.

Emotion labels are not needed. A speaker of "" is unknown.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from ser_embed.corpora.audio_files import audio_files, storable
from ser_embed.corpora.manifest_csv import MANIFEST
from ser_embed.corpora.scan import scan_data
from ser_embed.corpora.tables import read_table
from ser_embed.errors import InputError
from ser_embed.manifest import safe_path


def find_clips(data: Path) -> pd.DataFrame:
    """List the clips of a data folder.

    If the folder has a `manifest.csv` with `path` and `speaker`, it lists the clips. Otherwise they are those of the
    corpora this library supports, and without any such corpus every audio file under the folder, with unknown speakers.

    Args:
        data: the folder.

    Returns:
        One row per clip, sorted by path: `path`, relative to the folder, and `speaker`, "" where it is unknown.

    Raises:
        InputError: the folder does not exist, has no audio, or its table is malformed.
    """
    if not data.is_dir():
        raise InputError(f"expected a data folder, but there is none at {data}")
    table = data / MANIFEST
    clips = _clips_of_manifest(table) if table.is_file() else _clips_of_corpora(data)
    return clips.sort_values("path", ignore_index=True)


def split_clips(speakers: np.ndarray, by: str, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split clips into those to train on and those held out for validation.

    Args:
        speakers: the speaker of each clip, str (clips,); clips of unknown speakers, "", are never held out by speaker.
        by: "speakers" or "clips".
        share: of the speakers, or clips, to hold out; at least one, unless the share is 0.
        seed: of the random choice.

    Returns:
        The training clips and the held-out clips, as two sorted int64 arrays of positions in `speakers`.

    Raises:
        InputError: there are fewer than two speakers, or clips, to split.
    """
    units = speakers if by == "speakers" else np.arange(len(speakers))  # of each clip
    candidates = np.unique(units[units != ""]) if by == "speakers" else units
    if share and len(candidates) < 2:
        raise InputError(
            f"holding out {by} for validation needs at least two, found {len(candidates)}; see --validation 0"
        )
    count = min(len(candidates) - 1, max(1, round(share * len(candidates)))) if share else 0
    is_held_out = np.isin(units, np.random.default_rng(seed).permutation(candidates)[:count])
    return np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out)


def _clips_of_manifest(table: Path) -> pd.DataFrame:
    clips = read_table(table, ("path", "speaker"))
    if not len(clips):
        raise InputError(f"expected a row per clip in {table}, found only the header")
    return clips.assign(path=[safe_path(path, table.parent, str(table)) for path in clips["path"]])


def _clips_of_corpora(data: Path) -> pd.DataFrame:
    """List the clips of supported corpora, or all audio files of a folder without any."""
    try:
        return scan_data(data).manifest[["path", "speaker"]]
    except InputError as error:
        paths = [storable(path) for path in audio_files(data)]
        if not paths:
            raise InputError(f"expected audio in {data}, found none") from error
    return pd.DataFrame({"path": paths, "speaker": ""})
