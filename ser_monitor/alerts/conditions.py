"""Conditions of rules over the windows of one session: when one begins to hold, and when it has ended.

"For 5 s" means that the condition was met in consecutive windows that together stand for at least 5 s of audio (see
`ser_monitor.alerts.quantities`): five windows at a hop of 1 s. Windows without a value, and audio that was lost,
neither meet it nor break it as long as they last no more than `LONGEST_PAUSE_S`: people breathe. They do not count
towards the duration. After a longer pause a condition has ended and begins anew.

Once a condition holds, it ends only when its value has gone back over the threshold by the hysteresis.
"""

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from ser_monitor.alerts.quantities import TOLERANCE_S, Quantity, Steps, duration_text
from ser_monitor.events import Event

COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
LONGEST_PAUSE_S = 2.0


@dataclass(frozen=True)
class Condition:
    """The condition of a rule.

    Attributes:
        quantity: what is measured.
        comparison: a key of `COMPARISONS`.
        threshold: what the quantity is compared with.
        duration_s: how much audio it has to hold for; 0 is a single window.
        is_state: whether it is written by the quantity's name alone, without the comparison.
    """

    quantity: Quantity
    comparison: str
    threshold: float
    duration_s: float = 0.0
    is_state: bool = False

    def is_met(self, value: float) -> bool:
        """Return whether a value is on the asked side of the threshold."""
        return COMPARISONS[self.comparison](value, self.threshold)

    def is_kept(self, value: float, hysteresis: float) -> bool:
        """Return whether a value has not gone back over the threshold by the hysteresis.

        Args:
            value: of the quantity.
            hysteresis: how far back it has to go, bounded by half of what there is between threshold and end of the
                scale, so that any condition can end.
        """
        if self.comparison in (">", ">="):
            back = -min(hysteresis, (self.threshold - self.quantity.lowest) / 2)
        else:
            back = min(hysteresis, (self.quantity.highest - self.threshold) / 2)
        return COMPARISONS[self.comparison](value, self.threshold + back)

    def __str__(self) -> str:
        comparison = "" if self.is_state else f" {self.comparison} {_number_text(self.threshold)}"
        duration = f" for {duration_text(self.duration_s)}" if self.duration_s else ""
        return f"{self.quantity}{comparison}{duration}"


def _number_text(number: float) -> str:
    return str(int(number)) if number == int(number) else repr(number)


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
