"""Reopening of sources that end or fail, with back-off: the waits double from one second to a minute.

The first opening has to work: an address that was mistyped or a microphone that is not plugged in is an error at once.
Folders and named pipes open without a file or a writer in them. Later failures are waited out.
"""

import dataclasses
import logging
import threading
from collections.abc import Callable, Iterator

from ser_embed.cli import printable
from ser_embed.errors import InputError
from ser_monitor.sources.base import Recording, Source, SourceError
from ser_monitor.sources.clock import SYSTEM_CLOCK, Clock

logger = logging.getLogger(__name__)

_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 60.0
_GOOD_AFTER_S = 60.0  # of audio: a source that gave as much works, and is waited for as for the first time


@dataclasses.dataclass(frozen=True)
class SourceStatus:
    """News of a source: it has gone, or is back.

    Attributes:
        source: its name.
        is_open: whether it is back.
        reason: why it has gone, in one line; of one that is back, for how long it was gone.
        retry_in_s: when it will be opened again, in seconds; None once it is back.
    """

    source: str
    is_open: bool
    reason: str
    retry_in_s: float | None = None

    def __str__(self) -> str:
        """Return one line for people."""
        if self.is_open:
            return f"{self.source} is back after {self.reason}"
        return f"{self.source}: {self.reason}; next try in {self.retry_in_s:g} s"


def log_status(status: SourceStatus) -> None:
    """Log news of a source."""
    logger.log(logging.INFO if status.is_open else logging.WARNING, "%s", printable(str(status)))


class Backoff:
    """Waits that double, until something good resets them."""

    def __init__(self) -> None:
        self._next_s = _FIRST_WAIT_S

    def reset(self) -> None:
        """Begin again with the first wait."""
        self._next_s = _FIRST_WAIT_S

    def next_s(self) -> float:
        """Return the next wait in seconds."""
        wait_s, self._next_s = self._next_s, min(2 * self._next_s, _LONGEST_WAIT_S)
        return wait_s


def reopened(
    source: Source,
    stop: threading.Event,
    on_status: Callable[[SourceStatus], object] = log_status,
    clock: Clock = SYSTEM_CLOCK,
) -> Iterator[Recording]:
    """Yield the recordings of a source, which is opened again as long as it can have more.

    The listener takes the blocks of each recording; a SourceError that they raise is theirs to note, and the next
    recording can be asked for.

    Args:
        source: a source; one that does not reopen ends after its recordings.
        stop: ends everything, waits included.
        on_status: is told when the source has gone, at each try that fails, and when it is back.
        clock: for the waits.

    Raises:
        InputError: the source could not be opened the first time, or can never be.
    """
    return _Reopening(source, stop, on_status, clock).recordings()


class _Reopening:
    """One source, opened again and again.

    Attributes:
        _gone_since_s: when the source went, in monotonic seconds; None while it is open.
    """

    def __init__(
        self, source: Source, stop: threading.Event, on_status: Callable[[SourceStatus], object], clock: Clock
    ) -> None:
        self._source, self._stop, self._on_status, self._clock = source, stop, on_status, clock
        self._backoff = Backoff()
        self._may_fail = source.waits
        self._gone_since_s: float | None = None

    def recordings(self) -> Iterator[Recording]:
        while not self._stop.is_set():
            last: Recording | None = None
            try:
                for recording in self._source.recordings(self._stop):
                    self._come_back()
                    last = recording
                    yield recording
                    if recording.facts.duration_s >= _GOOD_AFTER_S:
                        self._backoff.reset()
                if not self._source.reopens or (last is not None and last.is_finite and last.failure is None):
                    return
                self._go(last.end_reason if last is not None else "nothing came from it")
            except SourceError as error:
                if not self._may_fail:
                    raise InputError(str(error)) from error
                if not self._source.reopens:
                    raise
                self._go(str(error))

    def _come_back(self) -> None:
        self._may_fail = True
        if self._gone_since_s is not None:
            gone_s = self._clock.monotonic() - self._gone_since_s
            self._on_status(SourceStatus(self._source.name, True, f"{gone_s:.0f} s"))
            self._gone_since_s = None

    def _go(self, reason: str) -> None:
        """Tell that the source has gone, and wait."""
        if self._stop.is_set():
            return
        if self._gone_since_s is None:
            self._gone_since_s = self._clock.monotonic()
        wait_s = self._backoff.next_s()
        self._on_status(SourceStatus(self._source.name, False, reason, wait_s))
        self._clock.wait(self._stop, wait_s)
