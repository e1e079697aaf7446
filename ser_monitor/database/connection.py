"""Connections: a database opened by its URL, SQLite or PostgreSQL, with its tables.

A file of SQLite writes ahead (WAL), so that readers and the writer do not wait for each other, and flushes each commit
to disk. It gives freed pages back step by step, and overwrites what is deleted. Every transaction that writes begins as
one, as SQLite cannot make a writer of a reader that another writer has overtaken.
"""

import contextlib
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from ser_embed.errors import InputError, SerError
from ser_embed.files import exclusive_lock, input_error_on_write, require_writable_folder
from ser_embed.reading import shortened
from ser_monitor.database.schema import FORMAT, VERSION, about, metadata

DEFAULT_FILE = "monitor.db"
WAIT_S = 5.0  # for another process that writes to the same SQLite file
SQLITE, POSTGRESQL = "sqlite", "postgresql"  # SQLAlchemy's names of the dialects
# A server that has gone without a word is noticed within half a minute, not after the system's two hours.
_PATIENCE = {"connect_timeout": 10, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
_UNACKNOWLEDGED_MS = 20_000
_CREATION_WAIT_S = 60  # for another process that creates the tables, which takes it less than a second
_CREATION_LOCK = 0x5E12  # any number that all processes agree on
_OWNER_ONLY = 0o600
_BEGIN = "begin"  # option of a connection: how a transaction of SQLite begins
_INSTALL = "install it with: pip install 'twostage-ser[postgresql]'"
_EXPECTED = "a file, sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME"


class DatabaseError(SerError):
    """The database could not be read or written just now; the same may succeed later."""


class OpenDatabase:
    """An open database, for the classes of this room that ask and change it.

    Attributes:
        engine: SQLAlchemy's, whose pool of connections all threads share.
        name: its URL without a password, or its file, for messages.
    """

    def __init__(self, url: str | Path | None = None, *, create: bool = True, wait_s: float = WAIT_S) -> None:
        """Open a database.

        Args:
            url: a file, a URL of SQLite or PostgreSQL, or None for `DEFAULT_FILE` in the working directory.
            create: whether to create a database that does not exist yet.
            wait_s: how long to wait for another process that writes to the same SQLite file, in seconds.

        Raises:
            InputError: the URL is none, its driver is not installed, the server cannot be reached, or what is there
                is another program's, or of a newer version.
        """
        parsed = parse_url(url)
        self.name = name_of(parsed)
        if parsed.get_backend_name() == SQLITE:
            _require_file(Path(str(parsed.database)), create)
        self.engine = _engine(parsed, wait_s)
        try:
            with _input_errors(self.name):
                _prepare(self.engine, self.name, create)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    @property
    def is_sqlite(self) -> bool:
        """Whether the database is a file of SQLite."""
        return self.engine.dialect.name == SQLITE

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Give a connection to read from.

        Raises:
            DatabaseError: the database cannot be reached.
        """
        with database_errors(self.name), self.engine.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Give a connection to write to, whose changes are committed together when the block ends, or none of them.

        Raises:
            DatabaseError: the database cannot be written to.
        """
        with database_errors(self.name), writer_engine(self.engine).begin() as connection:
            yield connection


def writer_engine(engine: sa.Engine) -> sa.Engine:
    """Return the engine whose transactions take the lock of the one writer when they begin."""
    return engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})


@contextlib.contextmanager
def database_errors(name: str) -> Iterator[None]:
    """Turn what a driver raises into an error of one line.

    Args:
        name: of the database.

    Raises:
        DatabaseError: in place of any error of the driver raised in the block.
    """
    try:
        yield
    except exc.DBAPIError as error:
        raise DatabaseError(f"the database {name} failed ({reason(error)})") from error


def reason(error: Exception) -> str:
    """Return what the driver says went wrong, in one line, without the statement and its values."""
    return shortened(str(getattr(error, "orig", None) or error))


def parse_url(url: str | Path | None) -> sa.URL:
    """Return the URL of a database.

    >>> parse_url("calls.db").render_as_string()
    'sqlite:///calls.db'
    >>> parse_url("postgresql://ser@localhost/calls").drivername
    'postgresql+psycopg'

    Raises:
        InputError: it is no URL of SQLite or PostgreSQL; the message does not repeat it, as it may hold a password.
    """
    text = DEFAULT_FILE if url is None else str(url)
    if "://" not in text:
        return _sqlite_url(text)
    scheme = text.partition("://")[0]
    try:
        parsed = sa.make_url(text)
    except (exc.ArgumentError, ValueError):
        raise InputError(f"--database has to be {_EXPECTED}; this URL cannot be read") from None
    if scheme in (SQLITE, "sqlite+pysqlite") and not (parsed.query or parsed.host):
        return _sqlite_url(parsed.database or "")
    if scheme in (POSTGRESQL, "postgres", "postgresql+psycopg"):
        return parsed.set(drivername="postgresql+psycopg")
    raise InputError(f"--database has to be {_EXPECTED}, not {shortened(scheme)}://...")


def name_of(url: sa.URL) -> str:
    """Return the file or the URL of a database for messages, without a password."""
    if url.get_backend_name() == SQLITE:
        return str(url.database)
    hidden = {key: "***" for key in url.query if re.search("pass", key)}
    return url.update_query_dict(hidden).render_as_string(hide_password=True)


def _sqlite_url(file: str) -> sa.URL:
    if not file or file == ":memory:" or "\0" in file:
        raise InputError(f"--database has to be {_EXPECTED}, not {file!r}")
    return sa.URL.create(SQLITE, database=file)


def _require_file(path: Path, create: bool) -> None:
    """Check that a file may be a database of SQLite, and make an empty one where there is none."""
    if path.is_dir():
        raise InputError(f"--database has to be a file, but {path} is a folder")
    if not path.exists():
        if not create:
            raise InputError(f"expected a database in {path}, found no such file")
        require_writable_folder(path.parent)
        with input_error_on_write(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(_OWNER_ONLY)  # what people say and feel is private; SQLite's other files take after this one


def _engine(url: sa.URL, wait_s: float) -> sa.Engine:
    if url.get_backend_name() == SQLITE:
        engine = sa.create_engine(url, connect_args={"timeout": wait_s})
        sa.event.listen(engine, "connect", _set_up_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
        return engine
    patience = {**_PATIENCE, "tcp_user_timeout": _UNACKNOWLEDGED_MS}
    try:
        return sa.create_engine(url, pool_pre_ping=True, connect_args={**patience, **url.query})
    except ImportError as error:
        raise InputError(f"PostgreSQL needs psycopg; {_INSTALL}") from error


def _set_up_sqlite(connection: Any, _: object) -> None:
    """Set what SQLite forgets with each connection."""
    connection.isolation_level = None  # transactions begin where SQLAlchemy says so, not where the driver guesses
    for setting in ("foreign_keys = ON", "synchronous = FULL", "secure_delete = ON"):
        connection.execute(f"PRAGMA {setting}").close()


def _begin_sqlite(connection: sa.Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN"))


@contextlib.contextmanager
def _input_errors(name: str) -> Iterator[None]:
    try:
        yield
    except (exc.DBAPIError, sqlite3.Error) as error:  # the second where the driver is asked without SQLAlchemy
        raise InputError(f"cannot open the database {name} ({reason(error)})") from error


def _prepare(engine: sa.Engine, name: str, create: bool) -> None:
    """Create the tables where there are none, and check whose they are.

    Raises:
        InputError: they are another program's, or of another version.
    """
    if not _has_tables(engine):
        if not create:
            raise InputError(f"expected a database of ser_monitor in {name}, found an empty one")
        create_tables = _create_in_file if engine.dialect.name == SQLITE else _create_on_server
        create_tables(engine)
    if not sa.inspect(engine).has_table(about.name):
        raise InputError(f"expected a database of ser_monitor, but {name} is another program's")
    with engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT * FROM about").mappings().all()
    if [row.get("format") for row in rows] != [FORMAT] or not isinstance(rows[0].get("version"), int):
        raise InputError(f"expected a database of ser_monitor, but {name} is another program's")
    if rows[0]["version"] != VERSION:
        raise InputError(
            f"expected version {VERSION} of the tables, but {name} has {rows[0]['version']}: "
            "another version of twostage-ser has made it"
        )


def _has_tables(engine: sa.Engine) -> bool:
    return bool(sa.inspect(engine).get_table_names())


def _create_in_file(engine: sa.Engine) -> None:
    """Create the tables of a SQLite file, while no other process does the same."""
    path = Path(str(engine.url.database))
    with exclusive_lock(path, "process", "--database", _CREATION_WAIT_S):
        if _has_tables(engine):
            return
        connection = engine.raw_connection()
        try:
            for setting in ("auto_vacuum = INCREMENTAL", "journal_mode = WAL"):  # both stay with the file
                connection.cursor().execute(f"PRAGMA {setting}").close()
        finally:
            connection.close()
        with writer_engine(engine).begin() as transaction:
            _create(transaction)


def _create_on_server(engine: sa.Engine) -> None:
    """Create the tables in PostgreSQL, one process after the other."""
    with engine.begin() as connection:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_CREATION_LOCK)))
        if not sa.inspect(connection).get_table_names():
            _create(connection)


def _create(connection: sa.Connection) -> None:
    metadata.create_all(connection)
    connection.execute(about.insert().values(format=FORMAT, version=VERSION))
