"""E-mail channel: the message, encryption, what becomes of the server's answers, and settings."""

import dataclasses
import email
import email.policy
import socket
from datetime import datetime
from email.message import EmailMessage
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ser_embed.errors import InputError
from ser_monitor.alerts.channels.base import ChannelContext, DeliveryError
from ser_monitor.alerts.channels.mail import MailChannel, MailServer, mail_of, open_mail
from tests.ser_monitor.alerts.channels.receivers import mail_receiver, make_certificate
from tests.ser_monitor.alerts.listening import ALERT


def open_channel(url: str, target: str = "anna@example.org", **environment: str) -> MailChannel:
    return open_mail(target, ChannelContext(environment={"SER_SMTP_URL": url, **environment}))


def parsed(data: bytes) -> EmailMessage:
    message = email.message_from_bytes(data, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def test_an_alert_arrives_as_a_message() -> None:
    with mail_receiver("250 ok") as receiver:
        open_channel(f"smtp://127.0.0.1:{receiver.port}", SER_SMTP_FROM="ser@example.org").send(ALERT)
    _, lines, data = receiver.requests[0]
    assert "mail FROM:<ser@example.org>" in lines[1]
    assert lines[2] == "rcpt TO:<anna@example.org>"
    message = parsed(data)
    assert message["Subject"] == "Alert: raised voice (hotline-1)"
    assert (message["From"], message["To"]) == ("ser@example.org", "anna@example.org")
    assert message["Message-ID"] == f"<{ALERT.id}@ser-monitor>"
    assert datetime.strptime(message["Date"], "%a, %d %b %Y %H:%M:%S %z") == ALERT.raised_at
    text = message.get_content()
    assert text.splitlines()[0] == ALERT.message
    assert "Raised: 2026-03-01T09:00:05+00:00" in text


@settings(max_examples=25)
@given(st.text(min_size=1), st.text())
def test_no_text_of_an_alert_adds_a_header_or_a_line(rule: str, message: str) -> None:
    alert = dataclasses.replace(ALERT, rule=rule, source=f"{rule}\r\nBcc: eve@example.org", message=message)
    plain = parsed(bytes(mail_of(ALERT, "a@example.org", "b@example.org")))
    mail = parsed(bytes(mail_of(alert, "a@example.org", "b@example.org")))
    assert sorted(mail.keys()) == sorted(plain.keys())
    assert len(mail.get_content().splitlines()) == len(plain.get_content().splitlines())


@pytest.mark.parametrize(
    ("answer", "retry"), [("550 no such user", False), ("554 no", False), ("450 busy", True), ("421 later", True)]
)
def test_the_answer_says_whether_to_try_again(answer: str, retry: bool) -> None:
    with (
        mail_receiver(answer) as receiver,
        pytest.raises(DeliveryError, match=f"^the mail server answered {answer[:3]}$") as raised,
    ):
        open_channel(f"smtp://127.0.0.1:{receiver.port}").send(ALERT)
    assert raised.value.retry == retry


def test_a_server_that_is_away_is_tried_again() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(DeliveryError, match="the mail server failed: .*refused") as raised:
            open_channel(f"smtp://127.0.0.1:{closed.getsockname()[1]}").send(ALERT)
    assert raised.value.retry


def test_a_password_is_not_sent_in_the_clear() -> None:
    with (
        mail_receiver("250 ok", extensions=("AUTH PLAIN",)) as receiver,
        pytest.raises(DeliveryError, match="no encryption for the password") as raised,
    ):
        open_channel(f"smtp://anna:geheim@127.0.0.1:{receiver.port}").send(ALERT)
    assert raised.value.retry
    ((_, lines, _),) = receiver.requests
    assert not [line for line in lines if line.startswith(("AUTH", "mail"))]


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
@pytest.mark.parametrize("answer", ["250 ok", "535 wrong"])
def test_a_password_is_sent_encrypted(
    scheme: str, answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = make_certificate(tmp_path)
    encrypted, extensions = scheme == "smtps", ("STARTTLS", "8BITMIME")
    with mail_receiver(answer, extensions=extensions, certificate=certificate, encrypted=encrypted) as receiver:
        channel = open_channel(f"{scheme}://anna:ge%40heim@localhost:{receiver.port}")
        with pytest.raises(DeliveryError, match="certificate") as untrusted:
            channel.send(ALERT)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "only.pem"))
        if answer.startswith("535"):  # the password may be put right
            with pytest.raises(DeliveryError, match="answered 535") as wrong:
                channel.send(ALERT)
            assert wrong.value.retry
        else:
            channel.send(ALERT)
    assert untrusted.value.retry
    commands = [line.split()[0].upper() for line in receiver.requests[-1][1]]
    assert commands.index("AUTH") > commands.index("EHLO" if encrypted else "STARTTLS")
    assert ("MAIL" in commands) == (answer == "250 ok")


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://host", MailServer("host", 587, False)),
        ("smtps://host/", MailServer("host", 465, True)),
        ("smtp://a%40b:p%3Aw@host:25", MailServer("host", 25, False, "a@b", "p:w")),
    ],
)
def test_the_server_comes_from_the_environment(url: str, server: MailServer) -> None:
    channel = open_channel(url)
    assert channel.server == server
    assert channel.sender == ("a@b" if server.user else "ser-monitor@host")
    assert "p:w" not in repr(channel)


@pytest.mark.parametrize(
    "url", ["", "host:25", "http://host", "smtp://", "smtp://a:geheim@host:x", "smtp://a@h", "smtp://h/x"]
)
def test_a_server_that_cannot_be_is_one_line_without_the_password(url: str) -> None:
    with pytest.raises(InputError, match=r"^SER_SMTP_URL has to be smtp://[^\n]*$") as raised:
        open_channel(url)
    assert "geheim" not in str(raised.value)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "anna",
        "anna@",
        "@example.org",
        "a@b, c@d",
        "a@b\nBcc: c@d",
        "Anna <a@b>",
        "änna@example.org",
        "a@b c",
        "a@@b",
    ],
)
def test_what_is_no_single_address_is_one_line(address: str) -> None:
    with pytest.raises(InputError, match=r"^expected an address in email:someone@example\.org, not [^\n]*$"):
        open_channel("smtp://host", address)
    with pytest.raises(InputError, match=r"^expected an address in SER_SMTP_FROM, not [^\n]*$"):
        open_channel("smtp://host", SER_SMTP_FROM=address or " ")
