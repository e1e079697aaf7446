"""Schema: the tables of a monitor's database, and how their values are kept.

Times are in UTC and have a time zone, in and out. What no database holds in a text, names of files that are not UTF-8
and zero characters, is kept escaped. Speakers and sources of alerts are written out, so that the last alert of a rule
is one look into an index.
"""

import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

FORMAT = "ser-monitor"
VERSION = 1  # of the tables


class UtcDateTime(TypeDecorator[datetime]):
    """A moment with a time zone; SQLite, which has no type for one, keeps the text of the moment in UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the moment in UTC.

        Raises:
            ValueError: it has no time zone.
        """
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a moment has to have a time zone, not {value.isoformat()}")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the moment with UTC as its time zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class AnyText(TypeDecorator[str]):
    """Any text, with what is no UTF-8 and zero characters as escapes."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Return the text that is kept."""
        return None if value is None else storable(value)


class Json(TypeDecorator[Any]):
    """A JSON value, kept as its text, so that numbers come back to the last digit and keys in their order."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str:
        """Return the text of the value.

        Raises:
            ValueError: it is or holds a number that is not finite.
            TypeError: it is or holds no JSON value.
        """
        return json.dumps(value, separators=(",", ":"), allow_nan=False)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """Return the value."""
        return None if value is None else json.loads(value)


def storable(text: str) -> str:
    r"""Return a text that both databases can hold: what is no UTF-8, and zero characters, become escapes.

    >>> print(storable("caf\udce9.wav"))
    caf\udce9.wav
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\x00")


_RowId = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by itself only where the type is INTEGER


def _session_key() -> ForeignKey:
    return ForeignKey("sessions.id", ondelete="CASCADE")


metadata = MetaData()

about = Table("about", metadata, Column("format", Text, primary_key=True), Column("version", Integer, nullable=False))

sources = Table(
    "sources",
    metadata,
    Column("id", _RowId, primary_key=True),
    Column("name", AnyText, nullable=False, unique=True),
    Column("kind", AnyText, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", AnyText, primary_key=True),
    Column("source_id", ForeignKey("sources.id"), nullable=False, index=True),
    Column("speaker", AnyText, nullable=False, index=True),
    Column("recording", AnyText, nullable=False),
    Column("run", AnyText, nullable=False),
    Column("labels", Json, nullable=False),
    Column("settings", Json, nullable=False),
    Column("started_at", UtcDateTime, nullable=False, index=True),
    Column("ended_at", UtcDateTime),
    Column("end_reason", AnyText),
    Column("facts", Json),
    Column("process", AnyText, nullable=False),
)

segments = Table(
    "segments",
    metadata,
    Column("id", _RowId, primary_key=True),
    Column("session_id", AnyText, _session_key(), nullable=False),
    Column("number", Integer, nullable=False),
    Column("kind", AnyText, nullable=False),
    Column("start_s", Float, nullable=False),
    Column("end_s", Float, nullable=False),
    Column("started_at", UtcDateTime, nullable=False, index=True),
    Column("speech", Float, nullable=False),
    Column("label", AnyText, nullable=False),
    Column("confidence", Float),
    Column("probabilities", Json, nullable=False),
    Column("smoothed", Json, nullable=False),
    Column("activation", Float),
    Column("ood_score", Float),
    Column("enrolled", Integer, nullable=False),
    Column("hop_s", Float, nullable=False),
    Column("delay_s", Float, nullable=False),
    UniqueConstraint("session_id", "number"),
)

alerts = Table(
    "alerts",
    metadata,
    Column("id", AnyText, primary_key=True),
    Column("kind", AnyText, nullable=False),
    Column("rule", AnyText, nullable=False),
    Column("session_id", AnyText, _session_key(), nullable=False, index=True),
    Column("source", AnyText, nullable=False),
    Column("speaker", AnyText, nullable=False),
    Column("began_at", UtcDateTime, nullable=False),
    Column("raised_at", UtcDateTime, nullable=False, index=True),
    Column("ended_at", UtcDateTime),
    Column("value", Float),
    Column("message", AnyText, nullable=False),
    Column("channels", Json, nullable=False),
    Column("acknowledged_at", UtcDateTime),
    Column("acknowledged_by", AnyText),
    Index("ix_alerts_rule", "rule", "source", "speaker", "raised_at"),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("alert_id", AnyText, ForeignKey("alerts.id", ondelete="CASCADE"), primary_key=True),
    Column("channel", AnyText, primary_key=True),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at", UtcDateTime, nullable=False),
    Column("sent_at", UtcDateTime),
    Column("error", AnyText),
    Index("ix_deliveries_state", "state", "next_attempt_at"),
)

feedback = Table(
    "feedback",
    metadata,
    Column("id", _RowId, primary_key=True),
    Column("session_id", AnyText, nullable=False),
    Column("number", Integer, nullable=False),
    Column("emotion", AnyText, nullable=False),
    Column("author", AnyText, nullable=False),
    Column("created_at", UtcDateTime, nullable=False, index=True),
    Column("note", AnyText, nullable=False),
    UniqueConstraint("session_id", "number", "author"),
    ForeignKeyConstraint(["session_id", "number"], ["segments.session_id", "segments.number"], ondelete="CASCADE"),
)

users = Table(
    "users",
    metadata,
    Column("id", _RowId, primary_key=True),
    Column("name", AnyText, nullable=False, unique=True),
    Column("role", AnyText, nullable=False),
    Column("password_hash", AnyText),
    Column("created_at", UtcDateTime, nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", _RowId, primary_key=True),
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("name", AnyText, nullable=False),
    Column("token_hash", AnyText, nullable=False, unique=True),
    Column("scopes", Json, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("last_used_at", UtcDateTime),
)

audit = Table(
    "audit",
    metadata,
    Column("id", _RowId, primary_key=True),
    Column("at", UtcDateTime, nullable=False, index=True),
    Column("author", AnyText, nullable=False),
    Column("action", AnyText, nullable=False),
    Column("target", AnyText, nullable=False),
    Column("details", Json, nullable=False),
)
