"""Fixtures of monitoring: empty databases in SQLite, and in a PostgreSQL that the tests start for themselves."""

import dataclasses
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ser_monitor.database.database import Database

_OWNER = "postgres"  # PostgreSQL refuses to run as root; Debian's package makes this user
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

    @property
    def url(self) -> str:
        """URL of its database."""
        return f"postgresql+psycopg://{_OWNER}@/postgres?host={self.folder}"

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
    """Return the URL of a database without tables, which all tests share one after the other."""
    import psycopg

    with psycopg.connect(postgres_server.url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return postgres_server.url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of an empty database, once of SQLite and once of PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'monitor.db'}"
    return request.getfixturevalue("postgres_url")


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Return an open database without content, once of SQLite and once of PostgreSQL."""
    with Database(database_url) as database:
        yield database
