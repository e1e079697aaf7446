"""Feedback: what people say of segments and alerts."""

from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from ser_embed.errors import InputError
from ser_embed.manifest import EMOTIONS
from ser_monitor.database.connection import OpenDatabase
from ser_monitor.database.schema import alerts, feedback, segments, sessions


class Feedback(OpenDatabase):
    """Corrections of segments and acknowledgements of alerts."""

    def add_feedback(self, session_id: str, number: int, emotion: str, author: str, note: str = "") -> None:
        """Keep a person's correction of a segment; a later one by the same author replaces it.

        Args:
            session_id: the segment's session.
            number: the segment's number in the session.
            emotion: what the author heard: one of the session's classes, or of `ser_embed.manifest.EMOTIONS`.
            author: who corrects.
            note: anything else to say.

        Raises:
            InputError: there is no such segment or emotion, or no author.
            DatabaseError: the database failed.
        """
        for name, value in {"emotion": emotion, "author": author}.items():
            if not value.strip():
                raise InputError(f"a correction has to have an {name}, not {value!r}")
        key = {"session_id": session_id, "number": number, "author": author}
        values = {"emotion": emotion, "note": note, "created_at": datetime.now(UTC)}
        with self.writing() as connection:
            labels = _labels(connection, session_id, number)
            if labels is None:
                raise InputError(
                    f"expected a segment in {self.name}, found no number {number} in session {session_id!r}"
                )
            if emotion not in (*labels, *EMOTIONS):
                names = ", ".join(dict.fromkeys([*labels, *EMOTIONS]))
                raise InputError(f"a correction has to be one of {names}, not {emotion!r}")
            dialect = sqlite if self.is_sqlite else postgresql
            insert = dialect.insert(feedback).values(**key, **values)
            connection.execute(insert.on_conflict_do_update(index_elements=list(key), set_=values))

    def acknowledge(self, alert_id: str, author: str, at: datetime | None = None) -> None:
        """Note that a person has seen an alert; the first one stays noted.

        Args:
            alert_id: the alert.
            author: who has seen it.
            at: when; None is now.

        Raises:
            InputError: there is no such alert, or no author.
            DatabaseError: the database failed.
        """
        if not author.strip():
            raise InputError(f"an acknowledgement has to have an author, not {author!r}")
        values = {
            "acknowledged_at": sa.func.coalesce(alerts.c.acknowledged_at, sa.bindparam("at", at or datetime.now(UTC))),
            "acknowledged_by": sa.func.coalesce(alerts.c.acknowledged_by, author),
        }
        with self.writing() as connection:
            changed = connection.execute(alerts.update().where(alerts.c.id == alert_id).values(values))
            if changed.rowcount == 0:
                raise InputError(f"expected an alert in {self.name}, found none with the id {alert_id!r}")


def _labels(connection: sa.Connection, session_id: str, number: int) -> list[str] | None:
    """Return the classes of a segment's session; None if there is no such segment."""
    of_segment = (segments.c.session_id == session_id) & (segments.c.number == number)
    return connection.scalar(sa.select(sessions.c.labels).join_from(segments, sessions).where(of_segment))
