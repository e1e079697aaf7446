"""E-mail channel: an alert as a message of plain text, through the SMTP server named in SER_SMTP_URL.

    SER_SMTP_URL    smtp://user:password@host:587 or smtps://...; special characters of the password as %XX
    SER_SMTP_FROM   sender; by default the user, or ser-monitor at the server's host

`smtp` is encrypted by STARTTLS where the server offers it. A password is sent over no connection in the clear. The
Message-ID comes from the alert's id, so that a message sent again can be known.
"""

import contextlib
import email.errors
import email.message
import email.policy
import smtplib
import ssl
from dataclasses import dataclass, field
from email.headerregistry import Address
from email.utils import format_datetime
from typing import Any
from urllib.parse import unquote, urlsplit

from ser_embed.cli import printable
from ser_embed.errors import InputError
from ser_embed.reading import reason_of, shortened
from ser_monitor.alerts.channels.base import TIMEOUT_S, ChannelContext, DeliveryError
from ser_monitor.events import Alert

SERVER, SENDER = "SER_SMTP_URL", "SER_SMTP_FROM"
_PORTS = {"smtp": 587, "smtps": 465}
_PERMANENT = range(500, 600)


@dataclass(frozen=True)
class MailServer:
    """An SMTP server.

    Attributes:
        host: its name.
        port: where it listens.
        is_encrypted: whether the connection is encrypted from its beginning.
        user: "" for none.
        password: of the user.
        timeout_s: for each of its answers.
    """

    host: str
    port: int
    is_encrypted: bool
    user: str = ""
    password: str = field(default="", repr=False)
    timeout_s: float = TIMEOUT_S

    def send(self, message: email.message.EmailMessage) -> None:
        """Send a message.

        Raises:
            DeliveryError: a password would go in the clear.
            OSError: the server cannot be reached, or refuses; `smtplib.SMTPException` is one.
        """
        with self._connected() as server:
            server.ehlo()
            if not self.is_encrypted and server.has_extn("starttls"):
                server.starttls(context=ssl.create_default_context())
                server.ehlo()
            if self.user:
                if not isinstance(server.sock, ssl.SSLSocket):
                    raise DeliveryError("the mail server offers no encryption for the password", retry=True)
                server.login(self.user, self.password)
            server.send_message(message)

    def _connected(self) -> smtplib.SMTP:
        if self.is_encrypted:
            context = ssl.create_default_context()
            return smtplib.SMTP_SSL(self.host, self.port, timeout=self.timeout_s, context=context)
        return smtplib.SMTP(self.host, self.port, timeout=self.timeout_s)


@dataclass(frozen=True)
class MailChannel:
    """An address that is written to.

    Attributes:
        recipient: address.
        sender: address.
        server: that takes the message.
    """

    recipient: str
    sender: str
    server: MailServer

    def send(self, alert: Alert) -> None:
        """Write to the address.

        Raises:
            DeliveryError: the server did not take the message.
        """
        try:
            self.server.send(mail_of(alert, self.sender, self.recipient))
        except OSError as error:
            codes = _codes(error)
            is_final = any(code in _PERMANENT for code in codes) and not isinstance(
                error, smtplib.SMTPAuthenticationError
            )
            reason = f"answered {max(codes)}" if codes else f"failed: {reason_of(error)}"
            raise DeliveryError(f"the mail server {reason}", retry=not is_final) from error


def mail_of(alert: Alert, sender: str, recipient: str) -> email.message.EmailMessage:
    """Return the message about an alert.

    Args:
        alert: the alert; line ends and control characters in it become escapes, so that it can add no header.
        sender: address.
        recipient: address.
    """
    message = email.message.EmailMessage(policy=email.policy.SMTP)
    message["Subject"] = printable(f"Alert: {alert.rule} ({alert.source})")
    message["From"] = Address(addr_spec=sender)
    message["To"] = Address(addr_spec=recipient)
    message["Date"] = format_datetime(alert.raised_at)
    message["Message-ID"] = f"<{''.join(filter(str.isalnum, alert.id))}@ser-monitor>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's absence is answered to it
    facts = {
        "Rule": alert.rule,
        "Source": alert.source,
        "Speaker": alert.speaker or "-",
        "Began": alert.began_at.isoformat(timespec="seconds"),
        "Raised": alert.raised_at.isoformat(timespec="seconds"),
        "Alert": alert.id,
    }
    lines = [alert.message, "", *(f"{name}: {value}" for name, value in facts.items())]
    message.set_content("\n".join(map(printable, lines)) + "\n")
    return message


def open_mail(target: str, context: ChannelContext) -> MailChannel:
    """Return the channel to an address.

    Raises:
        InputError: it is no address, or no mail server is named in the environment.
    """
    recipient = _address(target, "email:someone@example.org")
    server = _server(context.environment.get(SERVER, ""))
    default = server.user if "@" in server.user else f"ser-monitor@{server.host}"
    return MailChannel(recipient, _address(context.environment.get(SENDER) or default, SENDER), server)


def _server(url: str) -> MailServer:
    expected = f"{SERVER} has to be smtp://user:password@host:587 or smtps://... to send e-mail"
    if not url:
        raise InputError(f"{expected}, and is not set")
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS[parts.scheme]
    except (ValueError, KeyError):
        raise InputError(expected) from None  # the address may hold a password
    if not parts.hostname or parts.path.strip("/") or (parts.username and parts.password is None):
        raise InputError(expected)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    return MailServer(parts.hostname, port, parts.scheme == "smtps", user, password)


def _address(text: str, name: str) -> str:
    """Return an address if it is a single one, in ASCII."""
    is_address = text.isascii() and text.isprintable() and not set(text) & set(' ,;<>"')
    with contextlib.suppress(ValueError, email.errors.MessageError, IndexError):
        if is_address and Address(addr_spec=text).domain and Address(addr_spec=text).username:
            return text
    raise InputError(f"expected an address in {name}, not {shortened(repr(text))}")


def _codes(error: Any) -> list[int]:
    """Return the codes that a mail server refused with."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return [code for code, _ in error.recipients.values()]
    return [error.smtp_code] if isinstance(error, smtplib.SMTPResponseException) else []
