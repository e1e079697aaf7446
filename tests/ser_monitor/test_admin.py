"""`ser_monitor.admin` from Python and from the command line, on SQLite and PostgreSQL."""

import json
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import ser_monitor
from ser_embed.errors import InputError
from ser_monitor.admin import ACTIONS, AdminConfig, main
from ser_monitor.database import connection
from ser_monitor.database.batches import write_items
from ser_monitor.database.database import Database
from tests.ser_monitor.database.items import make_alert, make_event, make_session


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Return the path of a database with an old and a new session."""
    path = str(tmp_path / "monitor.db")
    now = datetime.now(UTC)
    with Database(path) as database, database.writing() as connection:
        for session, start in (("old", now - timedelta(days=40)), ("new", now - timedelta(hours=1))):
            events = [make_event(number, session, start=start) for number in range(3)]
            alert = make_alert(f"alert-{session}", session, raised_at=start)
            write_items(connection, [make_session(session, speaker=session, started_at=start), *events, alert])
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Run the command; return its exit code, stdout and stderr."""
    code = main(list(arguments))
    return (code, *capsys.readouterr())


def test_old_segments_are_deleted(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "retention", "--days", "30", "--database", url, "--author", "mia", "--json")
    assert code == 0
    assert json.loads(out) == {"deleted": {"feedback": 0, "segments": 3, "alerts": 1, "sessions": 0}}
    with Database(url) as database:
        assert set(database.segments()["session_id"]) == {"new"}
    code, out, _ = run(capsys, "audit", "--database", url)
    assert code == 0
    assert "mia" in out
    assert "older than 30 days" in out
    assert "segments 3" in out


def test_a_speaker_is_erased(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "erase", "--speaker", "old", "--database", url)
    assert (code, out) == (0, "deleted: feedback 0, segments 3, alerts 1, sessions 1\n")
    with Database(url) as database:
        assert database.sessions()["id"].tolist() == ["new"]


def test_segments_are_exported_and_that_is_in_the_audit(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "segments.csv"
    code, out, _ = run(capsys, "export", "--output", str(path), "--since", "1d", "--database", url)
    assert (code, out) == (0, f"{path}: segments 3\n")
    assert len(path.read_text("utf-8").splitlines()) == 4
    (entry,) = ser_monitor.admin("audit", database=url)["audit"]
    assert (entry["action"], entry["target"], entry["details"]) == ("export", "segments", {"rows": 3})


def test_an_alert_is_acknowledged(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "acknowledge", "alert-new", "--author", "mia", "--database", url)
    assert (code, out) == (0, "alert-new: seen by mia\n")
    with Database(url) as database:
        assert database.alerts(speaker="anna")["acknowledged_by"].dropna().tolist() == ["mia"]


def test_a_segment_is_corrected_in_the_name_of_the_user(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOGNAME", "leo")
    correction = ("--session", "new", "--segment", "0", "--emotion", "sad", "--note", "sighs")
    code, out, _ = run(capsys, "feedback", *correction, "--database", url)
    assert (code, out) == (0, "new 0: sad, says leo\n")
    with Database(url) as database:
        (row,) = database.feedback().to_dict("records")
    assert (row["session_id"], row["number"], row["emotion"], row["note"]) == ("new", 0, "sad", "sighs")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["vacuum"], "expected one of retention, erase, export, acknowledge, feedback, audit, not 'vacuum'"),
        (["retention"], "retention needs --days"),
        (["retention", "--days", "0"], "--days has to be positive, not 0.0"),
        (["retention", "--days", "9", "--speaker", "old"], "retention takes no --speaker"),
        (["retention", "--days", "1e300"], "--days has to reach back to a year of the calendar, not 1e+300"),
        (["feedback", "--session", "new", "--segment", "9" * 30, "--emotion", "sad"], "--segment has to be"),
        (["erase", "--speaker", "\udcff"], "--speaker has to be UTF-8"),
        (["retention", "x", "--days", "9"], "retention takes no 'x'"),
        (["erase"], "expected one of --source, --speaker and --session"),
        (["erase", "--session", "x"], "expected sessions of the session 'x'"),
        (["export", "--output", "a.txt"], "--output has to end in .csv, .json, .parquet, not 'a.txt'"),
        (["export", "--output", "a.csv", "--since", "soon"], "a moment has to be like 7d"),
        (["export", "--output", "a.csv", "--table", "users"], "--table has to be one of segments, sessions"),
        (["acknowledge"], "acknowledge needs the id of an alert"),
        (["acknowledge", "alert-x"], "found none with the id 'alert-x'"),
        (["feedback", "--session", "new"], "feedback needs --segment and --emotion"),
        (["feedback", "--session", "new", "--segment", "9", "--emotion", "sad"], "found no number 9"),
    ],
)
def test_what_is_wrong_is_one_line(
    url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *arguments, "--database", url)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1
    assert not list(tmp_path.glob("a.*"))


def test_a_database_that_is_not_there_is_not_created(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "audit", "--database", str(tmp_path / "typo.db"))
    assert code == 2
    assert "found no such file" in err
    assert not list(tmp_path.iterdir())


def test_a_locked_database_is_a_failure_and_no_bad_input(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(connection.OpenDatabase.__init__, "__kwdefaults__", {"create": True, "wait_s": 0})
    other = sqlite3.connect(url, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    code, _, err = run(capsys, "acknowledge", "alert-new", "--database", url)
    other.close()
    assert code == 1
    assert "database is locked" in err


def test_every_flag_belongs_to_an_action() -> None:
    taken: set[Any] = {name for action in ACTIONS.values() for name in (*action.needs, *action.takes)}
    assert taken | {"database", "author"} == set(AdminConfig.__dataclass_fields__)


def test_it_is_a_function_of_the_package(url: str) -> None:
    assert ser_monitor.Database is Database
    with pytest.raises(InputError, match="retention needs --days"):
        ser_monitor.admin("retention", database=url)
