"""Export to files, which hold what the tables hold."""

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from ser_embed.errors import InputError
from ser_monitor.database import queries
from ser_monitor.database.batches import write_items
from ser_monitor.database.database import Database
from ser_monitor.database.export import FORMATS, TABLES, without_formulas
from tests.ser_monitor.database.items import make_alert, make_event, make_session, without_speech

ROWS = 25


@pytest.fixture
def filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """Return a database whose segments come in several chunks, the first of them without speech."""
    monkeypatch.setattr(queries, "CHUNK_ROWS", 10)
    with Database(tmp_path / "monitor.db") as database:
        with database.writing() as connection:
            silent = [without_speech(number) for number in range(10)]
            spoken = [make_event(number) for number in range(10, ROWS)]
            write_items(connection, [make_session(speaker='"anna", she'), *silent, *spoken, make_alert()])
        database.add_feedback("s1", 12, "sad", "mia")
        yield database


def read_csv(path: Path) -> pd.DataFrame:
    table = pd.read_csv(path)
    return table.assign(started_at=pd.to_datetime(table["started_at"], utc=True, format="ISO8601"))


def read_json(path: Path) -> pd.DataFrame:
    table = pd.DataFrame(json.loads(path.read_text("utf-8")))
    return table.assign(started_at=pd.to_datetime(table["started_at"], utc=True, format="ISO8601"))


READERS = {".csv": read_csv, ".json": read_json, ".parquet": pd.read_parquet}


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_file_holds_the_segments(filled: Database, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "new" / f"segments{suffix}"
    assert filled.export(path) == ROWS
    table, expected = READERS[suffix](path), filled.segments(kind=None)
    assert list(table) == list(expected)
    pd.testing.assert_frame_equal(table, expected, check_dtype=False, check_exact=True)
    assert sorted(file.name for file in path.parent.iterdir()) == [path.name]


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("table", TABLES)
def test_every_table_goes_into_every_format_even_without_rows(
    filled: Database, tmp_path: Path, suffix: str, table: str
) -> None:
    path = tmp_path / f"table{suffix}"
    rows = {"segments": ROWS, "sessions": 1, "alerts": 1, "feedback": 1}[table]
    assert filled.export(path, table=table) == rows
    assert filled.export(path, table=table, source="nowhere") == 0
    if suffix == ".json":
        assert json.loads(path.read_text("utf-8")) == []
    elif suffix == ".csv":
        assert len(path.read_text("utf-8").splitlines()) == 1  # the names of the columns
    else:
        assert pd.read_parquet(path).empty


def test_json_keeps_what_csv_flattens(filled: Database, tmp_path: Path) -> None:
    filled.export(tmp_path / "alerts.json", table="alerts")
    (alert,) = json.loads((tmp_path / "alerts.json").read_text("utf-8"))
    assert alert["channels"] == list(make_alert().channels)
    assert alert["ended_at"] is None
    assert alert["raised_at"] == make_alert().raised_at.isoformat()


@pytest.mark.parametrize(
    ("path", "table", "message"),
    [
        ("a.xlsx", "segments", "--output has to end in .csv, .json, .parquet"),
        ("a.csv", "users", "--table has to be one of segments, sessions, alerts, feedback, not 'users'"),
    ],
)
def test_an_unknown_format_or_table_is_refused(
    filled: Database, tmp_path: Path, path: str, table: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        filled.export(tmp_path / path, table=table)
    assert not (tmp_path / path).exists()


def test_an_older_file_stays_if_the_database_fails(filled: Database, tmp_path: Path) -> None:
    path = tmp_path / "segments.csv"
    path.write_text("older")
    with pytest.raises(InputError, match="a moment has to be like"):
        filled.export(path, since="soon")
    assert path.read_text() == "older"
    assert {file.name for file in tmp_path.iterdir()} - {"monitor.db-wal", "monitor.db-shm"} == {
        "monitor.db",
        "segments.csv",
    }


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_a_formula_becomes_text(text: str) -> None:
    table = pd.DataFrame({"name": [text, "hall", None], "value": [-1.5, 2.0, None]})
    safe = without_formulas(table)
    assert safe["name"].tolist()[:2] == [f"'{text}", "hall"]
    assert safe["name"].isna().tolist() == [False, False, True]
    pd.testing.assert_series_equal(safe["value"], table["value"])
    assert table["name"].iloc[0] == text


def test_an_empty_table_stays_one() -> None:
    assert without_formulas(pd.DataFrame({"name": [], "value": []})).columns.tolist() == ["name", "value"]
