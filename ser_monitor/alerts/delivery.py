"""Delivery of alerts: what is recorded as pending is sent, tried again where it failed, and recorded as sent.

An alert is committed, with a pending delivery to each of its channels, before it is sent. Deliveries are claimed for
`CLAIM_S`, so that of several processes with one database only one sends them; what a killed process had claimed is
sent by another, or by its next start, once that time is over. "Sent" is recorded as soon as the receiver has taken the
alert. A process killed in between cannot know, so the alert is sent again, and the receiver knows it by its identifier:
the idempotency key of a webhook, the Message-ID of a mail. All other deliveries happen once.

A failed delivery is tried again later (see `BackOff`), or when the receiver asks for it. Each channel has a thread of
its own, so one that hangs holds up no other.
"""

import contextlib
import logging
import math
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from ser_embed.errors import InputError
from ser_embed.reading import reason_of
from ser_monitor.alerts.back_off import BackOff
from ser_monitor.alerts.channels.base import TIMEOUT_S, ChannelContext, DeliveryError
from ser_monitor.alerts.channels.registry import parse_channel
from ser_monitor.events import Alert

CLAIM_S = 2 * TIMEOUT_S  # the second half is for the answer of the receiver
_SHORTEST_WAIT_S = 0.1  # while another process has claimed what is due, and not yet recorded that

_LOG = logging.getLogger(__name__)


class PendingDelivery(Protocol):
    """An alert that is to be sent to one of its channels."""

    @property
    def alert(self) -> Alert:
        """The alert."""

    @property
    def channel(self) -> str:
        """The channel, as in the rule."""

    @property
    def attempts(self) -> int:
        """How often it was tried."""


class DeliveryStore(Protocol):
    """The record of deliveries: a database. Its methods are called from several threads."""

    def claim_deliveries(self, now: datetime, until: datetime) -> Sequence[PendingDelivery]:
        """Return what is pending and due, the oldest first, and let it be due again at `until`."""

    def next_delivery_at(self) -> datetime | None:
        """Return when the next of all that is pending is due; None if nothing is."""

    def record_sent(self, alert_id: str, channel: str, at: datetime) -> None:
        """Record that an alert was sent."""

    def record_failure(self, alert_id: str, channel: str, error: str, next_attempt_at: datetime | None) -> None:
        """Record a failed try, and when the next one is due; None gives it up."""


class Delivery:
    """The threads that send alerts.

    Args:
        store: the record of deliveries.
        context: what channels need; its clock is that of all moments here.
        back_off: when failed deliveries are tried again.
    """

    def __init__(
        self, store: DeliveryStore, context: ChannelContext | None = None, back_off: BackOff | None = None
    ) -> None:
        self._store = store
        self._context = context or ChannelContext()
        self._back_off = back_off or BackOff()
        self._thread = threading.Thread(target=self._dispatch, name="delivery", daemon=True)
        self._changed = threading.Condition()
        self._notified = self._closing = self._database_failed = False
        self._ends_at = math.inf  # of the monotonic clock
        self._in_flight: set[tuple[str, str, int]] = set()
        self._workers: dict[str, _Worker] = {}

    def start(self) -> None:
        """Begin to send, with what an earlier process left."""
        self._thread.start()

    def notify(self) -> None:
        """Look for what is due; to be called after alerts were committed, by any thread."""
        with self._changed:
            self._notified = True
            self._changed.notify_all()

    def close(self, timeout_s: float = 15.0) -> None:
        """Send what is due by now, and end; what takes longer than the timeout is sent by the next start.

        To be called when all alerts are committed, while the database can still be written.
        """
        ends_at = time.monotonic() + timeout_s
        with self._changed:
            self._closing, self._ends_at = True, ends_at
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        for worker in self._workers.copy().values():
            worker.finish(ends_at)
        for worker in self._workers.copy().values():
            worker.join(max(0.0, ends_at - time.monotonic()))

    def _dispatch(self) -> None:
        closing = False
        while not closing:
            closing = self._closing  # what was committed before closing is looked for once more
            wait_s: float | None = self._back_off.database_s
            with self._database():
                wait_s = self._hand_over()
            with self._changed:
                self._changed.wait_for(lambda: self._notified or self._closing, wait_s)
                self._notified = False

    def _hand_over(self) -> float | None:
        """Give what is due to the channels' threads; return the seconds until more is due, None for nothing."""
        now = self._context.now()
        due_at = self._store.next_delivery_at()
        if due_at is not None and due_at <= now:
            self._claim(now)
            due_at = self._store.next_delivery_at()
        return None if due_at is None else max((due_at - now).total_seconds(), _SHORTEST_WAIT_S)

    def _claim(self, now: datetime) -> None:
        """Claim what is due, and give it to the channels' threads, except for what they are still sending."""
        with self._changed:
            in_flight = self._in_flight.copy()  # before claiming: what is sent meanwhile is claimed too, but done
        until = now + timedelta(seconds=CLAIM_S)
        for delivery in self._store.claim_deliveries(now, until):
            if _attempt(delivery) not in in_flight:
                with self._changed:
                    self._in_flight.add(_attempt(delivery))
                self._worker(delivery.channel).put(_Claim(delivery, until))

    def _worker(self, channel: str) -> "_Worker":
        if channel not in self._workers:
            self._workers[channel] = _Worker(channel, self._deliver)
        return self._workers[channel]

    def _deliver(self, claim: "_Claim") -> None:
        """Send an alert, in the thread of its channel, unless alerts before it took too long."""
        try:
            if claim.until - self._context.now() >= timedelta(seconds=TIMEOUT_S):
                self._send(claim.delivery)
        finally:
            with self._changed:
                self._in_flight.discard(_attempt(claim.delivery))

    def _send(self, delivery: PendingDelivery) -> None:
        """Send an alert and record what came of it."""
        alert, channel = delivery.alert, delivery.channel
        try:
            parse_channel(channel, self._context).send(alert)
        except Exception as error:  # those of apprise and its hundred services are written down nowhere
            self._record_failure(delivery, _as_delivery_error(error))
            return
        sent_at = self._context.now()
        self._record(lambda: self._store.record_sent(alert.id, channel, sent_at))
        if delivery.attempts:
            _LOG.info("alert of %r was sent by %s after %d tries", alert.rule, _kind(channel), delivery.attempts + 1)

    def _record_failure(self, delivery: PendingDelivery, error: DeliveryError) -> None:
        alert, channel = delivery.alert, delivery.channel
        delay_s = self._back_off.delay_s(delivery.attempts + 1) if error.retry else None
        if delay_s is None:
            next_at, outlook = None, "it is given up"
        else:
            delay_s = max(delay_s, error.after_s)
            next_at, outlook = self._context.now() + timedelta(seconds=delay_s), f"next try in {delay_s:.0f} s"
        level = logging.WARNING if next_at is None or not delivery.attempts else logging.DEBUG
        _LOG.log(level, "alert of %r was not sent by %s: %s; %s", alert.rule, _kind(channel), error, outlook)
        self._record(lambda: self._store.record_failure(alert.id, channel, str(error), next_at))
        self.notify()

    def _record(self, record: Callable[[], None]) -> None:
        """Record, and try until that succeeds or time is up: what was sent must not be sent again."""
        while True:
            with self._database():
                record()
                return
            if time.monotonic() >= self._ends_at:
                return
            with self._changed:
                self._changed.wait_for(lambda: False, self._back_off.database_s)

    @contextlib.contextmanager
    def _database(self) -> Iterator[None]:
        """Log, once, that the database cannot be reached, and go on; the block is to be repeated."""
        try:
            yield
        except Exception as error:  # of whichever database it is
            if not self._database_failed:
                _LOG.warning("deliveries cannot be read or recorded now: %s", reason_of(error))
            self._database_failed = True
        else:
            self._database_failed = False


@dataclass(frozen=True)
class _Claim:
    """A delivery that is this process's until a moment."""

    delivery: PendingDelivery
    until: datetime


class _Worker:
    """The thread of a channel, which sends one alert after the other."""

    def __init__(self, channel: str, deliver: Callable[[_Claim], None]) -> None:
        self._deliver = deliver
        self._queue: queue.SimpleQueue[_Claim | None] = queue.SimpleQueue()
        self._ends_at = float("inf")
        self._thread = threading.Thread(target=self._run, name=f"delivery by {_kind(channel)}", daemon=True)
        self._thread.start()

    def put(self, claim: _Claim) -> None:
        """Send an alert after those before it."""
        self._queue.put(claim)

    def finish(self, ends_at: float) -> None:
        """End once all is sent, or at a moment of the monotonic clock."""
        self._ends_at = ends_at
        self._queue.put(None)

    def join(self, timeout_s: float) -> None:
        """Wait for the end."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while (claim := self._queue.get()) is not None and time.monotonic() < self._ends_at:
            self._deliver(claim)


def _attempt(delivery: PendingDelivery) -> tuple[str, str, int]:
    """Return what tells one attempt from any other, also of the same delivery."""
    return delivery.alert.id, delivery.channel, delivery.attempts


def _as_delivery_error(error: Exception) -> DeliveryError:
    """Return an error of a channel; what no channel foresaw, or a setting that is missing now, may be right later."""
    if isinstance(error, DeliveryError):
        return error
    reason = str(error) if isinstance(error, InputError) else f"{type(error).__name__}"
    return DeliveryError(reason, retry=True)


def _kind(channel: str) -> str:
    """Return the kind of a channel, for logs; addresses of receivers may hold keys."""
    return channel.partition(":")[0]
