"""Oracles of pitch and stretching: the frequency of a tone, lengths, alignment, the same bytes in every call."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ser_embed.audio import stretching
from ser_embed.audio.stretching import shift_pitch, stretch, stretch_method
from tests.ser_embed.conftest import tone

RATE_HZ, FRAME = 16_000, 320


@pytest.fixture(params=["signalsmith", pytest.param("librosa", marks=pytest.mark.slow)])
def method(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Each method in turn; librosa compiles for 15 s."""
    if request.param == "signalsmith":
        pytest.importorskip("python_stretch")
    monkeypatch.setattr(stretching, "stretch_method", lambda: request.param)
    stretching._load_method.cache_clear()
    yield request.param
    stretching._load_method.cache_clear()


def sine(hz: float, num_samples: int = 24_000) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hz * np.arange(num_samples) / RATE_HZ)).astype(np.float32)


def pitch_hz(waveform: np.ndarray) -> float:
    """Frequency of a tone, from the parabola through the peak of its log spectrum."""
    middle = waveform[len(waveform) // 4 : 3 * len(waveform) // 4]
    size = 1 << 18
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), size))
    peak = int(spectrum.argmax())
    below, at, above = np.log(spectrum[peak - 1 : peak + 2])
    return (peak + 0.5 * (below - above) / (below - 2 * at + above)) * RATE_HZ / size


@pytest.mark.parametrize("semitones", [-4.0, -2.0, -0.7, 0.3, 1.0, 2.0])
def test_pitch_moves_by_the_semitones_asked_for(method: str, semitones: float) -> None:
    for hz in (95.0, 220.0, 410.0):
        shifted = shift_pitch(sine(hz), semitones)
        assert len(shifted) == 24_000
        assert 12 * np.log2(pitch_hz(shifted) / hz) == pytest.approx(semitones, abs=0.05)


@pytest.mark.parametrize("factor", [0.85, 0.93, 1.0, 1.07, 1.15])
def test_lengths_are_as_asked_and_pitch_stays(method: str, factor: float) -> None:
    for length in (400, 1_000, 7_919, 24_000):
        assert abs(len(stretch(tone(length), factor)) - factor * length) <= min(1, FRAME)
    assert 12 * np.log2(pitch_hz(stretch(sine(220.0), factor)) / 220) == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("factor", [0.85, 1.15])
def test_events_stay_at_their_time(method: str, factor: float) -> None:
    waveform = np.zeros(24_000, np.float32)
    waveform[8_000:12_000] = 0.2 * np.random.default_rng(0).standard_normal(4_000)
    for altered, scale in [(stretch(waveform, factor), factor), (shift_pitch(waveform, 2.0), 1.0)]:
        energy = np.cumsum(np.square(altered, dtype=np.float64))
        begin, end = np.searchsorted(energy, [0.02 * energy[-1], 0.98 * energy[-1]]) / scale
        assert begin == pytest.approx(8_080, abs=FRAME)
        assert end == pytest.approx(11_920, abs=FRAME)


def test_the_same_waveform_gives_the_same_bytes_also_in_threads(method: str) -> None:
    clips = [tone(6_000, seed) for seed in range(6)]
    alone = [(stretch(clip, 1.1).tobytes(), shift_pitch(clip, -1.5).tobytes()) for clip in clips]
    with ThreadPoolExecutor(4) as threads:
        together = list(
            threads.map(lambda clip: (stretch(clip, 1.1).tobytes(), shift_pitch(clip, -1.5).tobytes()), clips)
        )
    assert together == alone


@pytest.mark.slow
def test_without_the_package_it_is_librosa_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(stretching.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "python_stretch", None)  # importing it now raises
    stretching._load_method.cache_clear()
    assert stretch_method() == "librosa"
    assert len(stretch(tone(4_000), 1.1)) == 4_400
    stretch(tone(4_000), 1.1)
    assert caplog.text.count("python-stretch, of the extra `augment`, is not installed") == 1
    stretching._load_method.cache_clear()
