"""Deliveries: what of an alert has still to be sent through which channel, and what became of it."""

import dataclasses
from datetime import datetime

import sqlalchemy as sa

from ser_monitor.database.connection import OpenDatabase
from ser_monitor.database.records import FAILED, PENDING, SENT, alert_from
from ser_monitor.database.schema import alerts, deliveries
from ser_monitor.events import Alert

_CLAIMED_AT_ONCE = 100  # what can be sent before others may claim it, and no longer a query than SQLite takes


@dataclasses.dataclass(frozen=True)
class Delivery:
    """An alert that has to be sent through a channel.

    Attributes:
        alert: the alert.
        channel: one of its channels.
        attempts: number of attempts that have failed.
    """

    alert: Alert
    channel: str
    attempts: int


class Deliveries(OpenDatabase):
    """Deliveries of alerts."""

    def last_raised(self, rule: str, source: str, speaker: str) -> datetime | None:
        """Return the moment at which a rule last raised an alert for a source and a speaker; None if never.

        Args:
            rule: name of the rule.
            source: name of the source.
            speaker: the speaker, or "".

        Raises:
            DatabaseError: the database failed.
        """
        of_rule = (alerts.c.rule == rule) & (alerts.c.source == source) & (alerts.c.speaker == speaker)
        with self.reading() as connection:
            return connection.scalar(sa.select(sa.func.max(alerts.c.raised_at)).where(of_rule))

    def due_deliveries(self, now: datetime) -> list[Delivery]:
        """Return the deliveries whose next attempt is due, in the order in which their alerts were raised.

        Raises:
            DatabaseError: the database failed.
        """
        with self.reading() as connection:
            return _deliveries(connection, deliveries.c.next_attempt_at <= now)

    def claim_deliveries(self, now: datetime, until: datetime) -> list[Delivery]:
        """Return some of the deliveries that are due, the oldest, and let no other process see them for a while.

        So an alert is sent once where several processes share a database. What is neither sent nor has failed by then
        is due again, as the process that claimed it has been killed.

        Args:
            now: the present moment.
            until: when another process may send them, if nothing has been recorded of them by then.

        Raises:
            DatabaseError: the database failed.
        """
        with self.writing() as connection:
            keys = deliveries.c.alert_id, deliveries.c.channel
            is_due = (deliveries.c.state == PENDING) & (deliveries.c.next_attempt_at <= now)
            oldest = sa.select(*keys).where(is_due).order_by(deliveries.c.next_attempt_at).limit(_CLAIMED_AT_ONCE)
            due = connection.execute(oldest.with_for_update(skip_locked=True)).all()
            claimed = sa.or_(sa.false(), *(_is(row.alert_id, row.channel) for row in due))
            connection.execute(deliveries.update().where(claimed).values(next_attempt_at=until))
            return _deliveries(connection, claimed)

    def next_delivery_at(self) -> datetime | None:
        """Return when the next attempt of any delivery is due; None if nothing has to be sent.

        Raises:
            DatabaseError: the database failed.
        """
        next_at = sa.select(sa.func.min(deliveries.c.next_attempt_at)).where(deliveries.c.state == PENDING)
        with self.reading() as connection:
            return connection.scalar(next_at)

    def record_sent(self, alert_id: str, channel: str, at: datetime) -> None:
        """Note that an alert has been sent.

        Args:
            alert_id: the alert.
            channel: the channel it went through.
            at: when.

        Raises:
            DatabaseError: the database failed.
        """
        self._change(alert_id, channel, state=SENT, sent_at=at, error=None)

    def record_failure(self, alert_id: str, channel: str, error: str, next_attempt_at: datetime | None) -> None:
        """Note that an attempt to send an alert has failed.

        Args:
            alert_id: the alert.
            channel: the channel that failed.
            error: what went wrong, in one line.
            next_attempt_at: when to try again; None gives up.

        Raises:
            DatabaseError: the database failed.
        """
        if next_attempt_at is None:
            self._change(alert_id, channel, state=FAILED, error=error)
        else:
            self._change(alert_id, channel, next_attempt_at=next_attempt_at, error=error)

    def _change(self, alert_id: str, channel: str, **values: object) -> None:
        """Change a delivery that is still pending, after one more attempt."""
        is_pending = _is(alert_id, channel) & (deliveries.c.state == PENDING)
        update = deliveries.update().where(is_pending).values(attempts=deliveries.c.attempts + 1, **values)
        with self.writing() as connection:
            connection.execute(update)


def _is(alert_id: str, channel: str) -> sa.ColumnElement[bool]:
    return (deliveries.c.alert_id == alert_id) & (deliveries.c.channel == channel)


def _deliveries(connection: sa.Connection, condition: sa.ColumnElement[bool]) -> list[Delivery]:
    """Return the pending deliveries that meet a condition."""
    query = sa.select(alerts, deliveries.c.channel, deliveries.c.attempts).join_from(deliveries, alerts)
    query = query.where(deliveries.c.state == PENDING, condition)
    rows = connection.execute(query.order_by(alerts.c.raised_at, alerts.c.id, deliveries.c.channel)).mappings()
    return [Delivery(alert_from(dict(row)), row["channel"], row["attempts"]) for row in rows]
