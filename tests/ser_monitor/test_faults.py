"""Listening through faults: kills, a webhook that is down, a server that is restarted; see `faults`."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.ser_monitor.conftest import DURABLE, PostgresServer

ROOT = Path(__file__).parents[2]


def run(folder: Path, kills: int, *options: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.ser_monitor.faults", str(folder / "faults"), str(kills), *options]
    process = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=3000)
    assert process.returncode == 0, process.stderr[-2000:]
    return json.loads(process.stdout)


def require_nothing_lost(result: dict[str, Any]) -> None:
    assert result["shown"] > 0
    assert result["alerts"] > 0
    assert result["refused"] > 0
    assert result["last_exit_code"] == 0
    for name in ("shown_but_lost", "alerts_never_received", "received_without_alert", "open_sessions"):
        assert result[name] == 0, (name, result)
    assert result["sessions_with_gaps"] == []


@pytest.mark.slow
def test_fifty_kills_lose_nothing_that_was_shown_and_every_alert_arrives(tmp_path: Path) -> None:
    result = run(tmp_path, 50)
    assert result["killed"] == 50
    require_nothing_lost(result)


@pytest.mark.slow
def test_a_server_that_is_restarted_under_load_loses_nothing(postgres_server: PostgresServer, tmp_path: Path) -> None:
    user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
    program, data = postgres_server.programs / "pg_ctl", postgres_server.folder / "data"
    restart = [*user, str(program), "-D", str(data), "-w", "-m", "immediate", "-l", "/dev/null", "restart"]
    command = f"cd {postgres_server.folder} && {shlex.join(restart)}"
    result = run(tmp_path, 12, "--database", postgres_server.url() + DURABLE, "--restart", command)
    assert result["restarts"] > 0
    assert result["exit_codes"] == [0]
    require_nothing_lost(result)
