"""Export: tables of the database as files, by their suffix. A new format is a class and one entry of `FORMATS`.

Segments are read and written in chunks, so that memory does not grow with their number.
"""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ser_embed.errors import InputError
from ser_embed.files import atomic_write, input_error_on_write, require_writable_file
from ser_monitor.database.periods import Moment, Selection
from ser_monitor.database.queries import Queries
from ser_monitor.database.schema import Json, metadata

if TYPE_CHECKING:
    import pandas as pd

Append = Callable[["pd.DataFrame"], object]
"""Writes further rows of a table to a file."""

_DOCUMENTS = {column.name for table in metadata.sorted_tables for column in table.c if isinstance(column.type, Json)}
_MARKED = "utf-8", "backslashreplace"
_FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n")  # beginnings


class Export(Queries):
    """Tables of the database as files."""

    def export(
        self,
        path: str | Path,
        since: Moment = None,
        until: Moment = None,
        source: str | None = None,
        speaker: str | None = None,
        table: str = "segments",
    ) -> int:
        """Write a table to a file, whole or not at all, in place of an older one.

        Args:
            path: the file; its suffix is the format, one of `FORMATS`.
            since: only rows from then on; see `ser_monitor.database.periods.parse_moment`.
            until: only rows before.
            source: only those of this source.
            speaker: only those of this speaker.
            table: "segments" (windows and utterances), "sessions", "alerts" or "feedback".

        Returns:
            Number of rows.

        Raises:
            InputError: there is no such format or table, the file cannot be written, or a moment is not written as it
                has to be.
            DatabaseError: the database failed.
        """
        path = Path(path)
        require_export(path, table)
        chunks = TABLES[table](self, Selection(since, until, source, speaker))
        rows = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        with input_error_on_write(path), atomic_write(path) as draft, FORMATS[path.suffix.lower()](draft) as append:
            for chunk in chunks:
                append(chunk)
                rows += len(chunk)
        return rows


def require_export(path: Path, table: str) -> None:
    """Check what is to be exported, before anything is read.

    Args:
        path: the file.
        table: name of the table.

    Raises:
        InputError: there is no such format or table, or the file cannot be written.
    """
    if table not in TABLES:
        raise InputError(f"--table has to be one of {', '.join(TABLES)}, not {table!r}")
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"--output has to end in {', '.join(FORMATS)}, not {str(path)!r}")
    if path.suffix.lower() == ".parquet":
        _pyarrow()
    require_writable_file(path)


def _one_chunk(name: str) -> Callable[[Queries, Selection], Iterator["pd.DataFrame"]]:
    def chunks(database: Queries, selection: Selection) -> Iterator["pd.DataFrame"]:
        yield getattr(database, name)(selection.since, selection.until, selection.source, selection.speaker)

    return chunks


TABLES: dict[str, Callable[[Queries, Selection], Iterator["pd.DataFrame"]]] = {
    "segments": Queries.segment_chunks,
    "sessions": _one_chunk("sessions"),
    "alerts": _one_chunk("alerts"),
    "feedback": _one_chunk("feedback"),
}


@contextlib.contextmanager
def _csv(path: Path) -> Iterator[Append]:
    with path.open("w", encoding=_MARKED[0], errors=_MARKED[1], newline="") as file:

        def append(table: "pd.DataFrame") -> None:
            table = without_formulas(_with_json_texts(_with_iso_moments(table)))
            table.to_csv(file, index=False, header=file.tell() == 0)

        yield append


@contextlib.contextmanager
def _json(path: Path) -> Iterator[Append]:
    """Write an array with one object a line."""
    with path.open("w", encoding=_MARKED[0], errors=_MARKED[1]) as file:
        separator = "[\n"

        def append(table: "pd.DataFrame") -> None:
            nonlocal separator
            for row in _with_iso_moments(table).to_dict("records"):
                file.write(separator + json.dumps(_without_nan(row), ensure_ascii=False, allow_nan=False))
                separator = ",\n"

        yield append
        file.write("\n]\n" if separator == ",\n" else "[]\n")


@contextlib.contextmanager
def _parquet(path: Path) -> Iterator[Append]:
    pyarrow, parquet = _pyarrow()
    with contextlib.ExitStack() as stack:
        writer: Any = None

        def append(table: "pd.DataFrame") -> None:
            nonlocal writer
            arrow = pyarrow.Table.from_pandas(
                _with_json_texts(table), schema=writer and writer.schema, preserve_index=False
            )
            if writer is None:
                writer = stack.enter_context(parquet.ParquetWriter(path, arrow.schema))
            writer.write_table(arrow)

        yield append


FORMATS: dict[str, Callable[[Path], contextlib.AbstractContextManager[Append]]] = {
    ".csv": _csv,
    ".json": _json,
    ".parquet": _parquet,
}


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise InputError("Parquet needs pyarrow; install it with: pip install 'twostage-ser[parquet]'") from error
    return pyarrow, pyarrow.parquet


def without_formulas(table: "pd.DataFrame") -> "pd.DataFrame":
    """Return a table with an apostrophe before each text that a spreadsheet would take for a formula.

    Names of files and sources may come from anybody, and a formula can read other cells, open addresses and start
    programs (CWE-1236); the apostrophe is what OWASP recommends. Numbers stay numbers.
    """
    from pandas.api.types import is_bool_dtype, is_datetime64_any_dtype, is_numeric_dtype

    harmless = (is_numeric_dtype, is_bool_dtype, is_datetime64_any_dtype)
    texts = [name for name in table if not any(test(table[name].dtype) for test in harmless)]
    return table.assign(**{str(name): table[name].map(_without_formula) for name in texts})


def _without_formula(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULAS) else value


def _with_iso_moments(table: "pd.DataFrame") -> "pd.DataFrame":
    """Return the table with its moments as texts in ISO 8601."""
    moments = table.select_dtypes("datetimetz").columns
    texts = {name: table[name].map(lambda moment: moment.isoformat(), na_action="ignore") for name in moments}
    return table.assign(**{name: text.astype(object) for name, text in texts.items()})


def _with_json_texts(table: "pd.DataFrame") -> "pd.DataFrame":
    """Return the table with lists and objects as their JSON texts."""
    texts = {name: table[name].map(json.dumps, na_action="ignore") for name in table if name in _DOCUMENTS}
    return table.assign(**{str(name): column for name, column in texts.items()})


def _without_nan(row: dict[Any, Any]) -> dict[str, Any]:
    return {str(name): None if _is_missing(value) else value for name, value in row.items()}


def _is_missing(value: Any) -> bool:
    return value is None or value != value  # only what is missing differs from itself
