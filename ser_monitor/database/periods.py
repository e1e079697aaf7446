"""Periods: from when to when, as moments or as people write them, and what of the database they choose."""

import dataclasses
import re
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from ser_embed.errors import InputError
from ser_monitor.database.schema import sessions, sources

Moment = datetime | str | None
"""A moment with a time zone, text as `parse_moment` takes it, or no bound."""

_UNITS = {"min": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGO = re.compile(r"(?P<number>\d{1,6})\s*(?P<unit>min|h|d|w)")
_EXPECTED = "7d, 24h, 30min, 2026-11-01 or 2026-11-01T09:00+01:00"


def parse_moment(value: Moment, now: datetime | None = None) -> datetime | None:
    """Return a moment in UTC; None stays None.

    >>> parse_moment("2026-11-01").isoformat()
    '2026-11-01T00:00:00+00:00'
    >>> parse_moment("7d", now=datetime(2026, 11, 8, tzinfo=UTC)).isoformat()
    '2026-11-01T00:00:00+00:00'

    Args:
        value: a moment with a time zone; or text: so long ago, or a date or moment, in UTC unless it says otherwise.
        now: the present moment; None asks the clock.

    Raises:
        InputError: it is none of these.
    """
    if value is None:
        return None
    if isinstance(value, datetime) and value.tzinfo is None:
        raise InputError(f"a moment has to have a time zone, not {value.isoformat()}")
    try:
        moment = value if isinstance(value, datetime) else _parse(value.strip(), now or datetime.now(UTC))
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InputError(f"a moment has to be like {_EXPECTED}, not {str(value)!r}") from None


def _parse(text: str, now: datetime) -> datetime:
    if ago := _AGO.fullmatch(text):
        return now - timedelta(**{_UNITS[ago["unit"]]: int(ago["number"])})
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@dataclasses.dataclass(frozen=True)
class Selection:
    """What of the database is asked for; None chooses all.

    Attributes:
        since: the first moment.
        until: the moment after the last.
        source: name of the source.
        speaker: name of the speaker; "" is speakers without a name.
        kind: of segments or of alerts.
    """

    since: Moment = None
    until: Moment = None
    source: str | None = None
    speaker: str | None = None
    kind: str | None = None

    def conditions(
        self, moment: sa.Column[datetime], kind: sa.Column[str] | None = None
    ) -> list[sa.ColumnElement[bool]]:
        """Return the conditions on rows that are joined with their session and source.

        Args:
            moment: column that lies in the period.
            kind: column of the kind, where there is one.

        Raises:
            InputError: the period is not written as `parse_moment` takes it.
        """
        since, until = parse_moment(self.since), parse_moment(self.until)
        chosen = {sources.c.name: self.source, sessions.c.speaker: self.speaker}
        if kind is not None:
            chosen[kind] = self.kind
        conditions = [column == value for column, value in chosen.items() if value is not None]
        if since is not None:
            conditions.append(moment >= since)
        if until is not None:
            conditions.append(moment < until)
        return conditions
