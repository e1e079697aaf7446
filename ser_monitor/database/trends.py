"""Trends: segments counted by day, hour of the day, speaker or source.

The database counts by quarters of an hour, which every time zone of today is whole of; they are put together to local
days and hours here, so that both databases give the same.
"""

import zoneinfo
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ser_embed.errors import InputError
from ser_monitor.database.periods import Moment, Selection
from ser_monitor.database.queries import Queries
from ser_monitor.database.schema import segments, sessions, sources
from ser_monitor.events import NO_SPEECH, UNCERTAIN, UNFAMILIAR_ABOVE, WINDOW

if TYPE_CHECKING:
    import pandas as pd

SHARE = "share_"
_QUARTER_S = 15 * 60


class Trends(Queries):
    """Segments counted over time, speakers and sources."""

    def trends(
        self,
        by: str = "day",
        since: Moment = None,
        until: Moment = None,
        source: str | None = None,
        speaker: str | None = None,
        zone: str = "UTC",
    ) -> "pd.DataFrame":
        """Return how windows were labelled, one row per group.

        Args:
            by: "day", "hour" (of the day, 0 to 23), "speaker" or "source".
            since: only segments that begin then or later; see `ser_monitor.database.periods.parse_moment`.
            until: only segments that begin before.
            source: only those of this source.
            speaker: only those of this speaker.
            zone: name of the time zone of days and hours, such as "Europe/Berlin".

        Returns:
            The group in a column named as `by` (days as dates); segments; speech_s, the seconds of speech, overlaps
            counted once; scored, the number of segments with speech. Of these: activation, the mean; uncertain and
            unfamiliar, shares; share_<emotion>, the share of each label.

        Raises:
            DatabaseError: the database failed.
            InputError: there is no such grouping or time zone, or a moment is not written as it has to be.
        """
        if by not in GROUPINGS:
            raise InputError(f"trends are by {', '.join(GROUPINGS)}, not {by!r}")
        column, group_of = GROUPINGS[by]
        key = _quarter(self.is_sqlite) if column is None else column
        selection = Selection(since, until, source, speaker, WINDOW)
        counts = self._table(_counts(key.label(by), selection))
        counts[by] = group_of(counts[by], _zone(zone))
        return _trends(counts, by)


def _days(quarters: "pd.Series[Any]", zone: zoneinfo.ZoneInfo) -> "pd.Series[Any]":
    return _moments(quarters, zone).dt.date


def _hours(quarters: "pd.Series[Any]", zone: zoneinfo.ZoneInfo) -> "pd.Series[Any]":
    return _moments(quarters, zone).dt.hour


def _moments(quarters: "pd.Series[Any]", zone: zoneinfo.ZoneInfo) -> "pd.Series[Any]":
    import pandas as pd

    return pd.to_datetime(quarters.astype("int64") * _QUARTER_S, unit="s", utc=True).dt.tz_convert(zone)


def _names(names: "pd.Series[Any]", _: zoneinfo.ZoneInfo) -> "pd.Series[Any]":
    return names


GROUPINGS: dict[str, tuple[sa.Column[Any] | None, Callable[..., Any]]] = {
    "day": (None, _days),
    "hour": (None, _hours),
    "speaker": (sessions.c.speaker, _names),
    "source": (sources.c.name, _names),
}
"""What trends are by: the column, or None for quarters of an hour, and a function that makes groups of its values."""


def _quarter(is_sqlite: bool) -> sa.ColumnElement[int]:
    """Return the quarter of an hour in which a segment begins, as a number since 1970."""
    if is_sqlite:
        seconds = sa.cast(sa.func.strftime("%s", segments.c.started_at, type_=sa.Text), sa.BigInteger)
        return sa.cast(seconds / _QUARTER_S, sa.BigInteger)
    return sa.cast(sa.func.floor(sa.extract("epoch", segments.c.started_at) / _QUARTER_S), sa.BigInteger)


def _counts(key: sa.Label[Any], selection: Selection) -> sa.Select[Any]:
    """Return the query of counts and sums for each group and label."""
    length_s = segments.c.end_s - segments.c.start_s
    alone_s = sa.case((segments.c.hop_s < length_s, segments.c.hop_s), else_=length_s)  # what the next does not cover
    is_unfamiliar = sa.case((segments.c.ood_score > UNFAMILIAR_ABOVE, 1), else_=0)
    sums = {
        "segments": sa.func.count(),
        "speech_s": sa.func.sum(segments.c.speech * alone_s),
        "activation_sum": sa.func.sum(segments.c.activation),
        "activations": sa.func.count(segments.c.activation),
        "unfamiliar": sa.func.sum(is_unfamiliar),
    }
    query = sa.select(key, segments.c.label, *(value.label(name) for name, value in sums.items()))
    query = query.join_from(segments, sessions).join(sources)
    query = query.where(*selection.conditions(segments.c.started_at, segments.c.kind))
    return query.group_by(key, segments.c.label)


def _trends(counts: "pd.DataFrame", by: str) -> "pd.DataFrame":
    """Return the table of trends from counts for each group and label."""
    import pandas as pd

    totals = counts.groupby(by)[["segments", "speech_s"]].sum()
    with_speech = counts[counts["label"] != NO_SPEECH]
    sums = with_speech.groupby(by)[["segments", "activation_sum", "activations", "unfamiliar"]].sum()
    sums = sums.reindex(totals.index, fill_value=0)
    labels = with_speech.pivot_table("segments", by, "label", aggfunc="sum", fill_value=0)
    shares = labels.reindex(totals.index, fill_value=0).div(sums["segments"], axis=0)
    table = pd.DataFrame(
        {
            "segments": totals["segments"],
            "speech_s": totals["speech_s"],
            "scored": sums["segments"],
            "activation": sums["activation_sum"] / sums["activations"],
            "uncertain": shares.pop(UNCERTAIN) if UNCERTAIN in shares else 0.0 * totals["segments"],
            "unfamiliar": sums["unfamiliar"] / sums["segments"],
        }
    )
    return table.join(shares.add_prefix(SHARE)).reset_index()


def _zone(name: str) -> zoneinfo.ZoneInfo:
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise InputError(f"the time zone has to be like Europe/Berlin, not {name!r}") from None
