"""Watch of one signal of a session: a baseline that grows with the session, and charts with a calibrated threshold.

The past of the speaker or source is what is usual at first, and without one the session's own first two minutes of
speech, during which nothing is unusual. The session's windows are added as they come, except during an alarm.
"""

import dataclasses

import numpy as np

from ser_monitor.patterns.baseline import MOST_WINDOWS, SignalBaseline
from ser_monitor.patterns.charts import Chart
from ser_monitor.patterns.signals import HIGHER, LOWER, Signal
from ser_monitor.patterns.thresholds import calibrated_limit

START_UP_S = 120.0  # of speech, before which nothing is unusual
NEW_USUAL_S = 600.0  # of speech, after which what has lasted is what is usual now
_PAST_WINDOWS = 600  # of the past: after as many of its own a session weighs as much
_SIGNS = {HIGHER: 1.0, LOWER: -1.0}


@dataclasses.dataclass(frozen=True)
class ScoredWindow:
    """A window with speech.

    Attributes:
        quantity: of the signal.
        new_from_s: where the audio begins that the window before it did not have, in seconds of the session.
        end_s: where it ends.
        steps: how many usual hops it stands for.
        continues: whether it follows the window with speech before it after a usual hop or a short pause.
    """

    quantity: float
    new_from_s: float
    end_s: float
    steps: float = 1.0
    continues: bool = True


@dataclasses.dataclass(frozen=True)
class Stretch:
    """A stretch of a session in which a signal is unusual.

    Attributes:
        signal: name of the signal.
        direction: "higher" or "lower".
        began_s: estimate of where it began: where the chart's statistic began to rise (Page).
        ended_s: estimate of where it ended: where the statistic began to fall; None while it lasts.
    """

    signal: str
    direction: str
    began_s: float
    ended_s: float | None = None


class SignalWatch:
    """The watch of one signal.

    Attributes:
        signal: what is watched.
        lasting: the stretches that last, by direction.
    """

    def __init__(
        self,
        signal: Signal,
        chart: type[Chart],
        alarms_per_window: float,
        hop_s: float = 1.0,
        past: SignalBaseline | None = None,
    ) -> None:
        """Begin with the past.

        Args:
            signal: what is watched.
            chart: kind of chart.
            alarms_per_window: false alarms that are accepted.
            hop_s: usual seconds between windows.
            past: baseline of the speaker's or source's past; None or a short one means a start-up without alarms.
        """
        self.signal = signal
        self.lasting: dict[str, Stretch] = {}
        self._kind, self._alarms_per_window = chart, alarms_per_window
        self._start_up, self._new_usual = round(START_UP_S / hop_s), round(NEW_USUAL_S / hop_s)
        self._signs = np.array([_SIGNS[direction] for direction in signal.directions])
        self._rising_from_s = dict.fromkeys(signal.directions, 0.0)
        self._highest_at_s = dict.fromkeys(signal.directions, 0.0)
        self._past_runs = [] if past is None else past.last(_PAST_WINDOWS)
        self._runs = [run.tolist() for run in self._past_runs]
        self._unusual_runs: list[list[float]] = []  # windows of the alarm that lasts
        self._baseline: SignalBaseline | None = None
        self._charts: Chart | None = None
        self._fit_if_due()
        self._past_baseline = self._baseline

    def step(self, window: ScoredWindow) -> list[Stretch]:
        """Go on by a window; return the stretches that began or ended."""
        value = float(self.signal.scale(np.array(window.quantity)))
        if self._baseline is None or self._charts is None:
            _append(self._runs, value, window.continues)
            self._fit_if_due()
            return []
        for index, direction in enumerate(self.signal.directions):
            if self._charts.statistic[index] <= 0:
                self._rising_from_s[direction] = window.new_from_s
        self._charts.step(self._signs * self._baseline.deviations(value), window.steps)
        changes = [self._follow(index, window) for index in range(len(self._signs))]
        return [change for change in changes if change is not None] + self._learn(value, window)

    def forget_session(self) -> list[Stretch]:
        """Begin anew with the past alone, as scores are others from now on; return the ended stretches."""
        ended = self.end()
        self._runs, self._unusual_runs = [run.tolist() for run in self._past_runs], []
        if self._baseline is not self._past_baseline:
            self._baseline = self._charts = None
            self._fit_if_due()
        return ended

    def end(self) -> list[Stretch]:
        """End the stretches that last, and begin the charts anew; return the ended stretches."""
        ended = [
            dataclasses.replace(stretch, ended_s=self._highest_at_s[name]) for name, stretch in self.lasting.items()
        ]
        self.lasting = {}
        if self._charts is not None:
            self._charts.restart()
        return ended

    def _follow(self, index: int, window: ScoredWindow) -> Stretch | None:
        """Return the stretch of a direction, the index into the signal's, that begins or ends with a window."""
        charts, direction = self._charts, self.signal.directions[index]
        if charts is None:
            return None
        if charts.statistic[index] >= charts.limit:
            self._highest_at_s[direction] = window.end_s
        if not charts.is_raised[index] and direction in self.lasting:
            return dataclasses.replace(self.lasting.pop(direction), ended_s=self._highest_at_s[direction])
        if charts.is_raised[index] and direction not in self.lasting and window.quantity >= self.signal.least:
            self.lasting[direction] = Stretch(self.signal.name, direction, self._rising_from_s[direction])
            return self.lasting[direction]
        return None

    def _learn(self, value: float, window: ScoredWindow) -> list[Stretch]:
        """Add a window to what is usual, or to what may become so; return the stretches that are usual by now."""
        if self._charts is None or not self._charts.is_raised.any():
            _append(self._runs, value, window.continues and not self._unusual_runs)
            self._unusual_runs = []
            self._fit_if_due()
            return []
        _append(self._unusual_runs, value, window.continues and bool(self._unusual_runs))
        if sum(map(len, self._unusual_runs)) < self._new_usual:
            return []
        self._runs, self._unusual_runs = self._unusual_runs, []
        self._fit()
        return self.end()

    def _fit_if_due(self) -> None:
        """Measure the baseline anew whenever there are twice as many windows, and later every half hour."""
        fitted = 0 if self._baseline is None else self._baseline.num_windows
        due = max(self._start_up, min(2 * fitted, fitted + MOST_WINDOWS // 2))
        if sum(map(len, self._runs)) >= due:
            self._fit()

    def _fit(self) -> None:
        self._baseline = SignalBaseline.of([np.array(run) for run in self._runs])
        self._runs = [run.tolist() for run in self._baseline.last(MOST_WINDOWS)]
        limit = calibrated_limit(self._kind, self._baseline, self._alarms_per_window, len(self._signs))
        if self._charts is None:
            self._charts = self._kind(limit, self._signs.shape)
        self._charts.limit = np.array(limit)


def _append(runs: list[list[float]], value: float, continues: bool) -> None:
    """Add a window to the last run, or begin a run with it."""
    if continues and runs:
        runs[-1].append(value)
    else:
        runs.append([value])
