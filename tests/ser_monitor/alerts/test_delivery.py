"""Delivery: what is pending is sent once, tried again, given up, left for the next start, and held up by nothing."""

import dataclasses
import logging
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

import pytest

from ser_monitor.alerts.back_off import BackOff
from ser_monitor.alerts.channels.base import ChannelContext, ChannelSpec, DeliveryError
from ser_monitor.alerts.channels.registry import CHANNELS
from ser_monitor.alerts.delivery import CLAIM_S, Delivery
from ser_monitor.events import Alert
from tests.ser_monitor.alerts.channels.receivers import http_receiver
from tests.ser_monitor.alerts.listening import ALERT, START

QUICK = BackOff(database_s=0.001)
PATIENCE_S = 20.0  # for what is sure to come


def alert(number: int = 0) -> Alert:
    return dataclasses.replace(ALERT, id=f"{number:032x}")


@dataclasses.dataclass
class Pending:
    alert: Alert
    channel: str
    attempts: int = 0
    state: str = "pending"
    due_at: datetime | None = START
    errors: list[str] = dataclasses.field(default_factory=list)


class Store:
    """A record of deliveries in memory, which outlives the threads that send, as a database does.

    Attributes:
        rows: by identifier of the alert and channel.
        failures: how many of the next accesses fail.
        sent_twice: what was recorded as sent when it already had been.
    """

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], Pending] = {}
        self.failures = 0
        self.sent_twice: list[tuple[str, str]] = []
        self.changed = threading.Condition(threading.RLock())

    def commit(self, *alerts: Alert, channels: Sequence[str]) -> None:
        with self.changed:
            for one in alerts:
                self.rows.update({(one.id, channel): Pending(one, channel) for channel in channels})

    @contextmanager
    def access(self) -> Iterator[None]:
        with self.changed:
            if self.failures:
                self.failures -= 1
                raise OSError("database is locked")
            yield
            self.changed.notify_all()

    def claim_deliveries(self, now: datetime, until: datetime) -> list[Pending]:
        with self.access():
            rows = [row for row in self.rows.values() if row.state == "pending" and row.due_at and row.due_at <= now]
            for row in rows:
                row.due_at = until
            return [dataclasses.replace(row) for row in rows]

    def next_delivery_at(self) -> datetime | None:
        with self.access():
            return min((row.due_at for row in self.rows.values() if row.due_at), default=None)

    def record_sent(self, alert_id: str, channel: str, at: datetime) -> None:
        with self.access():
            row = self.rows[alert_id, channel]
            if row.state != "pending":
                self.sent_twice.append((alert_id, channel))
            row.state, row.due_at = "sent", None

    def record_failure(self, alert_id: str, channel: str, error: str, next_attempt_at: datetime | None) -> None:
        with self.access():
            row = self.rows[alert_id, channel]
            row.attempts += 1
            row.errors.append(error)
            row.due_at = next_attempt_at
            row.state = "failed" if next_attempt_at is None else "pending"

    def wait(self, reached: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(reached, PATIENCE_S)

    def states(self) -> set[str]:
        return {row.state for row in self.rows.values()}


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Receiver:
    """A channel of the tests, by name: what was sent through it, and what it raises.

    Attributes:
        received: alerts in the order in which they came.
        answers: for the next alerts: an error, or None to take them; later ones are taken.
    """

    def __init__(self) -> None:
        self.received: list[str] = []
        self.answers: list[Exception | None] = []

    def send(self, sent: Alert) -> None:
        self.received.append(sent.id)
        if (answer := self.answers.pop(0) if self.answers else None) is not None:
            raise answer


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("delivery")]


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Receiver:
    return register(monkeypatch, "test", Receiver())


def register(monkeypatch: pytest.MonkeyPatch, name: str, receiver: Receiver) -> Receiver:
    monkeypatch.setitem(CHANNELS, name, ChannelSpec(name, lambda *_: receiver))
    return receiver


@contextmanager
def delivering(store: Store, clock: Callable[[], datetime] | None = None, **context: object) -> Iterator[Delivery]:
    delivery = Delivery(store, ChannelContext(now=clock or Clock(), **context), QUICK)  # type: ignore[arg-type]
    delivery.start()
    try:
        yield delivery
    finally:
        delivery.close()


def refusal(after_s: float = 0) -> DeliveryError:
    return DeliveryError("the receiver is busy", retry=True, after_s=after_s)


def test_a_committed_alert_is_sent_to_each_of_its_channels(receiver: Receiver) -> None:
    store, shown = Store(), []
    with delivering(store, show=shown.append) as delivery:
        store.commit(alert(), channels=["test", "terminal"])
        delivery.notify()
        store.wait(lambda: store.states() == {"sent"})
    assert (receiver.received, shown) == ([alert().id], [alert()])


def test_closing_sends_what_was_committed_before(receiver: Receiver) -> None:
    store = Store()
    with delivering(store):
        store.commit(alert(1), alert(2), channels=["test"])
    assert store.states() == {"sent"}
    assert receiver.received == [alert(1).id, alert(2).id]


def test_what_a_process_left_is_sent_by_the_next_once(receiver: Receiver) -> None:
    store = Store()
    store.commit(alert(1), alert(2), channels=["test"])
    store.record_sent(alert(1).id, "test", START)
    for _ in range(2):
        with delivering(store):
            pass
    assert receiver.received == [alert(2).id]


def test_a_failed_delivery_is_tried_again_twice_as_late_each_time(receiver: Receiver) -> None:
    store, clock = Store(), Clock()
    row = store.rows[alert().id, "test"] = Pending(alert(), "test")
    receiver.answers = [refusal(), refusal(), refusal()]
    with delivering(store, clock) as delivery:
        for attempts, delay_s in enumerate((1, 2, 4), 1):
            store.wait(lambda: row.attempts == attempts)  # noqa: B023
            assert row.due_at == clock.now + timedelta(seconds=delay_s)
            clock.advance(delay_s - 0.001)
            delivery.notify()
            store.wait(lambda: len(receiver.received) == attempts)  # noqa: B023
            clock.advance(0.001)
            delivery.notify()
        store.wait(lambda: row.state == "sent")
    assert receiver.received == [alert().id] * 4
    assert row.errors == ["the receiver is busy"] * 3


def test_the_receiver_may_ask_for_a_later_try_but_not_for_an_earlier_one(receiver: Receiver) -> None:
    store = Store()
    store.commit(alert(1), alert(2), channels=["test"])
    receiver.answers = [refusal(after_s=90), refusal(after_s=0.1)]
    with delivering(store):
        store.wait(lambda: all(row.attempts for row in store.rows.values()))
    due_s = [(row.due_at - START).total_seconds() for row in store.rows.values() if row.due_at]
    assert due_s == [90, 1]


def test_a_final_answer_gives_up_and_so_does_a_day_of_others(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store()
    store.commit(alert(1), alert(2), channels=["test"])
    store.rows[alert(2).id, "test"].attempts = 295
    receiver.answers = [DeliveryError("no such address", retry=False), refusal()]
    with delivering(store), caplog.at_level(logging.WARNING):
        store.wait(lambda: store.states() == {"failed"})
    assert caplog.messages == [
        "alert of 'raised voice' was not sent by test: no such address; it is given up",
        "alert of 'raised voice' was not sent by test: the receiver is busy; it is given up",
    ]


@pytest.mark.parametrize("channel", ["pager:7", "email:anna@example.org"])
def test_a_channel_whose_settings_are_gone_is_tried_again(channel: str) -> None:
    store = Store()
    store.commit(alert(), channels=[channel])
    with delivering(store, environment={}):
        store.wait(lambda: store.rows[alert().id, channel].attempts == 1)
    assert store.states() == {"pending"}
    (error,) = store.rows[alert().id, channel].errors
    assert "expected a channel" in error or "SER_SMTP_URL has to be" in error


def test_an_error_that_no_channel_foresaw_is_tried_again_without_its_text(receiver: Receiver) -> None:
    store = Store()
    store.commit(alert(), channels=["test"])
    receiver.answers = [ValueError("https://key@service")]
    with delivering(store):
        store.wait(lambda: store.rows[alert().id, "test"].attempts == 1)
    assert store.rows[alert().id, "test"].errors == ["ValueError"]
    assert store.states() == {"pending"}


def test_a_channel_that_hangs_holds_up_no_other_and_no_close(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, begun, released = Store(), threading.Event(), threading.Event()
    hanging = register(monkeypatch, "hanging", Receiver())
    monkeypatch.setattr(hanging, "send", lambda _: begun.set() or released.wait(PATIENCE_S))
    store.commit(*map(alert, range(5)), channels=["hanging", "test"])
    delivery = Delivery(store, ChannelContext(now=Clock()), QUICK)
    delivery.start()
    store.wait(lambda: sum(row.state == "sent" for row in store.rows.values()) == 5)
    assert begun.wait(PATIENCE_S)
    delivery.close(timeout_s=0.01)  # which leaves the thread that hangs
    assert [row.channel for row in store.rows.values() if row.state == "pending"] == ["hanging"] * 5
    assert len(receiver.received) == 5
    (worker,) = [thread for thread in threading.enumerate() if thread.name == "delivery by hanging"]
    released.set()
    worker.join(PATIENCE_S)
    # What was in flight is recorded still; the rest is for the next start.
    assert sum(row.state == "sent" for row in store.rows.values()) == 6


def test_what_was_sent_is_recorded_when_the_database_is_back_and_not_sent_again(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store()
    store.commit(alert(), channels=["test"])
    send = receiver.send

    def send_and_lose_the_database(sent: Alert) -> None:
        send(sent)
        store.failures = 10

    receiver.send = send_and_lose_the_database  # type: ignore[method-assign]
    with delivering(store), caplog.at_level(logging.WARNING):
        store.wait(lambda: store.states() == {"sent"})
    assert receiver.received == [alert().id]
    assert "deliveries cannot be read or recorded now: database is locked" in caplog.messages


def test_deliveries_begin_when_the_database_can_be_read(receiver: Receiver) -> None:
    store = Store()
    store.failures = 5
    store.commit(alert(), channels=["test"])
    with delivering(store):
        store.wait(lambda: store.states() == {"sent"})
    assert receiver.received == [alert().id]


def test_each_of_many_alerts_is_taken_once_whatever_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three channels that refuse, a database that fails, alerts that come meanwhile, and three processes."""
    store, clock, chance = Store(), Clock(), random.Random(0)
    taken: list[tuple[str, str]] = []

    class Unsteady(Receiver):
        def send(self, sent: Alert) -> None:
            if chance.random() < 0.3:
                raise refusal()
            taken.append((sent.id, self.name))
            store.failures = chance.choice([0, 0, 1, 3])

        name = ""

    for name in ("a", "b", "c"):
        register(monkeypatch, name, Unsteady()).name = name  # type: ignore[attr-defined]
    for start in range(3):
        with delivering(store, clock) as delivery:
            for number in range(20):
                store.commit(alert(100 * start + number), channels=["a", "b", "c"])
                delivery.notify()
            for _ in range(5):
                clock.advance(1)
                delivery.notify()
    for _ in range(100):
        clock.advance(300)
        store.failures = 0
        with delivering(store, clock):
            pass
        if store.states() == {"sent"}:
            break
    assert store.states() == {"sent"}
    assert sorted(taken) == sorted(store.rows)
    assert not store.sent_twice


def test_a_webhook_that_was_down_gets_the_alert_with_the_same_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    store, clock = Store(), Clock()
    with http_receiver(500, (429, {"Retry-After": "30"}), 200) as webhook:
        channel = f"webhook:http://127.0.0.1:{webhook.port}/"
        store.commit(alert(), channels=[channel])
        row = store.rows[alert().id, channel]
        with delivering(store, clock, environment={"SER_WEBHOOK_SECRET": "secret"}) as delivery:
            for attempts, delay_s in enumerate((1, 30), 1):
                store.wait(lambda: row.attempts == attempts)  # noqa: B023
                assert row.due_at == clock.now + timedelta(seconds=delay_s)
                clock.advance(delay_s)
                delivery.notify()
            store.wait(lambda: row.state == "sent")
    assert [headers["Idempotency-Key"] for _, headers, _ in webhook.requests] == [alert().id] * 3
    assert len({body for _, _, body in webhook.requests}) == 1
    assert len({headers["X-Signature"] for _, headers, _ in webhook.requests}) == 3  # each with its own time


def test_of_several_processes_with_one_database_one_sends(receiver: Receiver) -> None:
    store, clock = Store(), Clock()
    receiver.answers = [refusal()] * 10
    with delivering(store, clock) as first, delivering(store, clock) as second:
        for number in range(30):
            store.commit(alert(number), channels=["test"])
            first.notify()
            second.notify()
        store.wait(lambda: sum(row.state == "sent" for row in store.rows.values()) == 20)
        store.wait(lambda: sum(row.attempts for row in store.rows.values()) == 10)
        clock.advance(1)
        first.notify()
        second.notify()
        store.wait(lambda: store.states() == {"sent"})
    assert len(receiver.received) == 40
    assert not store.sent_twice


def test_what_a_killed_process_had_claimed_is_sent_once_its_claim_is_over(receiver: Receiver) -> None:
    store, clock = Store(), Clock()
    store.commit(alert(), channels=["test"])
    assert store.claim_deliveries(clock.now, clock.now + timedelta(seconds=CLAIM_S))
    with delivering(store, clock) as delivery:
        clock.advance(CLAIM_S - 0.001)
        delivery.notify()
        assert not receiver.received
        clock.advance(0.001)
        delivery.notify()
        store.wait(lambda: store.states() == {"sent"})
    assert receiver.received == [alert().id]


def test_an_alert_whose_claim_ran_out_behind_slow_ones_is_left_to_the_next_claim(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of 12 s each: the second would be sent when another process may have claimed it."""
    store, clock = Store(), Clock()
    send = receiver.send

    def send_slowly(sent: Alert) -> None:
        clock.advance(12)
        send(sent)

    monkeypatch.setattr(receiver, "send", send_slowly)
    store.commit(alert(1), alert(2), channels=["test"])
    with delivering(store, clock):
        store.wait(lambda: store.rows[alert(1).id, "test"].state == "sent")
    assert receiver.received == [alert(1).id]
    clock.advance(CLAIM_S)
    with delivering(store, clock):
        pass
    assert receiver.received == [alert(1).id, alert(2).id]


def test_a_delivery_that_outlasts_its_claim_is_not_begun_again_by_its_own_process(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, clock, begun, released = Store(), Clock(), threading.Event(), threading.Event()
    send = receiver.send

    def send_slowly(sent: Alert) -> None:
        begun.set()
        released.wait(PATIENCE_S)
        send(sent)

    monkeypatch.setattr(receiver, "send", send_slowly)
    store.commit(alert(), channels=["test"])
    row = store.rows[alert().id, "test"]
    with delivering(store, clock) as delivery:
        assert begun.wait(PATIENCE_S)
        clock.advance(CLAIM_S)
        delivery.notify()
        store.wait(lambda: row.due_at == clock.now + timedelta(seconds=CLAIM_S))  # it has been claimed again
        released.set()
    assert receiver.received == [alert().id]
    assert row.state == "sent"


def test_what_is_sent_while_it_is_claimed_again_is_not_sent_again(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first alert is sent, and the second one begun, between the second claim and its answer."""
    store, clock = Store(), Clock()
    begun, gates = ({alert(number).id: threading.Event() for number in (1, 2)} for _ in range(2))
    send, claim, claims = receiver.send, store.claim_deliveries, []

    def send_at_the_gate(sent: Alert) -> None:
        send(sent)
        begun[sent.id].set()
        gates[sent.id].wait(PATIENCE_S)

    def claim_slowly(now: datetime, until: datetime) -> list[Pending]:
        rows = claim(now, until)
        with store.changed:
            claims.append(rows)
            store.changed.notify_all()
        if len(claims) == 3:
            gates[alert(1).id].set()
            begun[alert(2).id].wait(PATIENCE_S)
        return rows

    monkeypatch.setattr(receiver, "send", send_at_the_gate)
    monkeypatch.setattr(store, "claim_deliveries", claim_slowly)
    with delivering(store, clock) as delivery:
        for number in (1, 2):
            store.commit(alert(number), channels=["test"])
            delivery.notify()
            store.wait(lambda: len(claims) == number)  # noqa: B023
            assert begun[alert(1).id].wait(PATIENCE_S)
            clock.advance(CLAIM_S / 2)
        delivery.notify()
        store.wait(lambda: store.rows[alert(1).id, "test"].state == "sent")
        gates[alert(2).id].set()
    assert [row.alert for row in claims[2]] == [alert(1)]
    assert receiver.received == [alert(1).id, alert(2).id]


def test_what_was_never_started_can_be_closed() -> None:
    Delivery(Store()).close()
