"""Credentials in addresses of streams, and texts without them."""

import re
from urllib.parse import parse_qsl, unquote, urlsplit

_ADDRESS_IN_TEXT = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]+")
_HIDDEN = "***"
_SHORTEST_KEY = 4  # characters; a shorter value in a query, such as a number, is no secret


def redacted(address: str) -> str:
    """Return an address without what may be a credential: user, password, query and fragment.

    >>> redacted("rtsp://user:secret@camera.local:554/hall?token=1")
    'rtsp://camera.local:554/hall'
    """
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def without_credentials(text: str, address: str = "") -> str:
    """Return a text in which every address is `redacted`, and no credential of one of them is left.

    Args:
        text: that may quote addresses.
        address: one whose credentials the text may quote on their own.
    """
    text = _ADDRESS_IN_TEXT.sub(lambda match: _redacted_or_hidden(match[0]), text)
    for secret in sorted(_secrets(address), key=len, reverse=True):
        is_word = len(secret) < _SHORTEST_KEY  # so short a user or password is a part of many words
        text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)" if is_word else re.escape(secret), _HIDDEN, text)
    return text


def _redacted_or_hidden(address: str) -> str:
    try:
        return redacted(address)
    except ValueError:  # a bracket without its other, for example
        return _HIDDEN


def _secrets(address: str) -> set[str]:
    """Return the credentials of an address, as they are written and as they are meant."""
    parts = urlsplit(address)
    written = {parts.username or "", parts.password or "", parts.query, parts.fragment}
    written |= {value for _, value in parse_qsl(parts.query) if len(value) >= _SHORTEST_KEY}
    return {form for secret in written for form in (secret, unquote(secret)) if form}
