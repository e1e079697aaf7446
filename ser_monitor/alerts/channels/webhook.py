"""Webhook channel: an alert is posted as JSON to an address, signed, with its identifier as idempotency key.

The receiver gets `alert_document` in UTF-8 with the headers

    Idempotency-Key: the alert's id; the same alert sent again has the same one
    X-Timestamp: seconds since 1970
    X-Signature: sha256=HMAC-SHA256 of the timestamp, a full stop and the body, in hexadecimal (RFC 2104), with the
                 secret in SER_WEBHOOK_SECRET; without a secret there is none

An answer of 2xx means that it has the alert. 408, 425, 429, 5xx, a temporary redirection and any trouble of the network
are tried again, after `Retry-After` where the answer has one; other answers are final. Redirections are not followed.
Proxies are taken from the usual variables of the environment.
"""

import hashlib
import hmac
import http.client
import json
import logging
import math
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

from ser_embed import __version__
from ser_embed.errors import InputError
from ser_embed.reading import reason_of
from ser_monitor.alerts.channels.base import TIMEOUT_S, ChannelContext, DeliveryError, alert_document
from ser_monitor.events import Alert
from ser_monitor.sources.credentials import without_credentials

SECRET = "SER_WEBHOOK_SECRET"
TEMPORARY = {302, 303, 307, 408, 425, 429}
LONGEST_WAIT_S = 3600.0  # that a receiver can ask for

_LOG = logging.getLogger(__name__)


class _NoRedirection(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Follow no redirection, so that the alert goes to no other host; the answer becomes an HTTPError."""


@dataclass(frozen=True)
class WebhookChannel:
    """An address that takes alerts.

    Attributes:
        url: http or https.
        secret: that signs them; b"" for none.
        now: clock, in UTC.
        timeout_s: for the receiver to connect, and for its answer.
    """

    url: str = field(repr=False)  # whoever knows it can often post to it
    secret: bytes = field(repr=False)
    now: Callable[[], datetime]
    timeout_s: float = TIMEOUT_S

    def send(self, alert: Alert) -> None:
        """Post an alert.

        Raises:
            DeliveryError: the answer is not 2xx, or there is none.
        """
        body = json.dumps(_finite(alert_document(alert)), ensure_ascii=False, allow_nan=False).encode()
        request = urllib.request.Request(self.url, body, self._headers(alert, body), method="POST")
        try:
            with urllib.request.build_opener(_NoRedirection).open(request, timeout=self.timeout_s):
                pass
        except HTTPError as error:
            with error:
                raise self._refusal(error) from error
        except (OSError, http.client.HTTPException) as error:
            raise DeliveryError(f"no answer from the webhook: {_reason(error)}", retry=True) from error

    def _headers(self, alert: Alert, body: bytes) -> dict[str, str]:
        timestamp = str(int(self.now().timestamp()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"twostage-ser/{__version__}",
            "Idempotency-Key": alert.id,
            "X-Timestamp": timestamp,
        }
        if self.secret:
            headers["X-Signature"] = f"sha256={signature(self.secret, timestamp, body)}"
        return headers

    def _refusal(self, answer: HTTPError) -> DeliveryError:
        return DeliveryError(
            f"the webhook answered {answer.code}",
            retry=answer.code in TEMPORARY or answer.code >= 500,
            after_s=_wait_s(answer.headers.get("Retry-After"), self.now()),
        )


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """Return the signature of a posted alert, in hexadecimal, as receivers check it.

    Args:
        secret: that sender and receiver share.
        timestamp: the header X-Timestamp.
        body: as it was received.
    """
    return hmac.new(secret, f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()


def open_webhook(target: str, context: ChannelContext) -> WebhookChannel:
    """Return the channel to an address.

    Raises:
        InputError: it is not an address of http or https.
    """
    try:
        parts = urlsplit(target)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, brackets that do not close
        is_address = False
    if not is_address or not target.isascii() or not target.isprintable() or " " in target or parts.fragment:
        text = without_credentials(f"webhook:{target}")
        raise InputError(f"expected webhook:https://... or webhook:http://..., not {text!r}")
    if parts.username is not None:
        raise InputError(f"expected a webhook without user and password in it; {SECRET} can sign what is sent")
    secret = context.environment.get(SECRET, "")
    if not secret:
        _log_unsigned()
    return WebhookChannel(target, secret.encode(), context.now)


_logged: set[str] = set()


def _log_unsigned() -> None:
    """Log once that webhooks are unsigned."""
    if SECRET not in _logged:
        _logged.add(SECRET)
        _LOG.warning("webhooks are not signed; set %s to sign them", SECRET)


def _finite(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document without numbers that JSON has not."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in document.items()
    }


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", error)  # a URLError is around the true one
    return reason_of(reason if isinstance(reason, Exception) else error)


def _wait_s(retry_after: str | None, now: datetime) -> float:
    """Return the seconds that a Retry-After header asks for: a number, or a moment (RFC 9110, 10.2.3)."""
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit():
        seconds = float(text)
    else:
        try:
            moment = parsedate_to_datetime(text)
        except ValueError:
            return 0.0
        seconds = (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds()
    return min(max(seconds, 0.0), LONGEST_WAIT_S)
