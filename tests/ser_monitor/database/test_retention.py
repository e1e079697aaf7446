"""Retention in a file of SQLite: it shrinks, and nothing of what was erased is left in it."""

from datetime import timedelta
from pathlib import Path

from ser_monitor.database.batches import write_items
from ser_monitor.database.database import Database
from ser_monitor.database.writer import EventWriter
from tests.ser_monitor.database.items import START, make_alert, make_event, make_session

NAME = "anna-of-the-night-shift"


def content(folder: Path) -> bytes:
    """Return the bytes of all files of the database."""
    return b"".join(path.read_bytes() for path in sorted(folder.glob("monitor.db*")))


def test_nothing_is_left_of_who_was_erased(tmp_path: Path) -> None:
    with Database(tmp_path / "monitor.db") as database:
        with database.writing() as connection:
            write_items(connection, [make_session("s1", speaker=NAME), make_session("s2", speaker="ben")])
            write_items(connection, [make_event(number, f"s{1 + number // 500}") for number in range(1000)])
            write_items(connection, [make_alert(speaker=NAME, message=f"{NAME} is angry")])
        database.add_feedback("s1", 0, "sad", "mia", f"{NAME} was only tired")
        assert NAME.encode() in content(tmp_path)
        size = len(content(tmp_path))
        database.erase(speaker=NAME)
        assert NAME.encode() not in content(tmp_path)
        assert len(content(tmp_path)) < 0.7 * size
        assert len(database.segments()) == 500


def test_live_events_are_written_while_old_ones_are_deleted(tmp_path: Path) -> None:
    now = START + timedelta(days=30)
    with Database(tmp_path / "monitor.db") as database, EventWriter(database) as writer:
        writer.put(make_session())
        for number in range(1500):
            writer.put(make_event(number))
        assert writer.flush()
        for number in range(1500, 1800):
            writer.put(make_event(number, start=now))
        deleted = database.apply_retention(7, now)
        assert writer.flush()
        assert deleted["segments"] == 1500
        assert database.segments()["number"].tolist() == list(range(1500, 1800))
