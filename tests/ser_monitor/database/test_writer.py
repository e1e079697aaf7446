"""The event writer: order, back-off, faults of the database, kills."""

import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa

from ser_embed.errors import InputError
from ser_monitor.database.database import Database
from ser_monitor.database.writer import EventWriter
from ser_monitor.events import Item
from tests.ser_monitor.conftest import DURABLE, PostgresServer
from tests.ser_monitor.database.endless import kill_while_writing
from tests.ser_monitor.database.items import make_alert, make_event, make_session


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return the path of a SQLite file."""
    return tmp_path / "monitor.db"


class Gate:
    """Stands in for the pause between attempts: notes how long they are, and ends the trouble after so many."""

    def __init__(self, attempts: int, end_trouble: Callable[[], object]) -> None:
        self.pauses_s: list[float] = []
        self._attempts, self._end_trouble = attempts, end_trouble

    def __call__(self, pause_s: float) -> None:
        self.pauses_s.append(pause_s)
        if len(self.pauses_s) == self._attempts:
            self._end_trouble()


def numbers(database: Database, session: str = "s1") -> list[int]:
    """Return the numbers of a session's events, in order."""
    table = database.segments()
    return sorted(table.loc[table["session_id"] == session, "number"].tolist())


class TestOrder:
    def test_items_are_passed_on_once_in_order_after_they_are_committed(self, file: Path) -> None:
        items: list[Item] = [make_session(), *map(make_event, range(300)), make_alert()]
        passed: list[Item] = []
        stored: list[int] = []

        def show(batch: Sequence[Item]) -> None:
            passed.extend(batch)
            with sqlite3.connect(file) as other:
                stored.append(other.execute("SELECT count(*) FROM segments").fetchone()[0])
            other.close()
            assert stored[-1] >= len(passed) - 2  # all that was passed on but the session and the alert

        with Database(file) as database, EventWriter(database, show) as writer:
            for item in items:
                writer.put(item)
        assert passed == items
        assert stored[-1] == 300

    def test_an_item_alone_is_committed_alone_and_the_rest_together(self, file: Path) -> None:
        """Group commit: what comes in during a commit goes into the next one as a whole."""
        sizes: list[int] = []
        entered, go_on = threading.Event(), threading.Event()

        def show(batch: Sequence[Item]) -> None:
            sizes.append(len(batch))
            entered.set()
            go_on.wait()

        with Database(file) as database, EventWriter(database, show) as writer:
            writer.put(make_session())
            entered.wait()
            for number in range(200):
                writer.put(make_event(number))
            go_on.set()
        assert sizes == [1, 200]

    def test_flush_waits_for_what_was_put_before(self, file: Path) -> None:
        with Database(file) as database, EventWriter(database) as writer:
            writer.put(make_session())
            writer.put(make_event(0))
            assert writer.flush()
            assert numbers(database) == [0]

    def test_a_callback_that_fails_ends_nothing(self, file: Path, caplog: pytest.LogCaptureFixture) -> None:
        def fail(_: object) -> None:
            raise RuntimeError("no terminal")

        with Database(file) as database, EventWriter(database, fail) as writer:
            writer.put(make_session())
            assert writer.flush()
            writer.put(make_event(0))
            assert writer.flush()
            assert numbers(database) == [0]
        assert "no terminal" in caplog.text

    def test_a_closed_writer_takes_nothing(self, file: Path) -> None:
        with Database(file) as database:
            writer = EventWriter(database)
            assert writer.close() == 0
            assert writer.close() == 0
            with pytest.raises(InputError, match="expected an open event writer"):
                writer.put(make_session())


class TestFaults:
    def test_a_locked_database_is_waited_for(self, file: Path) -> None:
        troubles: list[str] = []
        other = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        gate = Gate(8, lambda: other.execute("ROLLBACK"))
        with Database(file, wait_s=0) as database:
            other.execute("BEGIN IMMEDIATE")
            with EventWriter(database, on_trouble=troubles.append, pause=gate) as writer:
                for item in (make_session(), *map(make_event, range(100)), make_alert()):
                    writer.put(item)
                assert writer.flush()
            other.close()
            assert numbers(database) == list(range(100))
            assert len(database.alerts()) == 1
        assert gate.pauses_s == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
        assert len(troubles) == 2
        assert troubles[0] == f"cannot write to the database {file} (database is locked); trying again"
        assert troubles[1] == f"the database {file} can be written to again; nothing was lost"

    def test_a_full_disk_is_waited_for(self, file: Path) -> None:
        """The limit of SQLite on its pages fails like a disk without space."""
        troubles: list[str] = []
        most_pages = 60
        with Database(file) as database:

            def limit(connection: sqlite3.Connection, *_: object) -> None:
                connection.execute(f"PRAGMA max_page_count = {most_pages}").close()

            def make_room() -> None:
                nonlocal most_pages
                most_pages = 2**30

            sa.event.listen(database.engine, "checkout", limit)
            with EventWriter(database, on_trouble=troubles.append, pause=Gate(3, make_room)) as writer:
                for item in (make_session(), *map(make_event, range(500))):
                    writer.put(item)
                assert writer.flush()
            assert numbers(database) == list(range(500))
        assert len(troubles) == 2
        assert "database or disk is full" in troubles[0]

    def test_put_waits_while_too_many_are_waiting(self, file: Path) -> None:
        other = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        full = threading.Event()
        with Database(file, wait_s=0) as database:
            other.execute("BEGIN IMMEDIATE")
            with EventWriter(database, pause=lambda _: full.wait(), most_waiting=10) as writer:

                def fill() -> None:
                    for item in (make_session(), *map(make_event, range(30))):
                        writer.put(item)

                thread = threading.Thread(target=fill)
                thread.start()
                while writer.num_waiting < 10:
                    thread.join(0.001)
                assert not writer.flush(timeout_s=0)
                assert thread.is_alive()
                assert writer.num_waiting == 10
                other.execute("ROLLBACK")
                full.set()
                thread.join()
            other.close()
            assert numbers(database) == list(range(30))

    def test_what_cannot_be_written_at_the_end_is_counted(self, file: Path, caplog: pytest.LogCaptureFixture) -> None:
        other = sqlite3.connect(file, isolation_level=None)
        with Database(file, wait_s=0) as database:
            other.execute("BEGIN IMMEDIATE")
            writer = EventWriter(database, on_trouble=lambda _: None)
            for item in (make_session(), *map(make_event, range(5))):
                writer.put(item)
            assert writer.close(timeout_s=0) == 6
            other.close()
            assert database.segments().empty
        assert f"6 events and alerts could not be written to {file}" in caplog.text
        assert writer.close() == 6
        assert caplog.text.count("could not be written") == 1

    def test_closing_ends_a_pause(self, file: Path) -> None:
        """The pause after a failed attempt is cut short, so that what waits is written at once."""
        other = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        tried = threading.Event()
        with Database(file, wait_s=0) as database:
            other.execute("BEGIN IMMEDIATE")
            writer = EventWriter(database, on_trouble=lambda _: tried.set())
            writer.put(make_session())
            tried.wait()
            other.execute("ROLLBACK")
            other.close()
            assert writer.close() == 0
            assert len(database.sessions()) == 1


def check_kills(url: str, times: int) -> None:
    """Kill writers again and again: what they had shown is there, without gaps, and the next start goes on."""
    for index in range(times):
        shown = kill_while_writing(url, f"s{index}", 1 + 37 * index % 200)
        with Database(url) as database:
            stored = numbers(database, f"s{index}")
            assert shown == list(range(len(shown)))
            assert stored == list(range(len(stored)))
            assert len(stored) >= len(shown)
            assert database.close_interrupted_sessions() == 1


class TestKills:
    def test_what_was_shown_is_there_after_a_kill(self, file: Path) -> None:
        check_kills(str(file), 5)

    @pytest.mark.slow
    def test_what_was_shown_is_there_after_fifty_kills(self, database_url: str) -> None:
        check_kills(database_url, 50)


@pytest.mark.slow
def test_a_server_that_restarts_under_load_loses_nothing(postgres_server: PostgresServer, postgres_url: str) -> None:
    troubles: list[str] = []
    passed: list[int] = []
    with Database(postgres_url + DURABLE) as database:

        def show(batch: Sequence[Item]) -> None:
            passed.extend(item.number for item in batch if hasattr(item, "number"))

        with EventWriter(database, show, troubles.append) as writer:
            writer.put(make_session())
            for number in range(60_000):
                if number in (20_000, 40_000):
                    postgres_server.run("pg_ctl", "-m", "immediate", "stop")
                    postgres_server.start()
                writer.put(make_event(number))
            assert writer.flush(120)
        assert numbers(database) == list(range(60_000))
    assert passed == list(range(60_000))
    assert len(troubles) % 2 == 0
    assert 2 <= len(troubles) <= 4
