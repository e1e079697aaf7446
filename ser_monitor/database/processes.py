"""Processes: which sessions are still running, and an end for those whose process is gone.

A process is known by its machine, its number and its start, as numbers are given out again. Processes of other
machines, which may share a PostgreSQL, are taken to be running.
"""

import functools
import os
import platform
from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa

from ser_monitor.database.connection import OpenDatabase
from ser_monitor.database.schema import alerts, segments, sessions

INTERRUPTED = "interrupted"  # reason of the end of a session whose process was killed
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_STATE, _STARTED = 0, 19  # fields of /proc/PID/stat after the name of the program
_DEAD = "ZXx"  # states of a process that has ended


@functools.cache
def identity_of(process: int) -> str:
    """Return the identity of a running process of this machine: machine, number and start, with colons between."""
    return f"{platform.node()}:{process}:{_start_of(process)}"


def this_process() -> str:
    """Return the identity of this process."""
    return identity_of(os.getpid())


def is_running(identity: str) -> bool:
    """Tell whether a process is running, as far as this machine knows.

    Args:
        identity: see `identity_of`.
    """
    machine, process, start = identity.rsplit(":", 2)
    if machine != platform.node() or os.name == "nt":  # asking would end it there
        return True
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return _start_of(int(process)) == start


def _start_of(process: int) -> str:
    """Return when a process was started, as text that no other process of its number has; "" if it has ended.

    Where the system does not tell, it is "" for all.
    """
    try:
        fields = Path(f"/proc/{process}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        boot = _BOOT.read_text("utf-8")[:8]
    except OSError:
        return ""
    return "" if fields[_STATE] in _DEAD else f"{boot}-{fields[_STARTED]}"


class SessionRecovery(OpenDatabase):
    """Sessions whose process was killed."""

    def close_interrupted_sessions(self) -> int:
        """End the sessions, and their alerts, whose process is gone: at the end of their last event.

        Returns:
            Number of sessions that were ended.

        Raises:
            DatabaseError: the database failed.
        """
        with self.writing() as connection:
            running = sa.select(sessions.c.id, sessions.c.process).where(sessions.c.ended_at.is_(None))
            interrupted = [row.id for row in connection.execute(running) if not is_running(row.process)]
            for session_id in interrupted:
                _end(connection, session_id)
        return len(interrupted)


def _end(connection: sa.Connection, session_id: str) -> None:
    of_session = segments.c.session_id == session_id
    columns = segments.c.started_at, segments.c.start_s, segments.c.end_s
    last = connection.execute(
        sa.select(*columns).where(of_session).order_by(segments.c.number.desc()).limit(1)
    ).one_or_none()
    started_at = sa.select(sessions.c.started_at).where(sessions.c.id == session_id)
    ended_at = last.started_at + timedelta(seconds=last.end_s - last.start_s) if last else connection.scalar(started_at)
    end = {"ended_at": ended_at, "end_reason": INTERRUPTED}
    connection.execute(sessions.update().where(sessions.c.id == session_id).values(end))
    is_open = (alerts.c.session_id == session_id) & alerts.c.ended_at.is_(None)
    connection.execute(alerts.update().where(is_open).values(ended_at=ended_at))
