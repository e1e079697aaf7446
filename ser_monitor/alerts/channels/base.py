"""Channel of alerts: what every one of them is, and what it needs of its surroundings."""

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from ser_embed.cli import printable
from ser_monitor.events import Alert

TIMEOUT_S = 10.0  # for each answer of a receiver

_LOG = logging.getLogger(__name__)


class DeliveryError(Exception):
    """An alert could not be sent.

    Args:
        reason: in words, without secrets such as the address of a webhook.
        retry: whether it can succeed later.
        after_s: the least seconds until then, if the receiver asked for some.
    """

    def __init__(self, reason: str, *, retry: bool, after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.retry = retry
        self.after_s = after_s


class Channel(Protocol):
    """A way to a receiver."""

    def send(self, alert: Alert) -> None:
        """Send an alert; the same one may come again, if it was not known whether it had arrived.

        Raises:
            DeliveryError: it was not sent, or that is not known.
        """


def log_alert(alert: Alert) -> None:
    """Show an alert where there is no display."""
    _LOG.warning("alert: %s", printable(alert.message))


def utc_now() -> datetime:
    """Return the present moment, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class ChannelContext:
    """What channels need of their surroundings.

    Attributes:
        environment: variables such as the secret of webhooks, which stand in no file of rules.
        show: shows an alert on the terminal.
        now: clock, in UTC.
    """

    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    show: Callable[[Alert], None] = log_alert
    now: Callable[[], datetime] = utc_now


@dataclass(frozen=True)
class ChannelSpec:
    """A kind of channel.

    Attributes:
        form: how it is written in a rule, such as "webhook:https://...".
        open: makes a channel of what follows the colon, or raises InputError; does not connect.
    """

    form: str
    open: Callable[[str, ChannelContext], Channel]


def alert_document(alert: Alert) -> dict[str, Any]:
    """Return an alert as JSON values, as receivers get it."""
    return {
        "version": 1,
        "id": alert.id,
        "rule": alert.rule,
        "kind": alert.kind,
        "source": alert.source,
        "speaker": alert.speaker,
        "session": alert.session_id,
        "began_at": alert.began_at.astimezone(UTC).isoformat(),
        "raised_at": alert.raised_at.astimezone(UTC).isoformat(),
        "value": alert.value,
        "message": alert.message,
    }
