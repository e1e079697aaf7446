"""Any folder with a `manifest.csv` is a corpus of the folder's name.

The table's columns are parted by commas, semicolons or tabs. It needs `path` (inside the folder, and relative to it or
absolute), `emotion` and `speaker`, with a value in every row. All its other columns are kept, as numbers where every
value given is one; "07" is a code, not a number. What this library works out itself (`utterance_id`, `corpus`,
`duration_s`, digests) is not taken from the table. A clip is called by its path without the suffix, or with it where
another clip differs in that alone.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from ser_embed.corpora.audio_files import as_on_disk
from ser_embed.errors import InputError
from ser_embed.manifest import COLUMNS, FRAME_COLUMNS, canonical_emotion, safe_path

MANIFEST = "manifest.csv"
REQUIRED = ("path", "emotion", "speaker")
_DELIMITERS = ",;\t"
_RESERVED = (".", "..", *FRAME_COLUMNS)  # what HDF5 and the store mean something else by
_NUMBER = re.compile(r"[+-]?(0|[1-9]\d*)(\.\d*)?([eE][+-]?\d+)?")


class UnusableCorpus(InputError):
    """A folder is a corpus, but not one that can be used: it is passed over unless it was asked for by name."""


def read_manifest(folder: Path, corpus: str) -> Iterator[dict[str, Any]]:
    """Return the manifest rows of a folder's `manifest.csv`, with paths relative to the folder.

    Raises:
        UnusableCorpus: the table lacks a required column or has no rows.
        InputError: the file is not csv, a required value is missing, a path leaves the folder, or two rows are of one
            clip.
    """
    table = folder / MANIFEST
    given, lines = _read_csv(table)
    if not set(REQUIRED) <= set(given):
        found = ", ".join(name for name in given if name) or "nothing"
        raise UnusableCorpus(f"expected the columns path, emotion and speaker in {table}, found {found}")
    if not lines:
        raise UnusableCorpus(f"expected a row per clip in {table}, found only the header")
    columns = _required(given, corpus, table, lines)
    columns |= {name: _column(given[name]) for name in given if name and name not in (*COLUMNS, *REQUIRED)}
    return (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))


def _read_csv(table: Path) -> tuple[dict[str, list[str]], list[int]]:
    """Return the columns by name, and the line number of each row; blank rows are left out."""
    try:
        text = table.read_text(encoding="utf-8-sig")
        if "\0" in text:
            raise InputError(f"expected a csv table in UTF-8, but {table} holds binary data")
        return _columns(text, table)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"expected a csv table in UTF-8, but {table} cannot be read as one ({error})") from error


def _columns(text: str, table: Path) -> tuple[dict[str, list[str]], list[int]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    header = [name.strip() for name in next(reader, [])]
    _check_header(header, table)
    columns: list[list[str]] = [[] for _ in header]
    lines: list[int] = []
    shared: dict[str, str] = {}  # a long table repeats its speakers and labels
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
            raise InputError(f"expected columns with different names, but column {name!r} is there twice in {table}")
        if "/" in name or name in _RESERVED:
            raise InputError(
                f"expected columns with names that are not the store's, and no '/' in {table}, found {name!r}"
            )


def _delimiter(text: str) -> str:
    """Return what parts the columns: what finds the required ones in the first line, or else a comma."""
    first_line = text.partition("\n")[0]
    for delimiter in _DELIMITERS:
        header = next(csv.reader([first_line], delimiter=delimiter), [])
        if set(REQUIRED) <= {name.strip() for name in header}:
            return delimiter
    return ","


def _required(
    given: Mapping[str, Sequence[str]], corpus: str, table: Path, lines: Sequence[int]
) -> dict[str, Sequence[Any]]:
    """Make the columns every manifest has from the required ones; `table` and `lines` are where they come from."""
    for name in REQUIRED:
        for value, line in zip(given[name], lines, strict=True):
            if not value.strip():
                raise InputError(f"expected a value for {name!r} in {table} line {line}, found none")
    rows = zip(given["path"], lines, strict=True)
    paths = [safe_path(path.strip(), table.parent, f"{table} line {line}") for path, line in rows]
    files = [as_on_disk(table.parent, path) for path in paths]
    _check_once(files, table, lines)
    emotions = {label: canonical_emotion(label) for label in set(given["emotion"])}
    speakers = {speaker: f"{corpus}/{speaker.strip()}" for speaker in set(given["speaker"])}
    return {
        "utterance_id": [f"{corpus}/{name}" for name in _names(paths)],
        "path": files,
        "corpus": [corpus] * len(paths),
        "speaker": [speakers[speaker] for speaker in given["speaker"]],
        "emotion": [emotions[label] for label in given["emotion"]],
    }


def _check_once(paths: Sequence[str], table: Path, lines: Sequence[int]) -> None:
    seen: dict[str, int] = {}
    for path, line in zip(paths, lines, strict=True):
        if seen.setdefault(path, line) != line:
            raise InputError(
                f"expected a row per clip, but {table} lines {seen[path]} and {line} name the same clip {path}"
            )


def _names(paths: Sequence[str]) -> list[str]:
    """Return each path without its suffix, or with it where another differs in that alone."""
    stems = [str(PurePosixPath(path).with_suffix("")) for path in paths]
    shared = {stem for stem, clips in Counter(stems).items() if clips > 1}
    return [path if stem in shared else stem for stem, path in zip(stems, paths, strict=True)]


def _column(values: Sequence[str]) -> Sequence[float | None] | Sequence[str]:
    given = [value for value in values if value.strip()]
    if given and all(_NUMBER.fullmatch(value.strip()) for value in given):
        return [float(value) if value.strip() else None for value in values]
    return values
