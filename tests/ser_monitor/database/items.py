"""Items to write: sessions, events and alerts with values of their own."""

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

from ser_monitor.events import NO_SPEECH, RULE, WINDOW, Alert, Event, Session

START = datetime(2026, 11, 1, 9, 0, tzinfo=UTC)
LABELS = ("angry", "happy", "neutral", "sad")


def make_session(session_id: str = "s1", **changes: Any) -> Session:
    """Return a session at `START`."""
    session = Session(
        id=session_id,
        source="desk",
        kind="microphone",
        recording="",
        speaker="anna",
        started_at=START,
        run="run-1",
        labels=LABELS,
        settings={"window_s": 3.0, "hop_s": 1.0},
    )
    return dataclasses.replace(session, **changes)


def make_event(number: int = 0, session_id: str = "s1", *, start: datetime = START, **changes: Any) -> Event:
    """Return the event of a window that begins `number` seconds after `start`."""
    angry = (number % 97) / 100
    rest = (1 - angry) / 3
    event = Event(
        session_id=session_id,
        number=number,
        kind=WINDOW,
        start_s=float(number),
        end_s=number + 3.0,
        started_at=start + timedelta(seconds=number),
        speech=0.75,
        label="angry" if angry > rest else "neutral",
        probabilities={"angry": angry, "happy": rest, "neutral": rest, "sad": rest},
        smoothed={"angry": angry, "happy": rest, "neutral": rest, "sad": rest},
        activation=angry,
        ood_score=0.4,
        enrolled=0,
        hop_s=1.0,
        delay_s=0.1,
    )
    return dataclasses.replace(event, **changes)


def without_speech(number: int, session_id: str = "s1", **changes: Any) -> Event:
    """Return the event of a window in which nobody speaks."""
    silent = {"probabilities": {}, "smoothed": {}, "activation": None, "ood_score": None}
    return make_event(number, session_id, label=NO_SPEECH, speech=0.0, **{**silent, **changes})


def make_alert(alert_id: str = "a1", session_id: str = "s1", **changes: Any) -> Alert:
    """Return an alert ten seconds after `START`."""
    alert = Alert(
        id=alert_id,
        kind=RULE,
        rule="raised voice",
        session_id=session_id,
        source="desk",
        speaker="anna",
        began_at=START + timedelta(seconds=5),
        raised_at=START + timedelta(seconds=10),
        value=0.8,
        message="angry above 0.6 for 5 s",
        channels=("terminal", "webhook:https://example.org/hook"),
    )
    return dataclasses.replace(alert, **changes)
