"""Any folder with a `manifest.csv` is a corpus of the folder's name.

The table's columns are parted by commas, semicolons or tabs. It needs `path` (relative to the folder), `emotion` and
`speaker`, with a value in every row. All its
other columns are kept, as numbers where every value given is one; "07" is a code, not a number. What this library works
out itself (`utterance_id`, `corpus`, `duration_s`, digests) is not taken from the table. A clip is called by its path
without the suffix, or with it where another clip differs in that alone.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from ser_embed.errors import InputError
from ser_embed.manifest import COLUMNS, canonical_emotion, safe_path
from ser_embed.store import FRAME_COLUMNS

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
        InputError: the file is not csv, a required value is missing, or a path leaves the folder.
    """
    table = folder / MANIFEST
    header, lines = _read_csv(table)
    if not set(REQUIRED) <= set(header):
        found = ", ".join(name for name in header if name) or "nothing"
        raise UnusableCorpus(f"expected the columns path, emotion and speaker in {table}, found {found}")
    if not lines:
        raise UnusableCorpus(f"expected a row per clip in {table}, found only the header")
    numbers, values = zip(*lines, strict=True)
    given = dict(zip(header, zip(*values, strict=True), strict=True))
    columns = _required(given, corpus, table, numbers)
    columns |= {name: _column(given[name]) for name in header if name and name not in (*COLUMNS, *REQUIRED)}
    return (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))


def _read_csv(table: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the header, and each row that is not blank with its line number."""
    try:
        text = table.read_text(encoding="utf-8-sig")
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
        header = [name.strip() for name in next(reader, [])]
        lines = [(reader.line_num, values) for values in reader if values]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"expected a csv table in UTF-8, but {table} cannot be read as one ({error})") from error
    if "\0" in text:
        raise InputError(f"expected a csv table in UTF-8, but {table} holds binary data")
    for name in header:
        if "/" in name or name in _RESERVED or (name and header.count(name) > 1):
            raise InputError(
                f"expected columns with different names, not the store's, and no '/' in {table}, found {name!r}"
            )
    for line, values in lines:
        if len(values) != len(header):
            raise InputError(f"expected {len(header)} values in {table} line {line}, found {len(values)}")
    return header, lines


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
    paths = [safe_path(path.strip(), f"{table} line {line}") for path, line in zip(given["path"], lines, strict=True)]
    stems = [str(PurePosixPath(path).with_suffix("")) for path in paths]
    clips = Counter(stems)
    return {
        "utterance_id": [
            f"{corpus}/{stem if clips[stem] == 1 else path}" for stem, path in zip(stems, paths, strict=True)
        ],
        "path": paths,
        "corpus": [corpus] * len(paths),
        "speaker": [f"{corpus}/{speaker.strip()}" for speaker in given["speaker"]],
        "emotion": [canonical_emotion(emotion) for emotion in given["emotion"]],
    }


def _column(values: Sequence[str]) -> Sequence[float | None] | Sequence[str]:
    given = [value for value in values if value.strip()]
    if given and all(_NUMBER.fullmatch(value.strip()) for value in given):
        return [float(value) if value.strip() else None for value in values]
    return values
