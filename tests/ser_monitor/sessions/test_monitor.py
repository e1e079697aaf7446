"""Monitor: Ctrl-C ends the listening with everything heard so far committed, however the threads stand."""

import signal
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ser_monitor.alerts.engine import RuleEngine
from ser_monitor.config import WatchConfig
from ser_monitor.database.database import Database
from ser_monitor.events import Event
from ser_monitor.segments.cutting import Cut
from ser_monitor.sessions import listener as listening
from ser_monitor.sessions.monitor import Monitor
from ser_monitor.sources.base import Block, Recording, Source

START = datetime(2026, 11, 28, 12, tzinfo=UTC)


class SlowRecording(Recording):
    """Silence that ends half a second after it is asked to stop, as one does that waits for a device."""

    def _blocks(self) -> Iterator[Block]:
        for _ in range(20):
            yield Block(np.zeros((1600, 1), np.float32), time.monotonic())
        main = threading.main_thread().ident
        assert main is not None
        signal.pthread_kill(main, signal.SIGINT)
        self._stop.wait(30)
        time.sleep(0.5)
        for _ in range(10):
            yield Block(np.zeros((1600, 1), np.float32), time.monotonic())


class SlowSource(Source):
    kind = "file"
    reopens = False

    def recordings(self, stop: threading.Event) -> Iterator[Recording]:
        yield SlowRecording("slow", 16_000, START, stop, is_live=False)


class WindowsOfSilence:
    """Cuts a window of each second, which has no speech."""

    voice = None

    def __init__(self, *_: Any, **__: Any) -> None:
        self._num_samples = 0

    def push(self, samples: np.ndarray) -> list[Cut]:
        before, self._num_samples = self._num_samples // 16_000, self._num_samples + len(samples)
        seconds = range(before, self._num_samples // 16_000)
        segments: list[Any] = [SimpleNamespace(start_s=start, end_s=start + 1, waveform=None) for start in seconds]
        return [Cut("window", segment, 0.0) for segment in segments]

    def finish(self) -> list[Cut]:
        return []


def test_ctrl_c_waits_for_sources_that_are_slow_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "Cutter", WindowsOfSilence)
    run = SimpleNamespace(folder=Path("run"), config=SimpleNamespace(personalized=()), members=())
    predictor: Any = SimpleNamespace(run=run, labels=("angry", "sad"), scorer=None, speaker=None)
    items: list[Any] = []
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell may have had ignored
    with Database(tmp_path / "m.db") as database:
        config = WatchConfig(unusual=0)
        monitor = Monitor(config, predictor, database, RuleEngine(()), lambda _: None, items.extend)
        try:
            with pytest.raises(KeyboardInterrupt):
                monitor.run([SlowSource("slow", "slow")])
        finally:
            signal.signal(signal.SIGINT, before)
        sessions = database.sessions()
        assert sessions["ended_at"].notna().all()
        assert len(database.segments()) == sum(isinstance(item, Event) for item in items) == monitor.num_events
        assert monitor.num_events >= 2
    assert not [thread for thread in threading.enumerate() if thread.name in ("slow", "scorer", "event writer")]
