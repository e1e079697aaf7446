"""Sessions, windows and alerts that tests build."""

import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from ser_monitor.events import NO_SPEECH, RULE, WINDOW, Alert, Event, Session

START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
LABELS = ("angry", "calm", "fear")
SESSION = Session("s1", "hotline-1", "file", "talk.wav", "", START, "run", LABELS)
ALERT = Alert(
    id="0123456789abcdef0123456789abcdef",
    kind=RULE,
    rule="raised voice",
    session_id="s1",
    source="hotline-1",
    speaker="anna",
    began_at=START,
    raised_at=START + timedelta(seconds=5),
    value=0.74,
    message="raised voice: angry > 0.6 for 5 s (0.74), since 00:01:12 of hotline-1 (anna)",
    channels=("terminal",),
)


def session(session_id: str = "s1", source: str = "hotline-1", speaker: str = "") -> Session:
    return dataclasses.replace(SESSION, id=session_id, source=source, speaker=speaker)


def window(end_s: float, angry: float | None = None, hop_s: float = 1.0, **fields: Any) -> Event:
    """Return a window of 3 s with a probability of anger, or one without speech."""
    probabilities = {} if angry is None else {"angry": angry, "calm": 1 - angry}
    label = max(probabilities, key=lambda name: probabilities[name], default=NO_SPEECH)
    event = Event(
        session_id="s1",
        number=0,
        kind=WINDOW,
        start_s=end_s - 3,
        end_s=end_s,
        started_at=START + timedelta(seconds=end_s - 3),
        speech=float(angry is not None),
        label=label,
        probabilities=probabilities,
        smoothed=probabilities,
        activation=angry,
        ood_score=None if angry is None else 0.5,
        enrolled=0,
        hop_s=hop_s,
        delay_s=0.0,
    )
    return dataclasses.replace(event, **fields)


def windows(angry: Sequence[float | None], hop_s: float = 1.0) -> list[Event]:
    """Return a session's windows, the first of which ends at 3 s."""
    return [window(3 + number * hop_s, value, hop_s) for number, value in enumerate(angry)]
