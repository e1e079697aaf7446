"""Any folder with a `manifest.csv` is a corpus of the folder's name.

The table needs the columns `path` (relative to the folder), `emotion` and `speaker`, with a value in every row. All its
other columns are kept, as numbers where every value given is one; "07" is a code, not a number. What this library works
out itself (`utterance_id`, `corpus`, `duration_s`, digests) is not taken from the table.
"""

import csv
import io
import re
from pathlib import Path, PurePosixPath
from typing import Any

from ser_embed.errors import InputError
from ser_embed.manifest import COLUMNS, canonical_emotion, safe_path

MANIFEST = "manifest.csv"
REQUIRED = ("path", "emotion", "speaker")
_RESERVED = (".", "..", "frame_start", "frame_count")  # what HDF5 and the store mean something else by
_NUMBER = re.compile(r"[+-]?(0|[1-9]\d*)(\.\d*)?([eE][+-]?\d+)?")


class UnusableCorpus(InputError):
    """A folder is a corpus, but not one that can be used: it is passed over unless it was asked for by name."""


def read_manifest(folder: Path, corpus: str) -> list[dict[str, Any]]:
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
    records = [(f"{table} line {line}", dict(zip(header, values, strict=True))) for line, values in lines]
    rows = [_required(record, corpus, where) for where, record in records]
    for name in header:
        if name and name not in (*COLUMNS, *REQUIRED):
            for row, value in zip(rows, _column([record[name] for _, record in records]), strict=True):
                row[name] = value
    return rows


def _read_csv(table: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the header, and each row that is not blank with its line number."""
    try:
        text = table.read_text(encoding="utf-8-sig")
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
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


def _required(record: dict[str, str], corpus: str, where: str) -> dict[str, Any]:
    for name in REQUIRED:
        if not record[name].strip():
            raise InputError(f"expected a value for {name!r} in {where}, found none")
    path = safe_path(record["path"].strip(), where)
    return {
        "utterance_id": f"{corpus}/{PurePosixPath(path).with_suffix('')}",
        "path": path,
        "corpus": corpus,
        "speaker": f"{corpus}/{record['speaker'].strip()}",
        "emotion": canonical_emotion(record["emotion"]),
    }


def _column(values: list[str]) -> list[float | None] | list[str]:
    given = [value for value in values if value.strip()]
    if given and all(_NUMBER.fullmatch(value.strip()) for value in given):
        return [float(value) if value.strip() else None for value in values]
    return values
