"""Manifest tables: any folder with a `manifest.csv` is a corpus, named after the folder.

The table is UTF-8; its columns are separated by commas, semicolons or tabs. It needs the columns `path` (inside the
folder, and relative to it or absolute), `emotion` and `speaker`, with a value in every row. All its other columns are
kept, as numbers if every value that is not empty is one; "07" is a code, not a number. What this library computes
itself (`utterance_id`, `corpus`, `duration_s`, digests) is not taken from the table. A clip is named by its path
without the suffix, or with it if another clip differs only in the suffix.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from ser_embed.corpora.audio_files import match_unicode_form
from ser_embed.errors import InputError
from ser_embed.manifest import COLUMNS, FRAME_COLUMNS, canonical_emotion, safe_path

MANIFEST = "manifest.csv"
REQUIRED = ("path", "emotion", "speaker")
_DELIMITERS = ",;\t"
_RESERVED = (".", "..", *FRAME_COLUMNS)  # column names that have another meaning in HDF5 or in the store
_NUMBER = re.compile(r"[+-]?(0|[1-9]\d*)(\.\d*)?([eE][+-]?\d+)?")


class UnusableCorpus(InputError):
    """A folder is a corpus, but cannot be used: it is left out with a note, and an error if requested by name."""


def read_manifest(folder: Path, corpus: str) -> Iterator[dict[str, Any]]:
    """Return the manifest rows of a folder's `manifest.csv`, with paths relative to the folder.

    Raises:
        UnusableCorpus: the table lacks a required column or has no rows.
        InputError: the file is not csv, a required value is missing, a path leads out of the folder, or two rows
            belong to one clip.
    """
    table = folder / MANIFEST
    columns, lines = _read_csv(table)
    if not set(REQUIRED) <= set(columns):
        header = ", ".join(name for name in columns if name) or "nothing"
        raise UnusableCorpus(f"expected the columns path, emotion and speaker in {table}, found {header}")
    if not lines:
        raise UnusableCorpus(f"expected a row per clip in {table}, found only the header")
    manifest = _required_columns(columns, corpus, table, lines)
    extra = [name for name in columns if name and name not in (*COLUMNS, *REQUIRED)]
    manifest |= {name: _convert_numbers(columns[name]) for name in extra}
    return (dict(zip(manifest, row, strict=True)) for row in zip(*manifest.values(), strict=True))


def _read_csv(table: Path) -> tuple[dict[str, list[str]], list[int]]:
    """Return the columns by name, and the line number of each row; blank rows are left out."""
    try:
        text = table.read_text(encoding="utf-8-sig")
        if "\0" in text:
            raise InputError(f"expected a csv table in UTF-8, but {table} holds binary data")
        return _parse_csv(text, table)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"expected a csv table in UTF-8, but {table} cannot be read as one ({error})") from error


def _parse_csv(text: str, table: Path) -> tuple[dict[str, list[str]], list[int]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_find_delimiter(text), strict=True)
    header = [name.strip() for name in next(reader, [])]
    _check_header(header, table)
    columns: list[list[str]] = [[] for _ in header]
    lines: list[int] = []
    # Equal values share one object: a long table repeats its speakers and labels.
    shared: dict[str, str] = {}
    for values in filter(None, reader):
        if len(values) != len(header):
            raise InputError(f"expected {len(header)} values in {table} line {reader.line_num}, found {len(values)}")
        lines.append(reader.line_num)
        for column, value in zip(columns, values, strict=True):
            column.append(shared.setdefault(value, value))
    return dict(zip(header, columns, strict=True)), lines


def _check_header(header: Sequence[str], table: Path) -> None:
    for name in filter(None, header):
        if header.count(name) > 1:
            raise InputError(f"expected columns with different names, but column {name!r} appears twice in {table}")
        if "/" in name or name in _RESERVED:
            raise InputError(
                f"expected column names without '/' and other than {', '.join(_RESERVED)} in {table}, found {name!r}"
            )


def _find_delimiter(text: str) -> str:
    """Return the delimiter that splits the first line into the required columns; if none does, a comma."""
    first_line = text.partition("\n")[0]
    for delimiter in _DELIMITERS:
        header = next(csv.reader([first_line], delimiter=delimiter), [])
        if set(REQUIRED) <= {name.strip() for name in header}:
            return delimiter
    return ","


def _required_columns(
    columns: Mapping[str, Sequence[str]], corpus: str, table: Path, lines: Sequence[int]
) -> dict[str, Sequence[Any]]:
    """Make the manifest columns that every corpus has.

    Args:
        columns: the columns of the csv file.
        corpus: name of the corpus.
        table: path of the csv file; clip paths are relative to its folder.
        lines: line number of each row, for messages.

    Raises:
        InputError: a value is missing, a path leads out of the folder, or two rows belong to one clip.
    """
    for name in REQUIRED:
        for value, line in zip(columns[name], lines, strict=True):
            if not value.strip():
                raise InputError(f"expected a value for {name!r} in {table} line {line}, found none")
    rows = zip(columns["path"], lines, strict=True)
    paths = [safe_path(path.strip(), table.parent, f"{table} line {line}") for path, line in rows]
    files = [match_unicode_form(table.parent, path) for path in paths]
    _require_unique(files, table, lines)
    emotions = {label: canonical_emotion(label) for label in set(columns["emotion"])}
    speakers = {speaker: f"{corpus}/{speaker.strip()}" for speaker in set(columns["speaker"])}
    return {
        "utterance_id": [f"{corpus}/{name}" for name in _clip_names(paths)],
        "path": files,
        "corpus": [corpus] * len(paths),
        "speaker": [speakers[speaker] for speaker in columns["speaker"]],
        "emotion": [emotions[label] for label in columns["emotion"]],
    }


def _require_unique(paths: Sequence[str], table: Path, lines: Sequence[int]) -> None:
    first_lines: dict[str, int] = {}
    for path, line in zip(paths, lines, strict=True):
        if first_lines.setdefault(path, line) != line:
            raise InputError(
                f"expected a row per clip, but {table} lines {first_lines[path]} and {line} name the same clip {path}"
            )


def _clip_names(paths: Sequence[str]) -> list[str]:
    """Return each path without its suffix, or with it if another path differs only in the suffix."""
    stems = [str(PurePosixPath(path).with_suffix("")) for path in paths]
    ambiguous = {stem for stem, num_clips in Counter(stems).items() if num_clips > 1}
    return [path if stem in ambiguous else stem for stem, path in zip(stems, paths, strict=True)]


def _convert_numbers(values: Sequence[str]) -> Sequence[float | None] | Sequence[str]:
    """Return a column as numbers if all its non-empty values are numbers, else unchanged; an empty number is None."""
    non_empty = [value for value in values if value.strip()]
    if non_empty and all(_NUMBER.fullmatch(value.strip()) for value in non_empty):
        return [float(value) if value.strip() else None for value in values]
    return values
