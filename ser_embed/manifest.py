"""The manifest: the table of clips, one row each, as a pandas DataFrame.

Text columns are never null (missing text is ""), number columns are float64 (a missing number is NaN). Every manifest
begins with `COLUMNS`; what else a corpus gives (gender, age, sentence, ...) follows.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from ser_embed.errors import InputError

COLUMNS = ("utterance_id", "path", "corpus", "speaker", "emotion", "duration_s", "digest", "audio_digest")
UNREADABLE_COLUMNS = ("utterance_id", "path", "reason")  # of the table of clips that could not be read
FRAME_COLUMNS = ("frame_start", "frame_count")  # in a store of frames: which rows of /vectors are a clip's
NUMBERS = ("duration_s",)
EMOTIONS = ("angry", "bored", "calm", "disgust", "fear", "happy", "neutral", "sad", "surprise")

_SYNONYMS = {
    "ang": "angry", "anger": "angry", "boredom": "bored", "calmness": "calm", "dis": "disgust", "disgusted": "disgust",
    "fea": "fear", "fearful": "fear", "afraid": "fear", "anxiety": "fear", "hap": "happy", "happiness": "happy",
    "joy": "happy", "neu": "neutral", "sadness": "sad", "surprised": "surprise", "pleasant_surprise": "surprise",
    "ps": "surprise",
}  # fmt: skip


def canonical_emotion(label: str) -> str:
    """Return the canonical name of an emotion label; an unknown label is kept, in lower case.

    >>> canonical_emotion("Anger"), canonical_emotion("contempt")
    ('angry', 'contempt')
    """
    label = label.strip().lower().replace(" ", "_")
    return _SYNONYMS.get(label, label)


def safe_path(path: str, folder: Path, where: str) -> str:
    """Return a manifest path in POSIX form, relative to its folder, after checking that it stays inside.

    Args:
        path: the path as written, relative to the folder or absolute.
        folder: the folder.
        where: the file it was read from, for the message.

    Raises:
        InputError: the path is empty, leads elsewhere, or climbs out with "..".
    """
    posix = PurePosixPath(_relative(path, folder).replace("\\", "/"))
    if not path.strip() or not posix.parts or posix.is_absolute() or ".." in posix.parts or ":" in posix.parts[0]:
        raise InputError(f"a clip's path has to stay inside {folder}, but {where} has {path!r}")
    return str(posix)


def _relative(path: str, folder: Path) -> str:
    """Return an absolute path that lies in `folder`, by its name or where links lead, as one relative to it."""
    if Path(path).is_absolute():
        for base in (Path(os.path.abspath(folder)), folder.resolve()):
            if Path(path).is_relative_to(base):
                return str(Path(path).relative_to(base))
    return path


def build_manifest(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Make a manifest from rows, sorted by utterance_id.

    Args:
        rows: one mapping per clip with at least utterance_id, path, corpus, speaker and emotion. A column is numeric
            if all its given values are numbers.

    Returns:
        The manifest. `duration_s`, `digest` and `audio_digest` stay NaN and "" until the clip has been read.

    Raises:
        InputError: two rows share an utterance_id.
    """
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    count = 0
    for count, row in enumerate(rows, start=1):
        for name, value in row.items():
            column = columns.setdefault(name, [])
            column += [None] * (count - 1 - len(column))  # the rows above have no such value
            column.append(value)
    for column in columns.values():
        column += [None] * (count - len(column))
    table = tidy(pd.DataFrame(columns, dtype=object))
    twice = table["utterance_id"][table["utterance_id"].duplicated()]
    if len(twice):
        paths = table["path"][table["utterance_id"] == twice.iloc[0]].tolist()
        raise InputError(f"two clips have the utterance_id {twice.iloc[0]!r}: {paths[0]} and {paths[1]}")
    return table.sort_values("utterance_id", ignore_index=True)


def tidy(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with `COLUMNS` first, text columns free of nulls and number columns as float64."""
    extra = [name for name in table.columns if name not in COLUMNS]
    table = table[[*COLUMNS, *extra]].reset_index(drop=True)
    for name in table.columns:
        given = table[name].dropna()
        number = name in NUMBERS or (
            name in extra and len(given) > 0 and pd.api.types.is_numeric_dtype(given.infer_objects())
        )
        table[name] = table[name].astype("float64") if number else _text(table[name])
    return table


def _text(column: pd.Series) -> pd.Series:
    """Return a column as text. Equal texts share one object, since a long table repeats its speakers and labels."""
    shared: dict[str, str] = {}
    texts = map(str, column.astype("object").where(column.notna(), ""))
    return pd.Series([shared.setdefault(text, text) for text in texts], dtype="object")


def combine(manifests: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Put the manifests of several corpora under one another, sorted by utterance_id.

    A column one corpus lacks is "" or NaN for its clips. A column that is a number in one and text in another becomes
    text.
    """
    return tidy(pd.concat(list(manifests), ignore_index=True)).sort_values("utterance_id", ignore_index=True)
