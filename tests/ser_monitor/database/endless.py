"""A process that writes events until it is killed, and sends the number of each once it is committed."""

import contextlib
import multiprocessing
from collections.abc import Sequence
from multiprocessing.connection import Connection

from ser_monitor.database.database import Database
from ser_monitor.database.writer import EventWriter
from ser_monitor.events import Event, Item
from tests.ser_monitor.database.items import make_event, make_session

_MOST_WAITING = 50


def write_endlessly(url: str, session: str, numbers: Connection) -> None:
    """Write a session of events without end, and send the numbers of each commit."""

    def send(items: Sequence[Item]) -> None:
        numbers.send([item.number for item in items if isinstance(item, Event)])

    with Database(url) as database, EventWriter(database, send, most_waiting=_MOST_WAITING) as writer:
        writer.put(make_session(session))
        number = 0
        while True:
            writer.put(make_event(number, session))
            number += 1


def kill_while_writing(url: str, session: str, after: int) -> list[int]:
    """Kill a process that writes events, and return the numbers that it had sent by then.

    Args:
        url: of the database.
        session: name of its session.
        after: it is killed once it has sent so many.
    """
    context = multiprocessing.get_context("forkserver")  # loads this module once for all processes
    context.set_forkserver_preload([__name__])
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=write_endlessly, args=(url, session, sender))
    process.start()
    sender.close()
    numbers: list[int] = []
    while len(numbers) < after:
        numbers += receiver.recv()
    process.kill()
    with contextlib.suppress(EOFError), receiver:
        while True:
            numbers += receiver.recv()
    process.join()
    process.close()
    return numbers
