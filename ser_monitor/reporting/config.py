"""Configuration of reports: the only home of their defaults and bounds."""

import dataclasses
from datetime import datetime, tzinfo
from pathlib import Path

from ser_embed.errors import InputError
from ser_embed.options import check_options, option, require_utf8
from ser_monitor.reporting.periods import Cycle, Period, parse_moment, parse_zone

_SINCE = "7d"


@dataclasses.dataclass(frozen=True)
class ReportConfig:
    """What a report is about and where it goes. The fields are the command's flags; see their help.

    Raises:
        InputError: a value is none that its flag takes, or does not fit another.
    """

    database: str | None = option(
        None, metavar="URL", help="file of an SQLite database, or postgresql+psycopg://... (default: monitor.db)"
    )
    since: str | None = option(
        None,
        metavar="WHEN",
        help="begin of the period: so long ago (24h, 7d, 2w), today, yesterday, or a date (2026-11-01). With --every: "
        f"from when on reports are made at the first start (default: {_SINCE}; with --every, the last whole period)",
    )
    until: str | None = option(
        None, metavar="WHEN", help="end of the period, written likewise, at most now (default: now)"
    )
    every: str | None = option(
        None,
        metavar="TIME",
        help="keep running, and report each period of this length once it is over: 1d, 1w, or hours that divide a day "
        "(default: one report)",
    )
    output: Path = option(Path("reports"), parse=Path, metavar="DIR", help="folder of the reports")
    source: str | None = option(None, metavar="NAME", help="only this source (default: all)")
    speaker: str | None = option(None, metavar="NAME", help="only this speaker (default: all)")
    timezone: str | None = option(
        None, metavar="ZONE", help="time zone of days and hours, such as Europe/Berlin (default: the machine's)"
    )
    runs: Path = option(
        Path("runs"), parse=Path, metavar="DIR", help="folder of runs, with whose tests answers are compared"
    )

    def __post_init__(self) -> None:
        for name in ("output", "runs"):
            object.__setattr__(self, name, Path(getattr(self, name)))
        check_options(self)
        require_utf8(self, "source", "speaker")
        if self.every is not None and self.until is not None:
            raise InputError("--until has no meaning with --every, which goes on until it is stopped")

    @property
    def zone(self) -> tzinfo:
        """The time zone.

        Raises:
            InputError: there is no zone of this name.
        """
        return parse_zone(self.timezone)

    def period(self, now: datetime) -> Period:
        """Return the period of a single report.

        Args:
            now: the present moment.

        Raises:
            InputError: it cannot be read, or ends before it begins.
        """
        zone = self.zone
        until = now if self.until is None else min(now, parse_moment(self.until, "--until", now, zone))
        since = parse_moment(self.since or _SINCE, "--since", now, zone)
        if since >= until:
            raise InputError(f"--since has to be before --until ({until.isoformat()}), not {since.isoformat()}")
        return Period(since, until, zone)

    def cycle(self) -> Cycle | None:
        """Return the periods of a service; None for a single report.

        Raises:
            InputError: --every cannot be read.
        """
        return None if self.every is None else Cycle.parse(self.every, self.zone)

    def first_begin(self, now: datetime) -> datetime | None:
        """Return from when on a service reports at its first start; None for the last whole period.

        Args:
            now: the present moment.

        Raises:
            InputError: --since cannot be read.
        """
        return None if self.since is None else parse_moment(self.since, "--since", now, self.zone)
