"""Clock drift and dropouts: the audio of a recording against the time that passed meanwhile.

A sound card counts its samples by a clock of its own, which differs from the computer's by some ten parts per million.
Blocks arrive late by chance but never early, so the drift shows in the smallest delays alone (Paxson, "On Calibrating
Measurements of Packet Transit Times", 1998): the smallest of the first interval against that of the latest.
"""

import dataclasses

_INTERVAL_S = 10.0  # long enough that some block of it arrives without delay
_MEANINGFUL_AFTER_S = 60.0  # a block that is 1 ms late would be 17 ppm of a minute


@dataclasses.dataclass(frozen=True)
class RecordingFacts:
    """Counts of a recording so far.

    Attributes:
        duration_s: audio received, in seconds.
        dropouts: gaps in it.
        lost_s: audio lost in the gaps, in seconds.
        drift_ppm: how much faster the audio comes than the computer's clock runs, in parts per million; None in the
            first minute, and where nothing is live.
    """

    duration_s: float = 0.0
    dropouts: int = 0
    lost_s: float = 0.0
    drift_ppm: float | None = None


@dataclasses.dataclass(frozen=True)
class _Arrival:
    """The arrival of a block: when, and how much later than a perfect clock would have it, in seconds."""

    captured_s: float
    delay_s: float


class Timeline:
    """The audio of one recording against time."""

    def __init__(self, rate_hz: float, is_live: bool) -> None:
        """Begin with no audio.

        Args:
            rate_hz: sampling rate in Hz.
            is_live: whether the audio comes as time passes; else there is no drift.
        """
        self._rate_hz, self._is_live = rate_hz, is_live
        self._num_samples, self._dropouts, self._lost_s = 0, 0, 0.0
        self._begin_s: float | None = None
        self._interval = 0
        self._first: _Arrival | None = None  # the earliest arrivals of three intervals: the first,
        self._latest: _Arrival | None = None  # the last that is over,
        self._current: _Arrival | None = None  # and the one that goes on

    def add(self, num_samples: int, captured_s: float, lost_s: float) -> None:
        """Add a block.

        Args:
            num_samples: its samples, per channel.
            captured_s: when the last of them was there, in monotonic seconds.
            lost_s: audio lost just before it, in seconds.
        """
        self._num_samples += num_samples
        if lost_s > 0:
            self._dropouts += 1
            self._lost_s += lost_s
        if not self._is_live:
            return
        self._begin_s = captured_s if self._begin_s is None else self._begin_s
        interval = int((captured_s - self._begin_s) / _INTERVAL_S)
        if interval > self._interval:
            self._first = self._first or self._current
            self._latest, self._current, self._interval = self._current, None, interval
        arrival = _Arrival(captured_s, captured_s - self._duration_s - self._lost_s)
        if self._current is None or arrival.delay_s < self._current.delay_s:
            self._current = arrival

    @property
    def facts(self) -> RecordingFacts:
        """The counts so far."""
        return RecordingFacts(self._duration_s, self._dropouts, self._lost_s, self._drift_ppm())

    @property
    def _duration_s(self) -> float:
        return self._num_samples / self._rate_hz

    def _drift_ppm(self) -> float | None:
        if self._first is None or self._latest is None:
            return None
        elapsed_s = self._latest.captured_s - self._first.captured_s
        if elapsed_s < _MEANINGFUL_AFTER_S:
            return None
        return -(self._latest.delay_s - self._first.delay_s) / elapsed_s * 1e6
