"""Opening databases: URLs, and what is refused in one line without a password and without a change."""

import sqlite3
import stat
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from ser_embed.errors import InputError
from ser_monitor.database.connection import DatabaseError, name_of, parse_url
from ser_monitor.database.database import Database

SECRET = "hunter2"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return the path of a file that does not exist yet."""
    return tmp_path / "monitor.db"


class TestUrls:
    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            (None, "sqlite:///monitor.db"),
            ("calls.db", "sqlite:///calls.db"),
            (Path("/var/calls.db"), "sqlite:////var/calls.db"),
            ("sqlite:///calls.db", "sqlite:///calls.db"),
            ("sqlite:////var/calls.db", "sqlite:////var/calls.db"),
            ("postgresql://ser@host/calls", "postgresql+psycopg://ser@host/calls"),
            ("postgres://ser@host:5433/calls", "postgresql+psycopg://ser@host:5433/calls"),
            ("postgresql+psycopg://host/calls?sslmode=require", "postgresql+psycopg://host/calls?sslmode=require"),
        ],
    )
    def test_files_and_both_databases_are_understood(self, url: str | None, expected: str) -> None:
        assert parse_url(url).render_as_string(hide_password=False) == expected

    @pytest.mark.parametrize(
        "url",
        [
            f"mysql://ser:{SECRET}@host/calls",
            f"postgresql+psycopg2://ser:{SECRET}@host/calls",
            f"postgresql://ser:{SECRET}@host:port/calls",
            f"postgresql://ser:12@34:{SECRET}@[host/calls",
            f"://{SECRET}",
            "sqlite://",
            "sqlite:///:memory:",
            ":memory:",
            "sqlite:///a.db?mode=ro",
            "sqlite://host/a.db",
            "",
            "a\0b",
        ],
    )
    def test_anything_else_is_refused_without_its_password(self, url: str) -> None:
        with pytest.raises(InputError, match="--database has to be a file, sqlite:///FILE or postgresql") as raised:
            parse_url(url)
        assert SECRET not in str(raised.value)
        assert "\n" not in str(raised.value)

    @pytest.mark.parametrize(
        "url",
        [f"postgresql://ser:{SECRET}@host/calls", f"postgresql://host/calls?password={SECRET}&sslpassword={SECRET}"],
    )
    def test_names_for_messages_have_no_password(self, url: str) -> None:
        name = name_of(parse_url(url))
        assert SECRET not in name
        assert "host/calls" in name
        assert ("***" in name) == ("ser:" in url)


class TestFiles:
    def test_a_file_writes_ahead_and_flushes_each_commit(self, file: Path) -> None:
        with Database(file) as database, database.reading() as connection:
            settings = {
                name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "synchronous", "foreign_keys", "auto_vacuum", "secure_delete")
            }
        assert settings == {
            "journal_mode": "wal",
            "synchronous": 2,  # FULL
            "foreign_keys": 1,
            "auto_vacuum": 2,  # INCREMENTAL
            "secure_delete": 1,
        }

    def test_the_working_directory_has_the_default(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        Database().close()
        assert [path.name for path in tmp_path.iterdir()] == ["monitor.db"]

    def test_what_does_not_exist_is_not_created_where_that_is_not_asked_for(self, file: Path) -> None:
        with pytest.raises(InputError, match="found no such file"):
            Database(file, create=False)
        assert not file.exists()
        file.touch()
        with pytest.raises(InputError, match="found an empty one"):
            Database(file, create=False)
        assert file.stat().st_size == 0

    def test_a_file_of_something_else_is_refused_and_stays_as_it_was(self, file: Path) -> None:
        content = b"RIFF\0\0\0\0WAVEfmt " * 300
        file.write_bytes(content)
        with pytest.raises(InputError, match="cannot open the database .*not a database"):
            Database(file)
        assert file.read_bytes() == content
        assert [path.name for path in file.parent.iterdir()] == [file.name]

    @pytest.mark.parametrize(
        "statements",
        [
            "CREATE TABLE users (id INTEGER)",
            "CREATE TABLE about (name TEXT)",
            "CREATE TABLE about (format TEXT, version INTEGER)",
            "CREATE TABLE about (format TEXT, version INTEGER); INSERT INTO about VALUES ('photos', 1)",
            "CREATE TABLE about (format TEXT, version); INSERT INTO about VALUES ('ser-monitor', 'one')",
        ],
    )
    def test_another_programs_database_is_refused_and_stays_as_it_was(self, file: Path, statements: str) -> None:
        connection = sqlite3.connect(file)
        connection.executescript(statements)
        connection.close()
        before = file.read_bytes()
        with pytest.raises(InputError, match="expected a database of ser_monitor, but .* is another program's"):
            Database(file)
        assert file.read_bytes() == before
        assert [path.name for path in file.parent.iterdir()] == [file.name]

    def test_a_newer_version_is_refused(self, file: Path) -> None:
        Database(file).close()
        connection = sqlite3.connect(file)
        connection.executescript("UPDATE about SET version = 2")
        connection.close()
        with pytest.raises(InputError, match="expected version 1 of the tables, but .* has 2"):
            Database(file)

    def test_a_disk_that_is_full_is_one_line(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(_: sa.Engine) -> None:
            raise sqlite3.OperationalError("database or disk is full")

        monkeypatch.setattr(sa.Engine, "raw_connection", refuse)
        with pytest.raises(InputError, match=r"^cannot open the database .* \(database or disk is full\)$"):
            Database(file)

    def test_a_folder_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="is a folder"):
            Database(tmp_path)

    def test_a_folder_that_does_not_exist_is_made(self, tmp_path: Path) -> None:
        Database(tmp_path / "new" / "calls.db").close()
        assert (tmp_path / "new" / "calls.db").is_file()

    def test_a_file_can_be_read_by_its_owner_only(self, file: Path) -> None:
        Database(file).close()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600

    def test_a_database_that_fails_later_says_so_in_one_line(self, file: Path) -> None:
        with Database(file, wait_s=0) as database:
            other = sqlite3.connect(file, isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(DatabaseError, match=f"the database {file} failed \\(database is locked\\)"):
                database.add_audit("mia", "export")
            other.close()
            database.add_audit("mia", "export")
            assert len(database.audit()) == 1


class TestServers:
    def test_a_server_that_is_not_there_is_one_line(self, tmp_path: Path) -> None:
        pytest.importorskip("psycopg")
        with pytest.raises(InputError, match="cannot open the database postgresql") as raised:
            Database(f"postgresql://ser:{SECRET}@/calls?host={tmp_path}")
        assert SECRET not in str(raised.value)
        assert "\n" not in str(raised.value)

    def test_a_missing_driver_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "psycopg", None)
        with pytest.raises(InputError, match="PostgreSQL needs psycopg; install it with"):
            Database("postgresql://ser@host/calls")
