"""Recordings of a source: blocks of samples with the moment at which they were there.

A source yields recordings, one after the other; one session listens to one recording. What holds for all:

- Samples are float32 (samples, channels), full scale at 1, at the recording's own rate.
- `stop` is a `threading.Event`; once it is set, blocks and recordings end within a fraction of a second, without error.
- A failure is a `SourceError` of one line, raised by `recordings` if nothing could be opened, and by `blocks` if the
  recording broke off; the blocks before it are good. `InputError` is kept for what can never work.
- Messages, names and descriptions hold no credentials.
"""

import abc
import dataclasses
import threading
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, ClassVar, Self

import numpy as np

from ser_embed.errors import SerError
from ser_monitor.sources.timeline import RecordingFacts, Timeline

STOPPED = "stopped"  # reason of a recording's end that was asked for


class SourceError(SerError):
    """A source has failed; it may work again later."""


@dataclasses.dataclass(frozen=True)
class Block:
    """Consecutive samples of a recording.

    Attributes:
        samples: float32 (samples, channels).
        captured_s: when its last sample was there, by `time.monotonic`, in seconds. Of a file at full speed, when it
            was read.
        lost_s: audio lost just before it, in seconds.
    """

    samples: np.ndarray
    captured_s: float
    lost_s: float = 0.0


def is_utf8(name: str) -> bool:
    """Tell whether a name is UTF-8, as databases and JSON hold nothing else; a file's name may be any bytes."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


class Recording(abc.ABC):
    """A recording, to be listened to once: a context manager that closes what it holds.

    Attributes:
        description: what is heard: a path, an address, a device.
        rate_hz: sampling rate.
        started_at: moment of the first sample, in UTC.
        is_live: whether its blocks come as time passes, so that a delay against `Block.captured_s` means something.
        is_finite: whether, once it has ended well, there is nothing more to come from where it is from.
        end_reason: why it ended, in words, such as "end of file", `STOPPED`, or what failed; "" before.
        failure: what made it break off, if anything did.
    """

    is_finite: bool = False
    _good_end: ClassVar[str] = "end of the recording"

    def __init__(
        self, description: str, rate_hz: int, started_at: datetime, stop: threading.Event, *, is_live: bool
    ) -> None:
        """Describe a recording that is open.

        Args:
            description: what is heard.
            rate_hz: sampling rate in Hz.
            started_at: moment of the first sample, in UTC.
            stop: ends the blocks.
            is_live: whether its blocks come as time passes.
        """
        self.description, self.rate_hz, self.started_at, self.is_live = description, rate_hz, started_at, is_live
        self.end_reason = ""
        self.failure: SourceError | None = None
        self._stop = stop
        self._timeline = Timeline(rate_hz, is_live)

    @property
    def facts(self) -> RecordingFacts:
        """Counts so far: duration, dropouts, drift."""
        return self._timeline.facts

    @property
    def identity(self) -> Mapping[str, Any]:
        """What tells this recording from others of the same description, as JSON values; nothing where it is live."""
        return {}

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks as they come, and close the recording.

        Raises:
            SourceError: the recording broke off. It is also kept as `failure`.
        """
        try:
            for block in self._blocks():
                self._timeline.add(len(block.samples), block.captured_s, block.lost_s)
                yield block
                if self._stop.is_set():
                    return
            if not self._stop.is_set():
                self.end_reason = self._good_end
        except SourceError as error:
            self.failure, self.end_reason = error, str(error)
            raise
        finally:
            self.end_reason = self.end_reason or STOPPED  # also where the consumer leaves early
            self.close()

    @abc.abstractmethod
    def _blocks(self) -> Iterator[Block]:
        """Yield the blocks until the recording ends, `stop` is set, or a SourceError is raised."""

    def close(self) -> None:  # noqa: B027 - not every recording holds something
        """Close files and devices and end processes; may be called twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Source(abc.ABC):
    """A source of recordings.

    Attributes:
        name: by which rules, displays and the database know it.
        kind: what it is, such as "microphone" or "file".
        description: what it opens: a path, an address, a device.
        unreadable: one {"path", "reason"} for each file of a folder that could not be read to its end.
        reopens: whether it is opened again after it has ended or failed; see `ser_monitor.sources.reopening`.
        waits: whether it opens before anything is there to listen to, as a folder does; else, failing to open the
            first time is a mistake of the user.
    """

    kind: ClassVar[str]
    reopens: ClassVar[bool]
    waits: ClassVar[bool] = False

    def __init__(self, name: str, description: str) -> None:
        """Name a source; nothing is opened.

        Args:
            name: see the class.
            description: see the class.
        """
        self.name, self.description = name, description
        self.unreadable: list[dict[str, str]] = []

    def require_usable(self) -> None:  # noqa: B027 - most sources need nothing
        """Check that what opens the source is here, before anything expensive is loaded.

        Raises:
            InputError: a library, a program or a device is missing.
        """

    @abc.abstractmethod
    def recordings(self, stop: threading.Event) -> Iterator[Recording]:
        """Open the source and yield its recordings, each when it begins.

        A recording is closed when the next one is asked for, or the iterator is closed or forgotten.

        Raises:
            SourceError: it cannot be opened now.
            InputError: it can never be opened.
        """
