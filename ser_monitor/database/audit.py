"""Audit: who changed what of that which is kept, and when."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ser_monitor.database.periods import Moment, Selection
from ser_monitor.database.queries import Queries
from ser_monitor.database.schema import audit

if TYPE_CHECKING:
    import pandas as pd

SYSTEM = "ser_monitor"  # author of what nobody has asked for in person


class Audit(Queries):
    """The list of changes."""

    def audit(self, since: Moment = None, until: Moment = None) -> "pd.DataFrame":
        """Return one row for each change, by its moment: at, author, action, target, details.

        Raises:
            DatabaseError: the database failed.
            InputError: a moment is not written as it has to be.
        """
        columns = [column for column in audit.c if column.name != "id"]
        conditions = Selection(since, until).conditions(audit.c.at)
        return self._table(sa.select(*columns).where(*conditions).order_by(audit.c.at, audit.c.id))

    def add_audit(self, author: str, action: str, target: str = "", details: Mapping[str, Any] | None = None) -> None:
        """Add a change to the list.

        Args:
            author: who made it.
            action: what was done, such as "export".
            target: with what.
            details: more of it, as JSON values.

        Raises:
            DatabaseError: the database failed.
        """
        with self.writing() as connection:
            insert_change(connection, author, action, target, details or {})


def insert_change(connection: sa.Connection, author: str, action: str, target: str, details: Mapping[str, Any]) -> int:
    """Add a change to the list within a transaction, and return the number of its row.

    Args:
        connection: that of a transaction that writes.
        author: who made it.
        action: what was done.
        target: with what.
        details: more of it, as JSON values.
    """
    values = {"author": author, "action": action, "target": target, "details": dict(details)}
    return connection.scalars(audit.insert().values(at=datetime.now(UTC), **values).returning(audit.c.id)).one()


def update_details(connection: sa.Connection, row: int, details: Mapping[str, Any]) -> None:
    """Replace the details of a change within a transaction.

    Args:
        connection: that of a transaction that writes.
        row: the number that `insert_change` gave.
        details: the new ones, as JSON values.
    """
    connection.execute(audit.update().where(audit.c.id == row).values(details=dict(details)))
