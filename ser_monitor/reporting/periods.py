"""Periods of reports: stretches of time that begin and end at wall clock times of a time zone.

Moments are in UTC; days and hours are those of the zone. The days of a period, and the periods of a cycle, meet without
a gap whatever the clocks do: where a day begins with an hour that is left out, it begins with the next one.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ser_embed.errors import InputError

_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_DURATION = re.compile(r"(?P<count>[1-9]\d{0,4})(?P<unit>[mhdw])")
_DAYS_AGO = {"today": 0, "yesterday": 1}
_CYCLE_UNITS = {"h": 1, "d": 24, "w": 7 * 24}  # hours
_LONGEST_CYCLE_H = 366 * 24


@dataclass(frozen=True)
class Period:
    """A stretch of time.

    Attributes:
        since: its begin, in UTC.
        until: its end, which does not belong to it, in UTC.
        zone: the time zone of its days and hours.
    """

    since: datetime
    until: datetime
    zone: tzinfo

    @property
    def name(self) -> str:
        """Name for files: its date or its first and last, with wall clock times where it does not end at midnight."""
        if not self._is_of_whole_days:
            return "_".join(self.local(moment).strftime("%Y-%m-%dT%H%M%z") for moment in (self.since, self.until))
        first, last = self._dates
        return first.isoformat() if first == last else f"{first.isoformat()}_{last.isoformat()}"

    @property
    def words(self) -> str:
        """The period in words."""
        if not self._is_of_whole_days:
            return " to ".join(f"{_day(at)}, {at:%H:%M}" for at in map(self.local, (self.since, self.until)))
        return " to ".join(f"{day:%A}, {_day(day)}" for day in dict.fromkeys(self._dates))

    @property
    def hours(self) -> float:
        """Its length in hours."""
        return (self.until - self.since) / timedelta(hours=1)

    def local(self, moment: datetime) -> datetime:
        """Return a moment as the clocks of the zone show it."""
        return moment.astimezone(self.zone)

    def days(self) -> Iterator["Period"]:
        """Yield the period day by day; the first and the last may be parts of a day."""
        begin = self.since
        while begin < self.until:
            end = min(self.until, midnight(self.local(begin).date() + timedelta(days=1), self.zone))
            yield Period(begin, end, self.zone)
            begin = end

    @property
    def _is_of_whole_days(self) -> bool:
        return all(midnight(self.local(moment).date(), self.zone) == moment for moment in (self.since, self.until))

    @property
    def _dates(self) -> tuple[date, date]:
        """The first and the last day."""
        return self.local(self.since).date(), self.local(self.until - timedelta(microseconds=1)).date()


@dataclass(frozen=True)
class Cycle:
    """Periods that follow one another: hours of a day, or days; those of seven days begin on Mondays.

    Attributes:
        hours: length of each: a divisor of 24, or days.
        zone: the time zone in which they are aligned.
    """

    hours: int
    zone: tzinfo

    @classmethod
    def parse(cls, text: str, zone: tzinfo) -> "Cycle":
        """Read a length such as 6h, 1d or 1w.

        Raises:
            InputError: it is no such length.
        """
        match = _DURATION.fullmatch(text)
        hours = int(match["count"]) * _CYCLE_UNITS.get(match["unit"], 0) if match else 0
        if not 0 < hours <= _LONGEST_CYCLE_H or (24 % hours and hours % 24):
            raise InputError(f"--every has to be hours that divide a day, or days or weeks (6h, 1d, 1w), not {text!r}")
        return cls(hours, zone)

    def begin(self, moment: datetime) -> datetime:
        """Return the begin of the period that a moment is in."""
        return max(boundary for boundary in self._boundaries(moment) if boundary <= moment)

    def end(self, moment: datetime) -> datetime:
        """Return the end of the period that a moment is in, which is after the moment."""
        return min(boundary for boundary in self._boundaries(moment) if boundary > moment)

    def whole_periods(self, since: datetime, until: datetime) -> list[Period]:
        """Return the periods that begin and end between two moments.

        Args:
            since: none begins before this.
            until: none ends after this.
        """
        periods = []
        begin = since if self.begin(since) == since else self.end(since)
        while (end := self.end(begin)) <= until:
            periods.append(Period(begin, end, self.zone))
            begin = end
        return periods

    def _boundaries(self, moment: datetime) -> list[datetime]:
        """Return the ends of periods around a moment."""
        day = moment.astimezone(self.zone).date()
        if self.hours < 24:
            times = [time(hour) for hour in range(0, 24, self.hours)]
            inside = [datetime.combine(day, at, self.zone).astimezone(UTC) for at in times]
            return [*inside, midnight(day + timedelta(days=1), self.zone)]
        days = self.hours // 24
        first = date.fromordinal((day.toordinal() - 1) // days * days + 1)  # day 1 is a Monday
        return [midnight(first, self.zone), midnight(first + timedelta(days=days), self.zone)]


def _day(day: date) -> str:
    return f"{day.day} {day:%B %Y}"


def midnight(day: date, zone: tzinfo) -> datetime:
    """Return the moment at which a day begins, in UTC.

    Args:
        day: the day.
        zone: its time zone.
    """
    return datetime.combine(day, time(), zone).astimezone(UTC)


def parse_zone(name: str | None) -> tzinfo:
    """Return a time zone by its name, such as Europe/Berlin; that of the machine without one.

    Raises:
        InputError: there is no such zone.
    """
    if name is None:
        from tzlocal import get_localzone

        return get_localzone()
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InputError(f"--timezone has to be a name such as Europe/Berlin or UTC, not {name!r}") from error


def parse_moment(text: str, flag: str, now: datetime, zone: tzinfo) -> datetime:
    """Read a moment, in UTC.

    Args:
        text: a time back from now (90m, 24h, 7d, 2w), today or yesterday for the midnight they begin with, a date, or a
            date and time; without an offset it is a time of the zone.
        flag: where it came from, for the message.
        now: the present moment.
        zone: the time zone.

    Raises:
        InputError: it is none of these.

    >>> parse_moment("2w", "--since", datetime(2026, 11, 28, 12, tzinfo=UTC), UTC).isoformat()
    '2026-11-14T12:00:00+00:00'
    """
    try:
        if match := _DURATION.fullmatch(text):
            return (now - int(match["count"]) * _UNITS[match["unit"]]).astimezone(UTC)
        if text in _DAYS_AGO:
            return midnight(now.astimezone(zone).date() - timedelta(days=_DAYS_AGO[text]), zone)
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InputError(f"{flag} has to be 24h, 7d, today, yesterday or a date (2026-11-01), not {text!r}") from error
