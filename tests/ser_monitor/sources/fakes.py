"""A clock whose time passes by hand, and tones."""

import select
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np

from ser_monitor.sources.base import Block, Recording, SourceError
from ser_monitor.sources.clock import Clock

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)


class FakeClock(Clock):
    """Time that passes only by waiting, from noon and 100 s on.

    Attributes:
        waits: every wait, in seconds.
        during_wait: is called at the end of each wait, with their number.
    """

    def __init__(self, during_wait: Callable[[int], object] = lambda _: None) -> None:
        self.now_s = 100.0
        self.waits: list[float] = []
        self.during_wait = during_wait

    def monotonic(self) -> float:
        return self.now_s

    def utc_now(self) -> datetime:
        return NOON + timedelta(seconds=self.now_s - 100.0)

    def wait(self, stop: threading.Event, duration_s: float) -> bool:
        self.waits.append(duration_s)
        self.now_s += max(0.0, duration_s)
        self.during_wait(len(self.waits))
        return stop.is_set()

    def wait_to_read(self, handle: int, duration_s: float) -> bool:
        if select.select([handle], [], [], 0)[0]:
            return True
        self.wait(threading.Event(), duration_s)
        return False


def tone(num_samples: int, rate_hz: int = 16_000, frequency_hz: float = 440.0) -> np.ndarray:
    """Return a tone in multiples of 2**-15, so that 16 bits hold it exactly, float32 (samples,)."""
    seconds = np.arange(num_samples) / rate_hz
    return (np.round(8_000 * np.sin(2 * np.pi * frequency_hz * seconds)) / 2**15).astype(np.float32)


def pcm(samples: np.ndarray) -> bytes:
    """Return samples as raw 16-bit little-endian."""
    return (samples * 2**15).astype("<i2").tobytes()


def listen(recording: Recording) -> tuple[np.ndarray, list[Block]]:
    """Return all samples of a recording, (samples, channels), and its blocks."""
    blocks = list(recording.blocks())
    return np.concatenate([block.samples for block in blocks]), blocks


def listen_until_failure(recording: Recording) -> tuple[np.ndarray, str]:
    """Return the samples that come before a recording breaks off, (samples, channels), and the reason."""
    blocks: list[np.ndarray] = []
    try:
        for block in recording.blocks():
            blocks.append(block.samples)
    except SourceError as error:
        return np.concatenate(blocks), str(error)
    raise AssertionError(f"it ended well: {recording.end_reason}")
