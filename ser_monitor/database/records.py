"""Records: events and alerts as rows of the database, and back.

What cannot be kept as it is, such as a number that is not finite, is refused here, so that both databases refuse the
same.
"""

import math
from collections.abc import Mapping
from typing import Any

from ser_monitor.events import Alert, Event, Session, SessionEnd

PENDING, SENT, FAILED = "pending", "sent", "failed"  # states of a delivery


def session_record(session: Session, process: str) -> dict[str, Any]:
    """Return the row of a session.

    Args:
        session: the session; its source is not part of the row.
        process: see `ser_monitor.database.processes.identity_of`.
    """
    return {
        "id": session.id,
        "speaker": session.speaker,
        "recording": session.recording,
        "run": session.run,
        "labels": list(session.labels),
        "settings": dict(session.settings),
        "started_at": session.started_at,
        "process": process,
    }


def session_from(row: Mapping[str, Any]) -> Session:
    """Return the session of a row that has also the name and the kind of its source, as `source` and `kind`."""
    return Session(
        id=row["id"],
        source=row["source"],
        kind=row["kind"],
        recording=row["recording"],
        speaker=row["speaker"],
        started_at=row["started_at"],
        run=row["run"],
        labels=tuple(row["labels"]),
        settings=row["settings"],
    )


def session_end_record(end: SessionEnd) -> dict[str, Any]:
    """Return what the end of a session changes in its row."""
    return {"ended_at": end.ended_at, "end_reason": end.reason, "facts": dict(end.facts)}


def event_record(event: Event) -> dict[str, Any]:
    """Return the row of an event.

    Raises:
        ValueError: one of its numbers is not finite.
    """
    return {
        "session_id": event.session_id,
        "number": int(event.number),
        "kind": event.kind,
        "start_s": _finite(event.start_s),
        "end_s": _finite(event.end_s),
        "started_at": event.started_at,
        "speech": _finite(event.speech),
        "label": event.label,
        "confidence": max(map(_finite, event.smoothed.values()), default=None),
        "probabilities": _finite_values(event.probabilities),
        "smoothed": _finite_values(event.smoothed),
        "activation": _finite_or_none(event.activation),
        "ood_score": _finite_or_none(event.ood_score),
        "enrolled": int(event.enrolled),
        "hop_s": _finite(event.hop_s),
        "delay_s": _finite(event.delay_s),
    }


def event_from(row: Mapping[str, Any]) -> Event:
    """Return the event of a row."""
    return Event(**{name: row[name] for name in Event.__dataclass_fields__})


def alert_record(alert: Alert) -> dict[str, Any]:
    """Return the row of an alert.

    Raises:
        ValueError: its value is not finite.
    """
    return {
        "id": alert.id,
        "kind": alert.kind,
        "rule": alert.rule,
        "session_id": alert.session_id,
        "source": alert.source,
        "speaker": alert.speaker,
        "began_at": alert.began_at,
        "raised_at": alert.raised_at,
        "value": _finite_or_none(alert.value),
        "message": alert.message,
        "channels": list(alert.channels),
    }


def alert_from(row: Mapping[str, Any]) -> Alert:
    """Return the alert of a row."""
    values = {name: row[name] for name in Alert.__dataclass_fields__}
    return Alert(**{**values, "channels": tuple(row["channels"])})


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"expected a finite number, not {value}")
    return float(value)


def _finite_or_none(value: float | None) -> float | None:
    return None if value is None else _finite(value)


def _finite_values(values: Mapping[str, float]) -> dict[str, float]:
    return {name: _finite(value) for name, value in values.items()}
