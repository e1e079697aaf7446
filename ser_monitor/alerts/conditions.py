"""Conditions over the windows of one session: when one begins to hold, and when it has ended.

"For 5 s" means that the condition was met in consecutive windows that together stand for at least 5 s of audio (see
`ser_monitor.alerts.quantities`): five windows at a hop of 1 s. Windows without a value, and audio that was lost,
neither meet it nor break it as long as they last no more than `LONGEST_PAUSE_S`: people breathe. They do not count
towards the duration. After a longer pause a condition has ended and begins anew.

Once a condition holds, it ends only when its value has gone back over the threshold by the hysteresis.
"""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from ser_monitor.alerts.grammar import Condition
from ser_monitor.alerts.quantities import TOLERANCE_S, Steps
from ser_monitor.events import Event

LONGEST_PAUSE_S = 2.0


@dataclass(frozen=True)
class Holding:
    """A condition that holds.

    Attributes:
        began_s: where the audio begins that the first window stands for, in seconds of the session.
        began_at: the same as a moment, in UTC.
        value: of the quantity, in the last window that has one.
    """

    began_s: float
    began_at: datetime
    value: float


class ConditionState:
    """The state of a condition in one session."""

    def __init__(self, condition: Condition, hysteresis: float = 0.0) -> None:
        self._condition = condition
        self._hysteresis = hysteresis
        self._steps = Steps()
        self._measure = condition.quantity.meter()
        self._measured_until_s = -math.inf
        self._stretch: Holding | None = None  # windows in a row that meet the condition, however few
        self._stretch_s = 0.0
        self._holds = False

    def observe(self, event: Event) -> Holding | None:
        """Take the next window; return the condition if it holds at its end."""
        step_s = self._steps.step_s(event)
        value = self._measure(event, step_s)
        unmeasured_until_s = event.end_s if value is None else event.end_s - step_s
        if unmeasured_until_s - self._measured_until_s > LONGEST_PAUSE_S + TOLERANCE_S:
            self._break()
        if value is not None:
            self._measured_until_s = event.end_s
            self._take(event, step_s, value)
        return self._stretch if self._holds else None

    def _take(self, event: Event, step_s: float, value: float) -> None:
        """Let a value continue the stretch or break it."""
        if not (self._condition.is_kept(value, self._hysteresis) if self._holds else self._condition.is_met(value)):
            self._break()
            return
        if self._stretch is None:
            self._stretch = Holding(event.end_s - step_s, event.ended_at - timedelta(seconds=step_s), value)
        self._stretch = Holding(self._stretch.began_s, self._stretch.began_at, value)
        self._stretch_s += step_s
        self._holds = self._holds or self._stretch_s >= self._condition.duration_s - TOLERANCE_S

    def _break(self) -> None:
        self._stretch, self._stretch_s, self._holds = None, 0.0, False
