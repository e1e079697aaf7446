"""A clock whose time passes by hand, and tones."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np

from ser_monitor.sources.base import Block, Recording
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
