"""Batches: items written to the database in one transaction, in the order in which they came about.

Writing the same item again changes nothing, so that a batch can be repeated whenever it is not certain that it was
committed.
"""

import itertools
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from ser_monitor.database import schema
from ser_monitor.database.processes import this_process
from ser_monitor.database.records import (
    PENDING,
    alert_record,
    event_record,
    session_end_record,
    session_record,
)
from ser_monitor.events import Alert, AlertEnd, Event, Item, Session, SessionEnd

AT_ONCE = datetime(1970, 1, 1, tzinfo=UTC)  # when the first attempt of a delivery is due, by any clock


def write_items(connection: sa.Connection, items: Sequence[Item]) -> None:
    """Write items within the connection's transaction.

    Args:
        connection: that of a transaction that writes.
        items: in the order in which they came about.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database failed, or an item cannot be written.
        ValueError: an item holds what no database keeps.
    """
    for kind, group in itertools.groupby(items, key=type):
        _WRITERS[kind](connection, list(group))


def name_of(item: Item) -> str:
    """Return what an item is, for messages, without what it says of anybody."""
    if isinstance(item, Event):
        return f"event {item.number} of session {item.session_id}"
    if isinstance(item, (Alert, AlertEnd)):
        return f"alert {item.id if isinstance(item, Alert) else item.alert_id}"
    return f"session {item.id if isinstance(item, Session) else item.session_id}"


def insert_new(connection: sa.Connection, table: sa.Table) -> Any:
    """Return a statement that inserts rows, apart from those that the table has already."""
    if connection.dialect.name == sqlite.dialect.name:
        return sqlite.insert(table).on_conflict_do_nothing()
    return postgresql.insert(table).on_conflict_do_nothing()


def _write_sessions(connection: sa.Connection, sessions: Sequence[Session]) -> None:
    for session in sessions:
        source = {"name": session.source, "kind": session.kind, "created_at": session.started_at}
        connection.execute(insert_new(connection, schema.sources), source)
        by_name = sa.select(schema.sources.c.id).where(schema.sources.c.name == session.source).scalar_subquery()
        row = session_record(session, this_process())
        connection.execute(insert_new(connection, schema.sessions).values(**row, source_id=by_name))


def _write_session_ends(connection: sa.Connection, ends: Sequence[SessionEnd]) -> None:
    for end in ends:
        update = schema.sessions.update().where(schema.sessions.c.id == end.session_id)
        connection.execute(update.values(session_end_record(end)))


def _write_events(connection: sa.Connection, events: Sequence[Event]) -> None:
    connection.execute(insert_new(connection, schema.segments), [event_record(event) for event in events])


def _write_alerts(connection: sa.Connection, alerts: Sequence[Alert]) -> None:
    connection.execute(insert_new(connection, schema.alerts), [alert_record(alert) for alert in alerts])
    deliveries = [_delivery(alert.id, channel) for alert in alerts for channel in alert.channels]
    if deliveries:
        connection.execute(insert_new(connection, schema.deliveries), deliveries)


def _delivery(alert_id: str, channel: str) -> dict[str, Any]:
    return {"alert_id": alert_id, "channel": channel, "state": PENDING, "attempts": 0, "next_attempt_at": AT_ONCE}


def _write_alert_ends(connection: sa.Connection, ends: Sequence[AlertEnd]) -> None:
    for end in ends:
        update = schema.alerts.update().where(schema.alerts.c.id == end.alert_id)
        connection.execute(update.values(ended_at=end.ended_at))


_WRITERS: dict[type, Callable[[sa.Connection, Any], None]] = {
    Session: _write_sessions,
    SessionEnd: _write_session_ends,
    Event: _write_events,
    Alert: _write_alerts,
    AlertEnd: _write_alert_ends,
}
