"""Event writer: one thread that commits whatever has come about, in order, and goes on until the database has it.

As soon as one commit is done, all that came in meanwhile goes into the next: an item alone is committed at once, and
under load the number of commits stays small (group commit; DeWitt et al. 1984, "Implementation techniques for main
memory database systems"). While the database is locked, full or away, the batch is tried again and again.
"""

import collections
import itertools
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import exc

from ser_embed.errors import InputError
from ser_monitor.database.batches import name_of, write_items
from ser_monitor.database.connection import OpenDatabase, reason, writer_engine
from ser_monitor.events import Item

logger = logging.getLogger(__name__)

MOST_WAITING = 200_000  # items: some 200 MB, and an hour of fifty sources
MOST_AT_ONCE = 10_000  # items of one transaction, which then takes less than a second
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0  # between two attempts
CLOSE_WITHIN_S = 30.0


class EventWriter:
    """The one thread of a process that writes events and alerts.

    Attributes:
        refused: number of items that could not be written because of what they are, each of which is logged.
    """

    def __init__(
        self,
        database: OpenDatabase,
        on_commit: Callable[[Sequence[Item]], None] | None = None,
        on_trouble: Callable[[str], None] | None = None,
        *,
        pause: Callable[[float], object] | None = None,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        """Start the thread.

        Args:
            database: stays open until the writer is closed.
            on_commit: is called in the writer's thread with the items of each commit, after it.
            on_trouble: is called in the writer's thread with one line when the database fails, and with another when it
                has recovered; without it they are logged.
            pause: waits that many seconds before the next attempt; for tests.
            most_waiting: items above which `put` waits.
        """
        self.refused = 0
        self._database, self._engine = database, writer_engine(database.engine)
        self._on_commit, self._on_trouble = on_commit, on_trouble or logger.warning
        self._most_waiting = most_waiting
        self._waiting: collections.deque[Item] = collections.deque()
        self._changed = threading.Condition()
        self._hurry = threading.Event()  # ends a pause
        self._pause = pause or self._hurry.wait
        self._num_put = self._num_done = 0
        self._closing, self._give_up_at = False, float("inf")
        self._thread = threading.Thread(target=self._work, name="event writer", daemon=True)
        self._thread.start()

    def __enter__(self) -> "EventWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def num_waiting(self) -> int:
        """Number of items that are not committed yet."""
        return len(self._waiting)

    def put(self, item: Item) -> None:
        """Give an item to be written; returns at once, unless too many are waiting.

        Raises:
            InputError: the writer is closed.
        """
        with self._changed:
            self._changed.wait_for(self._may_put)
            if self._closing:
                raise InputError("expected an open event writer, but it is closed")
            self._waiting.append(item)
            self._num_put += 1
            self._changed.notify_all()

    def flush(self, timeout_s: float = CLOSE_WITHIN_S) -> bool:
        """Wait until all that was put so far is committed, and tell whether it is.

        Args:
            timeout_s: the longest time to wait, in seconds.
        """
        self._hurry.set()
        with self._changed:
            target = self._num_put
            return self._changed.wait_for(lambda: self._num_done >= target, timeout_s)

    def close(self, timeout_s: float = CLOSE_WITHIN_S) -> int:
        """Write what is waiting, and end the thread.

        Args:
            timeout_s: after how long to give up if the database keeps failing, in seconds.

        Returns:
            Number of items that could not be written, which is logged too.
        """
        with self._changed:
            is_first = not self._closing
            self._closing, self._give_up_at = True, time.monotonic() + timeout_s
            self._changed.notify_all()
        self._hurry.set()
        self._thread.join(timeout_s + 2 * LONGEST_PAUSE_S)  # an attempt that has begun waits for another process
        unwritten = self.num_waiting
        if unwritten and is_first:
            logger.error("%d events and alerts could not be written to %s", unwritten, self._database.name)
        return unwritten

    def _may_put(self) -> bool:
        """Tell whether `put` need not wait; the writer's own thread never does, as nobody else would make room."""
        is_own = threading.current_thread() is self._thread
        return self._closing or is_own or len(self._waiting) < self._most_waiting

    def _work(self) -> None:
        """Commit batch after batch until the writer is closed."""
        while batch := self._next_batch():
            written = self._commit(batch)
            if written is None:
                return
            self._finish(batch, written)

    def _next_batch(self) -> list[Item]:
        """Wait for items and return them; they stay in the queue until they are committed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            return list(itertools.islice(self._waiting, MOST_AT_ONCE))

    def _commit(self, batch: list[Item]) -> list[Item] | None:
        """Commit a batch, however often that has to be tried.

        Returns:
            The items that were written; None if the writer was closed before they were.
        """
        pause_s = SHORTEST_PAUSE_S
        for attempt in itertools.count():
            try:
                written = self._write(batch)
            except (exc.SQLAlchemyError, OSError, MemoryError) as error:
                if attempt == 0:
                    self._report(f"cannot write to the database {self._database.name} ({reason(error)}); trying again")
            else:
                if attempt > 0:
                    self._report(f"the database {self._database.name} can be written to again; nothing was lost")
                return written
            remaining_s = self._give_up_at - time.monotonic()
            if remaining_s <= 0:
                break
            self._hurry.clear()
            self._pause(min(pause_s, remaining_s))
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        return None

    def _write(self, batch: list[Item]) -> list[Item]:
        """Write a batch in one transaction, or in several where that shows which items cannot be written.

        Returns:
            The items that were written.
        """
        try:
            with self._engine.begin() as connection:
                write_items(connection, batch)
        except Exception as error:
            if not _is_of_item(error):
                raise
            if len(batch) > 1:
                middle = len(batch) // 2
                return self._write(batch[:middle]) + self._write(batch[middle:])
            logger.error("%s cannot be written to %s (%s)", name_of(batch[0]), self._database.name, reason(error))
            return []
        return batch

    def _finish(self, batch: list[Item], written: list[Item]) -> None:
        """Take a batch that was dealt with from the queue, and pass on what was written."""
        with self._changed:
            for _ in batch:
                self._waiting.popleft()
            self._changed.notify_all()
        self.refused += len(batch) - len(written)
        if self._on_commit is not None and written:
            _call(self._on_commit, written)
        with self._changed:
            self._num_done += len(batch)
            self._changed.notify_all()

    def _report(self, message: str) -> None:
        _call(self._on_trouble, message)


def _call(callback: Callable[[Any], object], argument: Any) -> None:
    """Call what the writer was given, whose failure must not end the writing."""
    try:
        callback(argument)
    except Exception:
        logger.exception("a callback of the event writer failed")


def _is_of_item(error: Exception) -> bool:
    """Tell whether an item cannot be written because of what it is, which no further attempt would change."""
    if isinstance(error, exc.DBAPIError):
        return isinstance(error, (exc.IntegrityError, exc.DataError))
    of_database = isinstance(error, exc.SQLAlchemyError) and not isinstance(error, exc.StatementError)
    return not of_database and not isinstance(error, (OSError, MemoryError))
