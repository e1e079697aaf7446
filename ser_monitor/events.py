"""Events: what monitoring finds, as plain values that flow from sessions to the database, alerts and displays.

A session is one listening to one recording of a source. Its events are numbered from 0 without gaps. Times of events
count from the session's first sample, in seconds of audio; as moments they are in UTC.
"""

import dataclasses
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

WINDOW, UTTERANCE = "window", "utterance"  # kinds of events
RULE, UNUSUAL = "rule", "unusual"  # kinds of alerts
NO_SPEECH = "no speech"  # label of a segment without enough voice, which has no probabilities
UNCERTAIN = "uncertain"  # label where no emotion is sure enough, as `ser_head.predict` has it
UNFAMILIAR_ABOVE = 1.0  # out-of-domain score above which a segment is unlike anything in training


def new_id() -> str:
    """Return a new identifier of a session or an alert, 32 hexadecimal digits."""
    return uuid.uuid4().hex


@dataclasses.dataclass(frozen=True)
class Session:
    """One listening to one recording of a source.

    Attributes:
        id: see `new_id`.
        source: name of the source.
        kind: of the source, such as "microphone" or "file".
        recording: what of the source is heard: a path or an address.
        speaker: who speaks, if that is known; else "".
        started_at: moment of the first sample, in UTC.
        run: name of the run that scores it.
        labels: the run's classes.
        settings: how it is cut, smoothed and scored, as JSON values.
    """

    id: str
    source: str
    kind: str
    recording: str
    speaker: str
    started_at: datetime
    run: str
    labels: tuple[str, ...]
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class SessionEnd:
    """The end of a session.

    Attributes:
        session_id: the session.
        ended_at: moment of the end, in UTC.
        reason: why, in words: "end of file", "stopped", or what failed.
        facts: counts as JSON values: seconds, events, dropouts, lost_s, drift_ppm, widened.
    """

    session_id: str
    ended_at: datetime
    reason: str
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Event:
    """What was found in a segment.

    Attributes:
        session_id: the session.
        number: counts the session's events from 0.
        kind: `WINDOW` or `UTTERANCE`.
        start_s: where the segment begins, in seconds from the session's first sample.
        end_s: where it ends.
        started_at: moment at which it begins, in UTC.
        speech: share of the segment that is voice, 0 to 1.
        label: an emotion, `UNCERTAIN` or `NO_SPEECH`, by the smoothed probabilities.
        probabilities: of each emotion as `ser_head.predict` gives them for this segment; none without speech.
        smoothed: the same, adapted to the speaker by what the session has heard so far, and smoothed over time; equal
            to `probabilities` where neither is asked for.
        activation: smoothed probability of high activation, 0 to 1; None without speech.
        ood_score: out-of-domain score; None without speech. See `UNFAMILIAR_ABOVE`.
        enrolled: windows of the speaker that the segment was scored with; 0 is an unknown speaker.
        hop_s: seconds to the next window, which grow where the machine cannot keep up.
        delay_s: from the end of the segment's audio to the event, in seconds; 0 for recordings read at full speed.
    """

    session_id: str
    number: int
    kind: str
    start_s: float
    end_s: float
    started_at: datetime
    speech: float
    label: str
    probabilities: Mapping[str, float]
    smoothed: Mapping[str, float]
    activation: float | None
    ood_score: float | None
    enrolled: int
    hop_s: float
    delay_s: float

    @property
    def ended_at(self) -> datetime:
        """Moment at which the segment ends, in UTC."""
        return self.started_at + timedelta(seconds=self.end_s - self.start_s)

    @property
    def is_speech(self) -> bool:
        """Whether the segment was scored."""
        return self.label != NO_SPEECH

    @property
    def is_unfamiliar(self) -> bool:
        """Whether the segment is unlike anything in training."""
        return self.ood_score is not None and self.ood_score > UNFAMILIAR_ABOVE


@dataclasses.dataclass(frozen=True)
class Alert:
    """A rule that came true, or an unusual stretch.

    Attributes:
        id: see `new_id`; receivers know by it an alert that is sent again.
        kind: `RULE` or `UNUSUAL`.
        rule: name of the rule, or of the detector and the signal it watches.
        session_id: the session.
        source: name of the session's source.
        speaker: the session's speaker, or "".
        began_at: moment at which the condition began to hold, in UTC.
        raised_at: moment in the audio at which the alert was raised, in UTC.
        value: of the quantity that the rule compares, or None.
        message: one line for people.
        channels: where it is sent.
    """

    id: str
    kind: str
    rule: str
    session_id: str
    source: str
    speaker: str
    began_at: datetime
    raised_at: datetime
    value: float | None
    message: str
    channels: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class AlertEnd:
    """The end of an alert's condition.

    Attributes:
        alert_id: the alert.
        ended_at: moment in the audio, in UTC.
    """

    alert_id: str
    ended_at: datetime


Item = Session | SessionEnd | Event | Alert | AlertEnd
"""Anything that is written to the database, in the order in which it came about."""
