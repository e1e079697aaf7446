"""Webhook channel: what is posted, its signature, and what becomes of every answer."""

import dataclasses
import hashlib
import hmac
import json
import logging
import math
import socket
import threading
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from ser_embed.errors import InputError
from ser_monitor.alerts.channels import webhook
from ser_monitor.alerts.channels.base import ChannelContext, DeliveryError
from ser_monitor.alerts.channels.webhook import SECRET, WebhookChannel, open_webhook, signature
from ser_monitor.events import Alert
from tests.ser_monitor.alerts.channels.receivers import http_receiver
from tests.ser_monitor.alerts.listening import ALERT

NOW = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


def channel(port: int, secret: bytes = b"secret", timeout_s: float = 10.0) -> WebhookChannel:
    return WebhookChannel(f"http://127.0.0.1:{port}/alerts?to=me", secret, lambda: NOW, timeout_s)


def send(port: int, alert: Alert = ALERT) -> DeliveryError | None:
    try:
        channel(port).send(alert)
    except DeliveryError as error:
        return error
    return None


def test_an_alert_is_posted_as_json_and_signed() -> None:
    with http_receiver(204) as receiver:
        channel(receiver.port).send(ALERT)
    ((path, headers, body),) = receiver.requests
    assert path == "/alerts?to=me"
    assert json.loads(body) == {
        "version": 1,
        "id": ALERT.id,
        "rule": "raised voice",
        "kind": "rule",
        "source": "hotline-1",
        "speaker": "anna",
        "session": "s1",
        "began_at": "2026-03-01T09:00:00+00:00",
        "raised_at": "2026-03-01T09:00:05+00:00",
        "value": 0.74,
        "message": ALERT.message,
    }
    assert headers["Content-Type"] == "application/json"
    assert headers["Idempotency-Key"] == ALERT.id
    assert headers["X-Timestamp"] == str(int(NOW.timestamp()))
    signed = headers["X-Timestamp"].encode() + b"." + body
    assert headers["X-Signature"] == f"sha256={hmac.new(b'secret', signed, hashlib.sha256).hexdigest()}"


def test_the_signature_is_that_of_the_published_test_case() -> None:
    """RFC 4231, test case 2, whose text begins with no full stop; a key and text of our own form beside it."""
    expected = hmac.new(b"Jefe", b"0.what do ya want for nothing?", "sha256").hexdigest()
    assert signature(b"Jefe", "0", b"what do ya want for nothing?") == expected


def test_any_alert_is_json_in_utc() -> None:
    east = timezone(timedelta(hours=2))
    alert = dataclasses.replace(ALERT, value=math.inf, source="Zürich\n", raised_at=ALERT.raised_at.astimezone(east))
    with http_receiver(200) as receiver:
        channel(receiver.port).send(alert)
    document = json.loads(receiver.requests[0][2])
    assert (document["value"], document["source"]) == (None, "Zürich\n")
    assert document["raised_at"] == "2026-03-01T09:00:05+00:00"


@pytest.mark.parametrize(
    ("status", "retry"),
    [(400, False), (401, False), (404, False), (410, False), (301, False), (308, False)]
    + [(302, True), (307, True), (408, True), (425, True), (429, True), (500, True), (502, True), (503, True)],
)
def test_the_status_says_whether_to_try_again(status: int, retry: bool) -> None:
    with http_receiver((status, {"Location": "/elsewhere"})) as receiver:
        error = send(receiver.port)
    assert error is not None
    assert str(error) == f"the webhook answered {status}"
    assert (error.retry, error.after_s) == (retry, 0)
    assert [path for path, _, _ in receiver.requests] == ["/alerts?to=me"]  # no redirection was followed


@pytest.mark.parametrize(
    ("text", "after_s"),
    [
        ("7", 7),
        (" 120 ", 120),
        ("999999999999", 3600),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90),
        (format_datetime(NOW - timedelta(seconds=90), usegmt=True), 0),
        ("Sun, 01 Mar 2026 10:00:30 -0000", 30),
        ("soon", 0),
        ("-5", 0),
        ("", 0),
    ],
)
def test_the_receiver_may_say_when_to_try_again(text: str, after_s: float) -> None:
    with http_receiver((429, {"Retry-After": text})) as receiver:
        error = send(receiver.port)
    assert error is not None
    assert (error.retry, error.after_s) == (True, after_s)


def test_a_receiver_that_hangs_or_hangs_up_or_is_away_is_tried_again() -> None:
    released = threading.Event()
    with http_receiver(released) as receiver:
        with pytest.raises(DeliveryError, match="no answer from the webhook: timed out") as hanging:
            channel(receiver.port, timeout_s=0.1).send(ALERT)
        released.set()
        gone = send(receiver.port)
    with socket.socket() as closed:  # a port that nobody listens at
        closed.bind(("127.0.0.1", 0))
        away = send(closed.getsockname()[1])
    assert hanging.value.retry
    assert gone is not None
    assert gone.retry
    assert away is not None
    assert away.retry
    assert "127.0.0.1" not in str(away)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "ftp://example.org",
        "file:///etc/passwd",
        "https://",
        "https://a:b",
        "https://[::1",
        "https:/a",
    ]
    + ["https://a b", "https://a/\nX: y", "https://a/ä", "https://a#b", "HTTPS//a", "https://a:0/"],
)
def test_what_is_no_address_of_http_is_one_line(url: str) -> None:
    with pytest.raises(InputError, match=r"^expected webhook:https://\.\.\. or webhook:http://\.\.\., not [^\n]*$"):
        open_webhook(url, ChannelContext(environment={}))


def test_a_password_in_the_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(InputError, match="without user and password") as raised:
        open_webhook("https://anna:geheim@example.org", ChannelContext(environment={}))
    assert "geheim" not in str(raised.value)


def test_the_secret_comes_from_the_environment_and_is_shown_nowhere() -> None:
    opened = open_webhook("https://example.org/key", ChannelContext(environment={SECRET: "geheim"}))
    assert opened.secret == b"geheim"
    assert "geheim" not in repr(opened)
    assert "key" not in repr(opened)


def test_without_a_secret_there_is_no_signature_which_is_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(webhook, "_logged", set())
    with http_receiver(200) as receiver, caplog.at_level(logging.WARNING):
        for _ in range(2):
            open_webhook(f"http://127.0.0.1:{receiver.port}", ChannelContext(environment={})).send(ALERT)
    assert caplog.messages == [f"webhooks are not signed; set {SECRET} to sign them"]
    assert [headers["X-Signature"] for _, headers, _ in receiver.requests] == [None, None]
