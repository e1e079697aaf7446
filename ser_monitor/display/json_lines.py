"""JSON lines: everything that monitoring finds as one object a line, for programs that read it from a pipe."""

import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TextIO

from ser_monitor.events import WINDOW, Alert, Event, Item, Session, SessionEnd

logger = logging.getLogger(__name__)

_ALERT = ("id", "kind", "rule", "source", "speaker", "value", "message")


class JsonLines:
    """Writes what has been committed, a line each.

    Its type is session.start, measurement (a window), utterance, alert, alert.end or session.end. Probabilities are
    rounded to 6 digits, times to milliseconds.

    Attributes:
        failure: why no more can be written, though the reader has not gone: a disk that is full; else None.
    """

    def __init__(self, on_closed: Callable[[], object] = lambda: None, stream: TextIO | None = None) -> None:
        """Take the stream.

        Args:
            on_closed: called once the reader of the stream has gone.
            stream: where lines go; None is stdout.
        """
        self._stream, self._on_closed = stream or sys.stdout, on_closed
        self._sources: dict[str, str] = {}  # of sessions
        self.failure: OSError | None = None

    def show(self, items: Sequence[Item]) -> None:
        """Write committed items, unless the reader has gone or the stream has failed."""
        if self.failure is not None:
            return
        lines = [json.dumps(self.to_json(item), ensure_ascii=True, allow_nan=False) + "\n" for item in items]
        try:
            self._stream.write("".join(lines))
            self._stream.flush()
        except OSError as error:
            if self._stream is sys.stdout:
                _discard_stdout()
            if isinstance(error, BrokenPipeError):
                self._on_closed()
            else:
                self.failure = error
                logger.warning("cannot write to the output (%s); listening goes on", error.strerror or error)

    def to_json(self, item: Item) -> dict[str, Any]:
        """Return an item as JSON values, with its type first."""
        if isinstance(item, Session):
            self._sources[item.id] = item.source
            return _session(item)
        if isinstance(item, SessionEnd):
            source = self._sources.pop(item.session_id, "")
            end = {"session": item.session_id, "source": source, "time": _time(item.ended_at), "reason": item.reason}
            return {"type": "session.end", **end, **item.facts}
        if isinstance(item, Event):
            return {**_event(item), "source": self._sources.get(item.session_id, "")}
        if isinstance(item, Alert):
            facts = {name: getattr(item, name) for name in _ALERT}
            moments = {"began_at": _time(item.began_at), "time": _time(item.raised_at)}
            return {"type": "alert", "session": item.session_id, **facts, **moments}
        return {"type": "alert.end", "id": item.alert_id, "time": _time(item.ended_at)}


def _discard_stdout() -> None:
    """Let what is still in the buffer of stdout vanish: it would be an error when Python ends."""
    handle = os.open(os.devnull, os.O_WRONLY)
    os.dup2(handle, sys.stdout.fileno())
    os.close(handle)


def _session(session: Session) -> dict[str, Any]:
    names = ("source", "kind", "recording", "speaker", "run", "labels", "settings")
    facts = {name: getattr(session, name) for name in names}
    return {"type": "session.start", "session": session.id, "time": _time(session.started_at), **facts}


def _event(event: Event) -> dict[str, Any]:
    return {
        "type": "measurement" if event.kind == WINDOW else "utterance",
        "session": event.session_id,
        "number": event.number,
        "time": _time(event.started_at),
        "start_s": round(event.start_s, 3),
        "end_s": round(event.end_s, 3),
        "activation": _rounded(event.activation),
        "label": event.label,
        "speech": round(event.speech, 3),
        "probabilities": {label: round(value, 6) for label, value in event.probabilities.items()},
        "smoothed": {label: round(value, 6) for label, value in event.smoothed.items()},
        "ood_score": _rounded(event.ood_score),
        "enrolled": event.enrolled,
        "hop_s": event.hop_s,
        "delay_s": round(event.delay_s, 3),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
