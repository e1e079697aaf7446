"""Fixtures of monitoring: empty databases in SQLite, and in a PostgreSQL that the tests start for themselves."""

import dataclasses
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ser_monitor.database.connection import POSTGRESQL, SQLITE
from ser_monitor.database.database import Database
from ser_monitor.database.schema import about, metadata

BACKENDS = (SQLITE, POSTGRESQL)
_OWNER = "postgres"  # PostgreSQL refuses to run as root; Debian's package makes this user
DURABLE = "&options=-csynchronous_commit%3Don"  # of a URL, where a test restarts the server, which else forgets commits
_SETTINGS = "-c listen_addresses='' -c fsync=off -c synchronous_commit=off -c shared_buffers=16MB"


@dataclasses.dataclass(frozen=True)
class PostgresServer:
    """A PostgreSQL that listens to a socket in its own folder.

    Attributes:
        folder: of the socket and of the data.
        programs: folder of initdb and pg_ctl.
    """

    folder: Path
    programs: Path

    def url(self, name: str = "postgres") -> str:
        """Return the URL of a database."""
        return f"postgresql+psycopg://{_OWNER}@/{name}?host={self.folder}"

    def execute(self, *statements: str) -> None:
        """Run statements that stand in no transaction."""
        import psycopg

        with psycopg.connect(self.url().replace("+psycopg", ""), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        self.run("pg_ctl", "-w", "-l", f"{self.folder}/log", "-o", f"-k {self.folder} {_SETTINGS}", "start")

    def run(self, program: str, *arguments: str) -> None:
        """Run a program of PostgreSQL on the server's data, as a user that may."""
        user = ["setpriv", f"--reuid={_OWNER}", f"--regid={_OWNER}", "--clear-groups"] if os.geteuid() == 0 else []
        command = [*user, str(self.programs / program), "-D", str(self.folder / "data"), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.folder)


def _programs() -> Path:
    """Return the folder of PostgreSQL's programs, or skip the test."""
    pytest.importorskip("psycopg")
    on_path = shutil.which("pg_ctl")
    folders = [Path(on_path).parent] if on_path else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    folders = [folder for folder in folders if (folder / "initdb").is_file()]
    if not folders:
        pytest.skip("no PostgreSQL is installed: neither pg_ctl nor /usr/lib/postgresql/*/bin is here")
    if os.geteuid() == 0 and _OWNER not in {user.pw_name for user in pwd.getpwall()}:
        pytest.skip(f"PostgreSQL does not run as root, and there is no user {_OWNER}")
    return folders[-1]


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Start a PostgreSQL in a folder of its own, and stop it at the end."""
    programs = _programs()
    with tempfile.TemporaryDirectory(prefix="ser-pg-", ignore_cleanup_errors=True) as name:
        server = PostgresServer(Path(name), programs)
        if os.geteuid() == 0:
            shutil.chown(name, _OWNER, _OWNER)
        server.run("initdb", "--auth=trust", f"--username={_OWNER}", "--encoding=UTF8", "--no-sync")
        server.start()
        try:
            yield server
        finally:
            server.run("pg_ctl", "-m", "immediate", "stop")


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> str:
    """Return the URL of a database without tables, which tests use one after the other."""
    postgres_server.execute("DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    return postgres_server.url()


@pytest.fixture(params=BACKENDS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of a database without tables, once of SQLite and once of PostgreSQL."""
    return str(tmp_path / "monitor.db") if request.param == SQLITE else request.getfixturevalue("postgres_url")


@pytest.fixture(scope="session", params=BACKENDS)
def _database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """Open a database for many tests, as creating its tables takes longer than most of them."""
    if request.param == SQLITE:
        url = str(tmp_path_factory.mktemp("database") / "monitor.db")
    else:
        server = request.getfixturevalue("postgres_server")
        server.execute("CREATE DATABASE shared")
        url = server.url("shared")
    with Database(url) as database:
        yield database


@pytest.fixture
def database(_database: Database) -> Database:
    """Return an open database without content, once of SQLite and once of PostgreSQL."""
    with _database.writing() as connection:
        for table in reversed(metadata.sorted_tables):
            if table is not about:
                connection.execute(table.delete())
    return _database
