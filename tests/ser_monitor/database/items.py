"""Items to write: sessions, events and alerts with values of their own, and Hypothesis strategies of any."""

import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from ser_monitor.events import NO_SPEECH, RULE, UNUSUAL, UTTERANCE, WINDOW, Alert, Event, Session

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


def numbers(first: int = 0) -> Iterator[int]:
    """Yield the numbers of events."""
    while True:
        yield first
        first += 1


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
moments = st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC))
reals = st.floats(allow_nan=False, allow_infinity=False)
shares = st.floats(0, 1)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | reals | st.text(max_size=10),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=5), values, max_size=3),
    max_leaves=5,
)
any_session = st.builds(
    Session,
    id=st.just(""),
    source=texts,
    kind=texts,
    recording=texts,
    speaker=texts,
    started_at=moments,
    run=texts,
    labels=st.lists(texts, max_size=4, unique=True).map(tuple),
    settings=st.dictionaries(st.text(max_size=5), json_values, max_size=3),
)
any_event = st.builds(
    Event,
    session_id=st.just(""),
    number=st.integers(0, 2**31 - 1),
    kind=st.sampled_from([WINDOW, UTTERANCE]),
    start_s=reals,
    end_s=reals,
    started_at=moments,
    speech=shares,
    label=texts,
    probabilities=st.dictionaries(texts, shares, max_size=4),
    smoothed=st.dictionaries(texts, shares, max_size=4),
    activation=st.none() | shares,
    ood_score=st.none() | reals,
    enrolled=st.integers(0, 2**31 - 1),
    hop_s=reals,
    delay_s=reals,
)
any_alert = st.builds(
    Alert,
    id=st.just(""),
    kind=st.sampled_from([RULE, UNUSUAL]),
    rule=texts,
    session_id=st.just(""),
    source=texts,
    speaker=texts,
    began_at=moments,
    raised_at=moments,
    value=st.none() | reals,
    message=texts,
    channels=st.lists(texts, max_size=3, unique=True).map(tuple),
)
