"""Data of a report: what the database holds of a period, with segments already added up to cells.

Segments are read source by source and day by day, so that memory hardly grows with the period.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from ser_embed.files import digest_of
from ser_monitor.reporting.analysis.cells import cells_of, combine_cells, shown_segments
from ser_monitor.reporting.analysis.drift import combine_counts, count_answers
from ser_monitor.reporting.periods import Period

if TYPE_CHECKING:
    from ser_monitor.database.database import Database

STRETCH_COLUMNS = ("session", "source", "speaker", "start", "end", "signal", "direction", "size")
# What change points are found in; of a whole period at 86 400 windows a day, so only these are kept.
_WATCHED = ("session_id", "number", "source", "speaker", "started_at", "start_s", "end_s", "activation")
_LONGEST_NAME = 40  # characters of a source or speaker in the name of a folder


@dataclass(frozen=True)
class Scope:
    """What a report is about.

    Attributes:
        period: the period.
        source: name of the only source; None for all.
        speaker: name of the only speaker; None for all, "" for those without a name.
    """

    period: Period
    source: str | None = None
    speaker: str | None = None

    @property
    def name(self) -> str:
        """Name of the report's folder."""
        return "_".join([self.period.name, *(f"{kind}-{_for_files(name)}" for kind, name in self._chosen)])

    @property
    def words(self) -> str:
        """Source and speaker in words; "" for all of them."""
        return ", ".join(f"{kind} {name}" if name else f"no {kind} by name" for kind, name in self._chosen)

    @property
    def _chosen(self) -> list[tuple[str, str]]:
        pairs = (("source", self.source), ("speaker", self.speaker))
        return [(kind, name) for kind, name in pairs if name is not None]


@dataclass(frozen=True)
class ReportData:
    """What was heard in a period, and what people said of it.

    Attributes:
        scope: what the report is about.
        cells: see `ser_monitor.reporting.analysis.cells`.
        counts: see `ser_monitor.reporting.analysis.drift.count_answers`.
        stretches: unusual stretches, columns `STRETCH_COLUMNS`; what is usual is that of the source in the period.
        alerts: that were raised in the period, see `ser_monitor.reporting.analysis.alert_tables`.
        feedback: corrections made in the period, see `ser_monitor.reporting.analysis.performance`.
    """

    scope: Scope
    cells: pd.DataFrame
    counts: pd.DataFrame
    stretches: pd.DataFrame
    alerts: pd.DataFrame
    feedback: pd.DataFrame

    @property
    def period(self) -> Period:
        """The period."""
        return self.scope.period

    @classmethod
    def load(
        cls, database: "Database", scope: Scope, find_stretches: Callable[[pd.DataFrame], pd.DataFrame]
    ) -> "ReportData":
        """Read what a report is about.

        Args:
            database: an open one.
            scope: what the report is about.
            find_stretches: finds unusual stretches in the segments of a source, with the columns `_WATCHED`; see
                `ser_monitor.patterns.change_points`.

        Raises:
            SerError: the database cannot be read.
        """
        cells, counts, stretches = [], [], []
        for source in [scope.source] if scope.source is not None else database.sources()["name"]:
            watched = []
            for segments in _segments(database, replace(scope, source=source)):
                cells.append(cells_of(segments, scope.period.zone))
                counts.append(count_answers(segments))
                watched.append(shown_segments(segments)[list(_WATCHED)])
            if watched:
                stretches.append(find_stretches(pd.concat(watched, ignore_index=True)))
        chosen: dict[str, Any] = {"since": scope.period.since, "until": scope.period.until}
        chosen |= {"source": scope.source, "speaker": scope.speaker}
        return cls(
            scope,
            combine_cells(cells),
            combine_counts(counts),
            _put_together(stretches),
            database.alerts(**chosen),
            database.feedback(**chosen),
        )


def _segments(database: "Database", scope: Scope) -> Iterator[pd.DataFrame]:
    """Yield the segments of each day with the run that scored them, without days that have none."""
    sessions = database.sessions(until=scope.period.until, source=scope.source)
    if sessions.empty:
        return
    runs = sessions.set_index("id")["run"]
    begin = max(scope.period.since, sessions["started_at"].min())  # a period may begin centuries before
    for day in replace(scope.period, since=begin).days():
        chosen: dict[str, Any] = {"source": scope.source, "speaker": scope.speaker, "kind": None}
        segments = database.segments(since=day.since, until=day.until, **chosen)
        if len(segments):
            yield segments.assign(run=segments["session_id"].map(runs))


def _put_together(stretches: list[pd.DataFrame]) -> pd.DataFrame:
    filled = [rows for rows in stretches if len(rows)]
    if not filled:
        return pd.DataFrame(columns=list(STRETCH_COLUMNS))
    return pd.concat(filled, ignore_index=True).sort_values("start", kind="stable", ignore_index=True)


def _for_files(name: str) -> str:
    """Return a name as part of a file name; two names stay two where characters have to be replaced."""
    safe = re.sub(r"[^\w.-]+", "-", name)[:_LONGEST_NAME]
    return safe if safe == name else f"{safe}-{digest_of(name.encode('utf-8', 'surrogatepass'))[:8]}"
