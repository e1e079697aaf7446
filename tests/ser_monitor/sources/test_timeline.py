"""Drift and dropouts of simulated sound cards."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ser_monitor.sources.timeline import RecordingFacts, Timeline


def record(timeline: Timeline, duration_s: float, drift_ppm: float, jitter_s: np.ndarray) -> None:
    """Add blocks of 1600 samples at nominally 16 kHz from a card whose clock is wrong by so many ppm."""
    for number in range(1, int(duration_s * 10)):
        true_s = number * 0.1 / (1 + drift_ppm / 1e6)
        timeline.add(1_600, 5_000 + true_s + jitter_s[number % len(jitter_s)], 0.0)


@given(drift_ppm=st.floats(-300, 300), seed=st.integers(0, 99))
@settings(max_examples=10)
def test_drift_is_measured_through_the_jitter_of_arrivals(drift_ppm: float, seed: int) -> None:
    """Blocks come up to 80 ms late, as they do on a busy machine: a hundred times the drift of ten seconds."""
    jitter_s = np.random.default_rng(seed).exponential(0.01, 4_001).clip(max=0.08)
    timeline = Timeline(16_000, is_live=True)
    record(timeline, 400, drift_ppm, jitter_s)
    measured = timeline.facts.drift_ppm
    assert measured is not None
    assert measured == pytest.approx(drift_ppm, abs=10)


def test_drift_is_not_told_before_it_means_something_and_never_of_files() -> None:
    for duration_s, is_live, is_told in ((60, True, False), (90, True, True), (400, False, False)):
        timeline = Timeline(16_000, is_live)
        record(timeline, duration_s, 50, np.zeros(1))
        assert (timeline.facts.drift_ppm is not None) == is_told


def test_lost_audio_is_a_dropout_and_no_drift() -> None:
    timeline, now_s = Timeline(8_000, is_live=True), 0.0
    for number in range(2_000):
        lost_s = 0.25 if number in (700, 1_500) else 0.0
        now_s += 0.1 + lost_s
        timeline.add(800, now_s, lost_s)
    facts = timeline.facts
    assert (facts.dropouts, facts.lost_s) == (2, 0.5)
    assert facts.duration_s == pytest.approx(200)
    assert facts.drift_ppm == pytest.approx(0, abs=0.01)


def test_nothing_received_is_nothing_told() -> None:
    assert Timeline(16_000, is_live=True).facts == RecordingFacts()
