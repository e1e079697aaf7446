"""Which clips a folder holds, and who speaks in them. Labels are not needed."""

from pathlib import Path

import pandas as pd

from ser_embed.corpora import scan_data
from ser_embed.corpora.audio_files import audio_files, printable
from ser_embed.corpora.manifest_csv import MANIFEST
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
