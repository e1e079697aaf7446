"""Identities of processes."""

import subprocess
import sys

import pytest

from ser_monitor.database import processes
from ser_monitor.database.processes import identity_of, is_running, this_process


def test_this_process_is_running_and_an_earlier_one_of_its_number_is_not() -> None:
    own = this_process()
    machine, number, start = own.rsplit(":", 2)
    assert is_running(own)
    assert not is_running(f"{machine}:{number}:{start}0")


def test_a_process_that_has_ended_is_not_running() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        identity = identity_of(process.pid)
        assert is_running(identity)
        process.kill()
    assert not is_running(identity)


def test_processes_of_other_machines_are_taken_to_be_running() -> None:
    assert is_running("another-machine:1:1")


def test_the_name_of_a_machine_may_have_colons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes.platform, "node", lambda: "a:b")
    processes.identity_of.cache_clear()
    try:
        assert is_running(this_process())
    finally:
        processes.identity_of.cache_clear()
