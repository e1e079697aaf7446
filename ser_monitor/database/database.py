"""Database of a monitor: what is asked of it in notebooks, by `watch`, and by reports."""

from ser_monitor.database.deliveries import Deliveries
from ser_monitor.database.export import Export
from ser_monitor.database.feedback import Feedback
from ser_monitor.database.processes import SessionRecovery
from ser_monitor.database.retention import Retention
from ser_monitor.database.trends import Trends


class Database(Trends, Export, Retention, Feedback, Deliveries, SessionRecovery):
    """A database of sessions, segments, alerts and corrections, in SQLite or PostgreSQL.

    Tables come as DataFrames: `sources`, `sessions`, `segments`, `alerts`, `feedback`, `audit`, `trends`. Events are
    written by an `ser_monitor.database.writer.EventWriter`.

    >>> with Database("monitor.db") as database:  # doctest: +SKIP
    ...     database.segments(since="7d", speaker="anna")
    """

    def __enter__(self) -> "Database":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
