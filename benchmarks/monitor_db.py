"""Speed of a monitor's database: writing under load and alone, trends and tables of a million segments.

    python -m benchmarks.monitor_db [--database URL ...] [--segments 1000000]

Each database has to be empty; without one, a file of SQLite in a temporary folder is measured. A peer is a plain
transaction for each event, as a program without the writer would make it.
"""

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.measure import Row, markdown_table
from ser_monitor.database.batches import write_items
from ser_monitor.database.database import Database
from ser_monitor.database.writer import EventWriter
from ser_monitor.events import WINDOW, Event, Item, Session

START = datetime(2026, 10, 1, tzinfo=UTC)
LABELS = ("angry", "bored", "disgust", "fear", "happy", "neutral", "sad")
SPEAKERS = 10
UNDER_LOAD = 20_000  # events
ALONE = 300  # events
ALONE_EVERY_S = 0.02


def session(name: str, index: int = 0) -> Session:
    """Return a session of one of the speakers."""
    return Session(name, f"source-{index}", "file", "", f"speaker-{index}", START, "run", LABELS)


def event(number: int, name: str) -> Event:
    """Return an event with seven probabilities."""
    top = number % len(LABELS)
    probabilities = {label: 0.4 if index == top else 0.1 for index, label in enumerate(LABELS)}
    started_at = START + timedelta(seconds=number)
    scores = {"probabilities": probabilities, "smoothed": probabilities, "activation": 0.3, "ood_score": 0.5}
    times = {"start_s": float(number), "end_s": number + 3.0, "started_at": started_at, "hop_s": 1.0, "delay_s": 0.1}
    return Event(name, number, WINDOW, speech=0.8, label=LABELS[top], enrolled=0, **times, **scores)


def events_per_s(database: Database) -> float:
    """Return how many events a second the writer commits when all of them are there at once."""
    with EventWriter(database) as writer:
        writer.put(session("load"))
        events = [event(number, "load") for number in range(UNDER_LOAD)]
        start = time.perf_counter()
        for item in events:
            writer.put(item)
        writer.flush(600)
        return UNDER_LOAD / (time.perf_counter() - start)


def plain_events_per_s(database: Database) -> float:
    """Return the same with a transaction for each event."""
    number = UNDER_LOAD // 20
    with database.writing() as connection:
        write_items(connection, [session("plain")])
    start = time.perf_counter()
    for item in (event(index, "plain") for index in range(number)):
        with database.writing() as connection:
            write_items(connection, [item])
    return number / (time.perf_counter() - start)


def alone_ms(database: Database) -> list[float]:
    """Return the milliseconds from `put` to `on_commit` of events that come one at a time."""
    committed = threading.Event()

    def note(_: Sequence[Item]) -> None:
        committed.set()

    delays = []
    with EventWriter(database, note) as writer:
        writer.put(session("alone"))
        for number in range(ALONE):
            writer.flush()
            time.sleep(ALONE_EVERY_S)
            committed.clear()
            start = time.perf_counter()
            writer.put(event(number, "alone"))
            committed.wait()
            delays.append(1000 * (time.perf_counter() - start))
    return delays


def fill(database: Database, segments: int) -> None:
    """Write that many segments of ten speakers, over as many seconds of each."""
    for index in range(SPEAKERS):
        name = f"fill-{index}"
        numbers = range(segments // SPEAKERS)
        for first in range(0, len(numbers), 10_000):
            with database.writing() as connection:
                write_items(connection, [session(name, index)])
                write_items(connection, [event(number, name) for number in numbers[first : first + 10_000]])


def seconds_of(database: Database, by: str) -> float:
    """Return how long trends take."""
    start = time.perf_counter()
    database.trends(by)
    return time.perf_counter() - start


def measure(url: str, segments: int) -> list[Row]:
    """Measure one database, and return the rows.

    Args:
        url: of an empty database.
        segments: how many to fill it with.
    """
    with Database(url) as database:
        kind = "SQLite" if database.is_sqlite else "PostgreSQL"
        many, plain = events_per_s(database), plain_events_per_s(database)
        delays = sorted(alone_ms(database))
        rows = [
            Row(f"{kind}: events written", f"{many:.0f}/s", f"one by one: {plain:.0f}/s", f"{many / plain:.1f}x"),
            Row(
                f"{kind}: an event alone, put to committed",
                f"p50 {statistics.median(delays):.1f} ms, p95 {delays[int(0.95 * len(delays))]:.1f} ms",
            ),
        ]
        start = time.perf_counter()
        fill(database, segments)
        rows.append(Row(f"{kind}: {segments} segments in batches", f"{segments / (time.perf_counter() - start):.0f}/s"))
        for by in ("day", "hour", "speaker"):
            rows.append(Row(f"{kind}: trends by {by} of {segments} segments", f"{seconds_of(database, by):.1f} s"))
        start = time.perf_counter()
        table = database.segments()
        rows.append(Row(f"{kind}: table of {len(table)} segments", f"{time.perf_counter() - start:.1f} s"))
        start = time.perf_counter()
        last = START + timedelta(seconds=segments / SPEAKERS - 86_400)
        table = database.segments(since=last, speaker="speaker-1")
        rows.append(Row(f"{kind}: a speaker's last day, {len(table)} of them", f"{time.perf_counter() - start:.1f} s"))
    return rows


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--database", nargs="+", default=[], metavar="URL", help="empty databases (default: SQLite)")
    parser.add_argument("--segments", type=int, default=1_000_000, help="segments to fill it with (default: 1000000)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for url in args.database or [str(Path(folder) / "monitor.db")]:
            print(markdown_table(measure(url, args.segments)))


if __name__ == "__main__":
    main()
