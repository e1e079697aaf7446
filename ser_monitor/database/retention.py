"""Retention and erasure: what is deleted because of its age, or because somebody asks for it.

Rows are deleted a few thousand at a time, each lot in its own transaction, so that live events never wait for long. The
audit holds the counts, brought up to date with each lot. At the end a file of SQLite shrinks, and nothing of what was
deleted is left in it.
"""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from ser_embed.errors import InputError
from ser_monitor.database.audit import SYSTEM, Audit, insert_change, update_details
from ser_monitor.database.connection import database_errors
from ser_monitor.database.schema import alerts, feedback, segments, sessions, sources

ROWS_AT_ONCE = 5_000
_PAGES_AT_ONCE = 1_000  # of a SQLite file, 4 MB


class Retention(Audit):
    """Deletion of what is old or has to be forgotten."""

    def apply_retention(self, days: float, now: datetime | None = None, author: str = SYSTEM) -> dict[str, int]:
        """Delete what is older than a number of days: sessions that ended before, and old segments of other sessions.

        Args:
            days: how long segments, alerts, corrections and sessions are kept.
            now: the present moment; None asks the clock.
            author: who asks for it, for the audit.

        Returns:
            Number of deleted segments, alerts, feedback and sessions.

        Raises:
            InputError: `days` is not positive, or reaches back beyond the year 1.
            DatabaseError: the database failed.
        """
        if not days > 0:
            raise InputError(f"--days has to be positive, not {days!r}")
        try:
            before = (now or datetime.now(UTC)) - timedelta(days=days)
        except OverflowError:
            raise InputError(f"--days has to reach back to a year of the calendar, not {days:g}") from None
        deletion = _Deletion(self, author, "retention", f"older than {days:g} days")
        deletion.delete(feedback, _corrects(segments.c.started_at < before))
        deletion.delete(segments, segments.c.started_at < before)
        deletion.delete(alerts, alerts.c.raised_at < before)
        deletion.delete_sessions(sessions.c.ended_at < before)
        self._shrink()
        return dict(deletion.counts)

    def erase(
        self,
        *,
        source: str | None = None,
        speaker: str | None = None,
        session: str | None = None,
        author: str = SYSTEM,
    ) -> dict[str, int]:
        """Delete all that is kept of a source, a speaker or a session.

        Args:
            source: name of the source, which is deleted too.
            speaker: name of the speaker.
            session: id of the session.
            author: who asks for it, for the audit.

        Returns:
            Number of deleted segments, alerts, feedback and sessions.

        Raises:
            InputError: not exactly one of the three is given, or there is no such one.
            DatabaseError: the database failed.
        """
        chosen = {"source": source, "speaker": speaker, "session": session}
        given = {name: value for name, value in chosen.items() if value}
        if len(given) != 1:
            raise InputError("expected one of --source, --speaker and --session")
        ((kind, name),) = given.items()
        condition = {
            "source": sessions.c.source_id.in_(sa.select(sources.c.id).where(sources.c.name == name)),
            "speaker": sessions.c.speaker == name,
            "session": sessions.c.id == name,
        }[kind]
        with self.reading() as connection:
            if connection.scalar(sa.select(sessions.c.id).where(condition).limit(1)) is None:
                raise InputError(f"expected sessions of the {kind} {name!r} in {self.name}, found none")
        deletion = _Deletion(self, author, "erase", session or kind)  # no name: it is to be forgotten
        deletion.delete_sessions(condition)
        if source:
            deletion.delete(sources, (sources.c.name == source) & sources.c.id.not_in(sa.select(sessions.c.source_id)))
        self._shrink()
        return dict(deletion.counts)

    def _shrink(self) -> None:
        """Give the space of deleted rows back, and leave nothing of them in the files."""
        with database_errors(self.name), self.engine.connect() as connection:
            if self.is_sqlite:
                _shrink_file(connection.connection.driver_connection)
            else:
                connection = connection.execution_options(isolation_level="AUTOCOMMIT")
                connection.exec_driver_sql("VACUUM feedback, segments, deliveries, alerts, sessions, sources")


def _shrink_file(connection: Any) -> None:
    """Return the free pages of a SQLite file to the system, and empty its log.

    Args:
        connection: the driver's, outside of transactions.
    """

    def free_pages() -> int:
        return connection.execute("PRAGMA freelist_count").fetchone()[0]

    before, free = math.inf, free_pages()
    while 0 < free < before:
        connection.execute(f"PRAGMA incremental_vacuum({_PAGES_AT_ONCE})").fetchall()  # a page with each row
        before, free = free, free_pages()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


class _Deletion:
    """One deletion of many rows, with its entry in the audit.

    Attributes:
        counts: number of rows deleted so far, by table.
    """

    def __init__(self, database: Audit, author: str, action: str, target: str) -> None:
        self.counts = {table.name: 0 for table in (feedback, segments, alerts, sessions)}
        self._database = database
        with database.writing() as connection:
            self._entry = insert_change(connection, author, action, target, self.counts)

    def delete(self, table: sa.Table, condition: sa.ColumnElement[bool]) -> None:
        """Delete the rows of a table that meet a condition, lot by lot."""
        lot = sa.select(table.c.id).where(condition).limit(ROWS_AT_ONCE)
        is_done = False
        while not is_done:
            with self._database.writing() as connection:
                number = connection.execute(table.delete().where(table.c.id.in_(lot))).rowcount
                self.counts[table.name] = self.counts.get(table.name, 0) + number
                update_details(connection, self._entry, self.counts)
            is_done = number < ROWS_AT_ONCE

    def delete_sessions(self, condition: sa.ColumnElement[bool]) -> None:
        """Delete sessions with all that belongs to them."""
        chosen = sa.select(sessions.c.id).where(condition)
        for table in (feedback, segments, alerts):
            self.delete(table, table.c.session_id.in_(chosen))
        self.delete(sessions, condition)


def _corrects(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    """Return whether a correction is of a segment that meets a condition."""
    of_feedback = (segments.c.session_id == feedback.c.session_id) & (segments.c.number == feedback.c.number)
    return sa.exists().where(of_feedback, condition)
