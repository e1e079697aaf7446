"""Quantities of a session: what the condition of a rule compares with a number, measured window by window.

A window stands for the audio since the window before it, at most that window's hop; the first of a session stands for
its own hop. So windows that overlap are not counted twice, a widened hop counts in full, and audio that was lost counts
for nothing. A quantity is measured once for each window, in order; None says that the window has no value for it, as a
probability has none without speech.
"""

import abc
import json
import math
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from ser_monitor.events import UNCERTAIN, Event

TOLERANCE_S = 1e-6  # for sums of hops such as 0.1 s, which floats do not hold exactly
LEAST_FILLED = 1 / 3  # of the time that a mean goes over; less says too little about it

Meter = Callable[[Event, float], float | None]
"""Measures a window: called with each window of one session in order, and the seconds that the window stands for."""

_PLAIN_NAME = re.compile(r"[^\W\d][\w-]*")


class Quantity(abc.ABC):
    """What a condition compares with a number.

    Attributes:
        lowest: the least value there is.
        highest: the greatest.
    """

    lowest: ClassVar[float] = 0.0
    highest: ClassVar[float] = 1.0

    @property
    def emotions(self) -> tuple[str, ...]:
        """Emotions that a run has to know for the quantity to have values."""
        return ()

    @abc.abstractmethod
    def meter(self) -> Meter:
        """Return what measures the windows of one session."""


@dataclass(frozen=True)
class Emotion(Quantity):
    """The smoothed probability of an emotion.

    Attributes:
        name: of the emotion.
    """

    name: str

    @property
    def emotions(self) -> tuple[str, ...]:
        """The emotion."""
        return (self.name,)

    def meter(self) -> Meter:
        """Return the measure of a window: its smoothed probability; None without speech."""
        return lambda event, _: event.smoothed.get(self.name) if event.is_speech else None

    def __str__(self) -> str:
        return quoted(self.name)


@dataclass(frozen=True)
class Activation(Quantity):
    """The smoothed probability of high activation."""

    def meter(self) -> Meter:
        """Return the measure of a window: its activation; None without speech."""
        return lambda event, _: event.activation

    def __str__(self) -> str:
        return "activation"


Signal = Emotion | Activation


@dataclass(frozen=True)
class Share(Quantity):
    """The share of the last speech that has a label.

    Attributes:
        label: an emotion or `UNCERTAIN`.
        window_s: how far back it goes from a window's end; None while less than a third of that is speech.
    """

    label: str
    window_s: float

    @property
    def emotions(self) -> tuple[str, ...]:
        """The label, if it is an emotion."""
        return () if self.label == UNCERTAIN else (self.label,)

    def meter(self) -> Meter:
        """Return the measure of a window: the share of the speech that ended in the last `window_s` seconds."""
        recent = _Recent(self.window_s)

        def measure(event: Event, step_s: float) -> float | None:
            if event.is_speech:
                recent.add(event.end_s, step_s, float(event.label == self.label))
            return recent.mean(event.end_s)

        return measure

    def __str__(self) -> str:
        return f"share({quoted(self.label)}, {duration_text(self.window_s)})"


@dataclass(frozen=True)
class Rise(Quantity):
    """The rise of a signal: its value now minus its mean before.

    Attributes:
        signal: an emotion or activation.
        window_s: how long before; None while the signal has values for less than a third of that.
    """

    signal: Signal
    window_s: float

    lowest: ClassVar[float] = -1.0

    @property
    def emotions(self) -> tuple[str, ...]:
        """The signal's emotion."""
        return self.signal.emotions

    def meter(self) -> Meter:
        """Return the measure of a window: what it has above the mean of those in the `window_s` seconds before it."""
        measure_signal, recent = self.signal.meter(), _Recent(self.window_s)

        def measure(event: Event, step_s: float) -> float | None:
            mean, value = recent.mean(event.end_s - step_s), measure_signal(event, step_s)
            if value is None:
                return None
            recent.add(event.end_s, step_s, value)
            return None if mean is None else value - mean

        return measure

    def __str__(self) -> str:
        return f"rise({self.signal}, {duration_text(self.window_s)})"


@dataclass(frozen=True)
class Unfamiliarity(Quantity):
    """The out-of-domain score; above `events.UNFAMILIAR_ABOVE` a window is unlike anything in training."""

    highest: ClassVar[float] = math.inf

    def meter(self) -> Meter:
        """Return the measure of a window: its score; None without speech."""
        return lambda event, _: event.ood_score

    def __str__(self) -> str:
        return "unfamiliar"


@dataclass(frozen=True)
class Uncertainty(Quantity):
    """Whether there is speech but no clear answer, as 1 or 0."""

    def meter(self) -> Meter:
        """Return the measure of a window: 1 if its label is `UNCERTAIN`; None without speech."""
        return lambda event, _: float(event.label == UNCERTAIN) if event.is_speech else None

    def __str__(self) -> str:
        return "uncertain"


@dataclass(frozen=True)
class Silence(Quantity):
    """Whether there is no speech, as 1 or 0."""

    def meter(self) -> Meter:
        """Return the measure of a window: 1 without speech."""
        return lambda event, _: float(not event.is_speech)

    def __str__(self) -> str:
        return "silence"


class Steps:
    """The audio that the windows of one session stand for."""

    def __init__(self) -> None:
        self._last: Event | None = None

    def step_s(self, event: Event) -> float:
        """Return the seconds that the next window stands for."""
        last, self._last = self._last, event
        if last is None:
            return event.hop_s
        return max(0.0, min(event.end_s - last.end_s, last.hop_s))


class _Recent:
    """The mean of a quantity over the last seconds, weighted by the audio that windows stand for."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._values: deque[tuple[float, float, float]] = deque()  # end_s, step_s, value

    def add(self, end_s: float, step_s: float, value: float) -> None:
        """Add the value of a window."""
        self._values.append((end_s, step_s, value))

    def mean(self, now_s: float) -> float | None:
        """Return the mean over windows that ended in the last seconds before `now_s`, or None for too few of them."""
        while self._values and self._values[0][0] <= now_s - self._window_s + TOLERANCE_S:
            self._values.popleft()
        filled_s = math.fsum(step_s for _, step_s, _ in self._values)
        if filled_s < self._window_s * LEAST_FILLED - TOLERANCE_S or filled_s <= 0:
            return None
        return math.fsum(step_s * value for _, step_s, value in self._values) / filled_s


UNITS_S = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}
_RESERVED = {"activation", "for", "share", "rise", "unfamiliar", "silence"}


def quoted(label: str) -> str:
    """Return a label as it stands in a condition: in double quotes where it would read as something else.

    >>> quoted("angry"), quoted("very angry")
    ('angry', '"very angry"')
    """
    if _PLAIN_NAME.fullmatch(label) and label not in _RESERVED:
        return label
    return json.dumps(label, ensure_ascii=False)


def duration_text(duration_s: float) -> str:
    """Return a duration as it stands in a condition, in the largest unit that makes it a whole number.

    >>> duration_text(0.5), duration_text(90), duration_text(120)
    ('500 ms', '90 s', '2 min')
    """
    for unit in ("h", "min", "s"):
        if duration_s >= UNITS_S[unit] and duration_s % UNITS_S[unit] == 0:
            return f"{duration_s / UNITS_S[unit]:.0f} {unit}"
    milliseconds = round(duration_s * 1000)
    if milliseconds < 1000 and milliseconds / 1000 == duration_s:
        return f"{milliseconds} ms"
    return f"{duration_s!r} s"
