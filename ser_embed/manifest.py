"""Manifest: the table of clips, one row per clip, as a pandas DataFrame.

Text columns have no nulls (missing text is ""), number columns are float64 (a missing number is NaN). Every manifest
begins with `COLUMNS`; the other columns of a corpus (gender, age, sentence, ...) follow.
"""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from ser_embed.errors import InputError

COLUMNS = ("utterance_id", "path", "corpus", "speaker", "emotion", "duration_s", "digest", "audio_digest")
UNREADABLE_COLUMNS = ("utterance_id", "path", "reason")  # columns of the table of clips that could not be read
# Columns of the table of clips that an encoder was fine-tuned on with their labels, see `encoders.training_clips`.
TRAINING_CLIP_COLUMNS = ("utterance_id", "corpus", "speaker", "emotion", "digest", "audio_digest", "part")
FRAME_COLUMNS = ("frame_start", "frame_count")  # in a store of frames: the rows of /vectors that belong to a clip
# Of augmented copies: the utterance_id of their recording, and what they were made by. Both are "" for recordings, and
# no column of a manifest without copies.
AUGMENTED_FROM, AUGMENTATION = "augmented_from", "augmentation"
NUMBERS = ("duration_s",)  # those of `COLUMNS` that hold numbers; the others hold text
EMOTIONS = ("angry", "bored", "calm", "disgust", "fear", "happy", "neutral", "sad", "surprise")

_SYNONYMS = {
    "ang": "angry", "anger": "angry", "boredom": "bored", "calmness": "calm", "dis": "disgust", "disgusted": "disgust",
    "fea": "fear", "fearful": "fear", "afraid": "fear", "anxiety": "fear", "hap": "happy", "happiness": "happy",
    "joy": "happy", "neu": "neutral", "sadness": "sad", "surprised": "surprise", "pleasant_surprise": "surprise",
    "ps": "surprise",
}  # fmt: skip


def canonical_emotion(label: str) -> str:
    """Return the canonical name of an emotion label; an unknown label in lower case, with "_" in place of spaces.

    >>> canonical_emotion("Anger"), canonical_emotion("contempt")
    ('angry', 'contempt')
    """
    label = label.strip().lower().replace(" ", "_")
    return _SYNONYMS.get(label, label)


def safe_path(path: str, folder: Path, where: str) -> str:
    """Return a manifest path in POSIX form, relative to its folder, after checking that it stays inside the folder.

    Args:
        path: the path as written in the manifest, relative to the folder or absolute.
        folder: the folder of the corpus.
        where: the file (and line) that holds the path, for the message.

    Raises:
        InputError: the path is empty, lies outside the folder, or has a "..".
    """
    posix = PurePosixPath(_relative(path, folder).replace("\\", "/"))
    if not path.strip() or not posix.parts or posix.is_absolute() or ".." in posix.parts or ":" in posix.parts[0]:
        raise InputError(f"a clip's path has to stay inside {folder}, but {where} has {path!r}")
    return str(posix)


def _relative(path: str, folder: Path) -> str:
    """Return an absolute path inside `folder` as a relative one, and any other path unchanged.

    Both the folder's own absolute path and the path its links resolve to are accepted.
    """
    if Path(path).is_absolute():
        for base in (Path(os.path.abspath(folder)), folder.resolve()):
            if Path(path).is_relative_to(base):
                return str(Path(path).relative_to(base))
    return path


def build_manifest(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Make a manifest from rows, sorted by utterance_id.

    Args:
        rows: one mapping per clip with at least utterance_id, path, corpus, speaker and emotion. A column becomes
            float64 if all its values that are not missing are numbers.

    Returns:
        The manifest. Until a clip has been read, its `duration_s` is NaN and its `digest` and `audio_digest` are "".

    Raises:
        InputError: two rows share an utterance_id.
    """
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    count = 0
    for count, row in enumerate(rows, start=1):
        for name, value in row.items():
            column = columns.setdefault(name, [])
            column += [None] * (count - 1 - len(column))  # the previous rows have no value in this column
            column.append(value)
    for column in columns.values():
        column += [None] * (count - len(column))
    table = tidy(pd.DataFrame(columns, dtype=object))
    duplicates = table["utterance_id"][table["utterance_id"].duplicated()]
    if len(duplicates):
        paths = table["path"][table["utterance_id"] == duplicates.iloc[0]].tolist()
        raise InputError(f"two clips have the utterance_id {duplicates.iloc[0]!r}: {paths[0]} and {paths[1]}")
    return table.sort_values("utterance_id", ignore_index=True)


def tidy(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with `COLUMNS` first, text columns without nulls and number columns as float64."""
    extra = [name for name in table.columns if name not in COLUMNS]
    table = table[[*COLUMNS, *extra]].reset_index(drop=True)
    for name in table.columns:
        values = table[name].dropna()
        is_number = name in NUMBERS or (
            name in extra and len(values) > 0 and pd.api.types.is_numeric_dtype(values.infer_objects())
        )
        table[name] = table[name].astype("float64") if is_number else _to_text(table[name])
    return table


def _to_text(column: pd.Series) -> pd.Series:
    """Return a column as text. Equal texts share one object, because a long table repeats its speakers and labels."""
    shared: dict[str, str] = {}
    texts = map(str, column.astype("object").where(column.notna(), ""))
    return pd.Series([shared.setdefault(text, text) for text in texts], dtype="object")


def combine(manifests: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Concatenate the manifests of several corpora, sorted by utterance_id.

    If a corpus lacks a column, its clips have "" or NaN there. A column that is numeric in one manifest and text in
    another becomes text.
    """
    return tidy(pd.concat(list(manifests), ignore_index=True)).sort_values("utterance_id", ignore_index=True)


def recordings_of(clips: pd.DataFrame) -> pd.Series:
    """Return the recording of each clip, by utterance_id: of a copy that an extraction made, else the clip itself.

    An extraction names copies `<recording>~<number>`. Others, of a corpus that brings its own, are files like any.
    """
    if AUGMENTED_FROM not in clips:
        return clips["utterance_id"]
    pairs = zip(clips["utterance_id"], clips[AUGMENTED_FROM], strict=True)
    is_made = [bool(source) and re.fullmatch(rf"{re.escape(source)}~\d+", name) is not None for name, source in pairs]
    return clips["utterance_id"].mask(pd.Series(is_made, clips.index, bool), clips[AUGMENTED_FROM])
