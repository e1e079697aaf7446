"""Queries: what the database holds, as tables of pandas.

Moments have UTC as their time zone. Segments have a column p_<emotion> for each class of their runs with its
probability as scored, and s_<emotion> with that after smoothing; they are missing where nobody spoke.
"""

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ser_monitor.database.connection import OpenDatabase
from ser_monitor.database.periods import Moment, Selection
from ser_monitor.database.schema import AnyText, alerts, audit, feedback, segments, sessions, sources
from ser_monitor.events import WINDOW

if TYPE_CHECKING:
    import pandas as pd

CHUNK_ROWS = 20_000  # read at a time: some 20 MB
_PREFIXES = {"p_": "probabilities", "s_": "smoothed"}
_SOURCE, _SPEAKER = sources.c.name.label("source"), sessions.c.speaker
_SEGMENT_COLUMNS = [column for column in segments.c if column.name not in ("id", *_PREFIXES.values())]
_DOCUMENTS = [sa.type_coerce(segments.c[name], sa.Text).label(name) for name in _PREFIXES.values()]  # as texts
_MOMENTS = ("created_at", "started_at", "ended_at", "began_at", "raised_at", "acknowledged_at", "at")
_COLUMNS = [column for table in (sources, sessions, segments, alerts, feedback, audit) for column in table.c]
_TEXTS = {column.name: "str" for column in _COLUMNS if isinstance(column.type, AnyText)} | {"source": "str"}
_TYPES = {column.name: "float64" for column in _COLUMNS if isinstance(column.type, sa.Float)} | dict.fromkeys(
    ("number", "enrolled", "sessions"), "int64"
)


class Queries(OpenDatabase):
    """Tables of sources, sessions, segments, alerts and corrections."""

    def sources(self) -> "pd.DataFrame":
        """Return one row for each source: name, kind, created_at, and its number of sessions.

        Raises:
            DatabaseError: the database failed.
        """
        number = sa.func.count(sessions.c.id).label("sessions")
        query = sa.select(sources.c.name, sources.c.kind, sources.c.created_at, number).outerjoin_from(
            sources, sessions
        )
        return self._table(query.group_by(sources.c.id).order_by(sources.c.name))

    def sessions(
        self, since: Moment = None, until: Moment = None, source: str | None = None, speaker: str | None = None
    ) -> "pd.DataFrame":
        """Return one row for each session, by the moment of its start.

        Args:
            since: only sessions that began then or later; see `ser_monitor.database.periods.parse_moment`.
            until: only sessions that began before.
            source: only those of this source.
            speaker: only those of this speaker.

        Returns:
            id, source, kind, and the columns of the table `sessions` but for the identity of its process.

        Raises:
            DatabaseError: the database failed.
            InputError: a moment is not written as it has to be.
        """
        left_out = ("id", "source_id", "process")
        columns = [sessions.c.id, _SOURCE, sources.c.kind, *(c for c in sessions.c if c.name not in left_out)]
        query = sa.select(*columns).join_from(sessions, sources)
        selection = Selection(since, until, source, speaker)
        return self._table(query.where(*selection.conditions(sessions.c.started_at)).order_by(sessions.c.started_at))

    def segments(
        self,
        since: Moment = None,
        until: Moment = None,
        source: str | None = None,
        speaker: str | None = None,
        kind: str | None = WINDOW,
    ) -> "pd.DataFrame":
        """Return one row for each segment, by the moment of its start.

        Args:
            since: only segments that begin then or later; see `ser_monitor.database.periods.parse_moment`.
            until: only segments that begin before.
            source: only those of this source.
            speaker: only those of this speaker.
            kind: "window", "utterance", or None for both.

        Returns:
            source, speaker, the fields of `ser_monitor.Event` and its confidence, and the columns p_<emotion> and
            s_<emotion>.

        Raises:
            DatabaseError: the database failed.
            InputError: a moment is not written as it has to be.
        """
        import pandas as pd

        return pd.concat(list(self.segment_chunks(Selection(since, until, source, speaker, kind))), ignore_index=True)

    def latest_windows(self, source: str, speaker: str, run: str, number: int) -> "pd.DataFrame":
        """Return the last windows of a source and speaker in the order of time, as `segments` does.

        Args:
            source: name of the source.
            speaker: name of the speaker; "" for nobody known.
            run: name of the run that scored them.
            number: of windows, at most.

        Raises:
            DatabaseError: the database failed.
        """
        query = sa.select(_SOURCE, _SPEAKER, *_SEGMENT_COLUMNS, *_DOCUMENTS)
        query = query.join_from(segments, sessions).join(sources)
        conditions = Selection(None, None, source, speaker, WINDOW).conditions(segments.c.started_at, segments.c.kind)
        query = query.where(*conditions, sessions.c.run == run)
        query = query.order_by(segments.c.started_at.desc(), segments.c.id.desc()).limit(number)
        with self.reading() as connection:
            result = connection.execute(query)
            rows = result.all()[::-1]
            return _segment_table(rows, list(result.keys()), _emotions(connection))

    def segment_chunks(self, selection: Selection) -> Iterator["pd.DataFrame"]:
        """Yield the table of `segments` in chunks with the same columns, at least one; memory is that of a chunk.

        Args:
            selection: which segments.

        Raises:
            DatabaseError: the database failed.
            InputError: a moment is not written as it has to be.
        """
        query = sa.select(_SOURCE, _SPEAKER, *_SEGMENT_COLUMNS, *_DOCUMENTS)
        query = query.join_from(segments, sessions).join(sources)
        query = query.where(*selection.conditions(segments.c.started_at, segments.c.kind))
        query = query.order_by(segments.c.started_at, segments.c.id)
        with self.reading() as connection:
            emotions = _emotions(connection)
            result = connection.execution_options(stream_results=True, yield_per=CHUNK_ROWS).execute(query)
            is_empty = True
            for rows in result.partitions():
                is_empty = False
                yield _segment_table(rows, list(result.keys()), emotions)
            if is_empty:
                yield _segment_table([], list(result.keys()), emotions)

    def alerts(
        self,
        since: Moment = None,
        until: Moment = None,
        source: str | None = None,
        speaker: str | None = None,
        kind: str | None = None,
    ) -> "pd.DataFrame":
        """Return one row for each alert, by the moment at which it was raised.

        Args:
            since: only alerts raised then or later; see `ser_monitor.database.periods.parse_moment`.
            until: only alerts raised before.
            source: only those of this source.
            speaker: only those of this speaker.
            kind: "rule", "unusual", or None for both.

        Returns:
            The fields of `ser_monitor.Alert`, ended_at, acknowledged_at and acknowledged_by.

        Raises:
            DatabaseError: the database failed.
            InputError: a moment is not written as it has to be.
        """
        conditions = Selection(since, until, kind=kind).conditions(alerts.c.raised_at, alerts.c.kind)
        conditions += [alerts.c.source == source] if source is not None else []
        conditions += [alerts.c.speaker == speaker] if speaker is not None else []
        return self._table(sa.select(alerts).where(*conditions).order_by(alerts.c.raised_at, alerts.c.id))

    def feedback(
        self, since: Moment = None, until: Moment = None, source: str | None = None, speaker: str | None = None
    ) -> "pd.DataFrame":
        """Return one row for each correction, with the segment it corrects, by the moment of the correction.

        Args:
            since: only segments corrected then or later; see `ser_monitor.database.periods.parse_moment`.
            until: only segments corrected before.
            source: only those of this source.
            speaker: only those of this speaker.

        Returns:
            The columns of `segments`, emotion, author, created_at, note.

        Raises:
            DatabaseError: the database failed.
            InputError: a moment is not written as it has to be.
        """
        corrections = [feedback.c[name] for name in ("emotion", "author", "created_at", "note")]
        query = sa.select(_SOURCE, _SPEAKER, *_SEGMENT_COLUMNS, *corrections, *_DOCUMENTS)
        query = query.join_from(feedback, segments).join(sessions).join(sources)
        query = query.where(*Selection(since, until, source, speaker).conditions(feedback.c.created_at))
        with self.reading() as connection:
            result = connection.execute(query.order_by(feedback.c.created_at, feedback.c.id))
            return _segment_table(result.all(), list(result.keys()), _emotions(connection))

    def _table(self, query: sa.Select[Any]) -> "pd.DataFrame":
        with self.reading() as connection:
            result = connection.execute(query)
            return _frame(result.all(), list(result.keys()))


def _emotions(connection: sa.Connection) -> list[str]:
    """Return the classes of all runs that have scored, in the order of their first sessions."""
    labels = connection.scalars(sa.select(sessions.c.labels).order_by(sessions.c.started_at, sessions.c.id))
    return list(dict.fromkeys(emotion for session_labels in labels for emotion in session_labels))


def _segment_table(rows: Sequence[Any], names: list[str], emotions: list[str]) -> "pd.DataFrame":
    """Return segments as a table; their last two columns are documents of probabilities."""
    import pandas as pd

    num_documents = len(_DOCUMENTS)
    table = _frame([row[:-num_documents] for row in rows], names[:-num_documents])
    columns = {}
    for index, prefix in enumerate(_PREFIXES, start=-num_documents):
        documents = json.loads(f"[{','.join(row[index] for row in rows)}]")  # faster than one after the other
        for emotion in emotions:
            values = [document.get(emotion) for document in documents]
            columns[prefix + emotion] = pd.Series(values, table.index, dtype="float64")
    return pd.concat([table, pd.DataFrame(columns, table.index)], axis=1)


def _frame(rows: Sequence[Any], names: list[str]) -> "pd.DataFrame":
    """Return rows as a table, with the same types of columns however many rows there are."""
    import pandas as pd

    table = pd.DataFrame.from_records([tuple(row) for row in rows], columns=names)
    moments = {
        name: pd.to_datetime(table[name], utc=True).astype("datetime64[us, UTC]") for name in names if name in _MOMENTS
    }
    types: dict[str, Any] = _TYPES if rows else {**_TYPES, **_TEXTS}  # pandas tells texts by their values
    return table.assign(**moments).astype({name: types[name] for name in names if name in types})
