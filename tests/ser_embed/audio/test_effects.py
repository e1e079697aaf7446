"""Oracles of effects: ratios of signal to noise, decays of rooms, bands of filters, colours of noise, levels."""

import numpy as np
import pytest

from ser_embed.audio.effects import (
    PINK,
    WHITE,
    add_noise,
    change_level,
    clip_peaks,
    colour_noise,
    convolve,
    filter_band,
    mix_babble,
    pass_telephone,
    rms,
    room_response,
)
from tests.ser_embed.conftest import tone

RATE_HZ = 16_000


def level_db(waveform: np.ndarray) -> float:
    return 10 * np.log10(np.mean(np.square(waveform, dtype=np.float64)))


def decay_of(response: np.ndarray) -> float:
    """Time in s of a decay by 60 dB, from -5 to -35 dB of the energy decay curve (Schroeder, 1965)."""
    energy = np.cumsum(np.square(response[::-1]))[::-1]
    curve_db = 10 * np.log10(energy / energy[0])
    part = np.flatnonzero((curve_db < -5) & (curve_db > -35))
    slope_db = np.polyfit(part / RATE_HZ, curve_db[part], 1)[0]
    return -60 / slope_db


@pytest.mark.parametrize("snr_db", [-5.0, 5.0, 12.3, 30.0])
@pytest.mark.parametrize("noise_level", [1e-3, 1.0, 50.0])
def test_noise_has_the_ratio_asked_for(snr_db: float, noise_level: float) -> None:
    clip = tone(16_000, 1)
    noise = noise_level * np.random.default_rng(0).standard_normal(16_000, np.float32)
    noisy = add_noise(clip, noise, snr_db)
    assert level_db(clip) - level_db(noisy - clip) == pytest.approx(snr_db, abs=0.1)
    babble = mix_babble(np.random.default_rng(0), [tone(5_000, 2), tone(20_000, 3)], 16_000)
    assert level_db(clip) - level_db(add_noise(clip, babble, snr_db) - clip) == pytest.approx(snr_db, abs=0.1)


@pytest.mark.parametrize("decay_s", [0.15, 0.3, 0.5, 0.8, 1.2])
@pytest.mark.parametrize("echo_db", [-15.0, -6.0, 0.0])
def test_a_room_decays_as_asked(decay_s: float, echo_db: float) -> None:
    response = room_response(np.random.default_rng(7), decay_s, echo_db, round(decay_s * RATE_HZ))
    assert decay_of(response) == pytest.approx(decay_s, rel=0.1)
    assert level_db(response[1:]) + 10 * np.log10(len(response) - 1) == pytest.approx(echo_db, abs=0.1)
    assert response[0] == 1


def test_rooms_of_a_batch_are_each_its_own() -> None:
    decays_s = np.array([0.2, 0.6])
    responses = room_response(np.random.default_rng(1), decays_s, np.array([0.0, -3.0]), 9_600)
    assert responses.shape == (2, 9_600)
    assert [decay_of(response) for response in responses] == pytest.approx(decays_s, rel=0.1)


def test_convolution_is_that_of_numpy() -> None:
    clip, response = tone(2_000, 1), np.random.default_rng(0).standard_normal(301)
    np.testing.assert_allclose(convolve(clip, response), np.convolve(clip, response)[:2_000], atol=1e-4)


@pytest.mark.parametrize(("hz", "expected_db"), [(1_000, 0.0), (75, -24.0), (7_000, -24.0), (37.5, -48.0)])
def test_a_band_falls_by_24_db_per_octave_beyond_its_edges(hz: float, expected_db: float) -> None:
    sine = np.sin(2 * np.pi * hz * np.arange(RATE_HZ * 2) / RATE_HZ).astype(np.float32)
    filtered = filter_band(sine, 150.0, 3_500.0)
    assert level_db(filtered) - level_db(sine) == pytest.approx(expected_db, abs=0.3)


def test_a_tilt_leaves_the_level_at_1_khz() -> None:
    for hz, expected_db in [(1_000, 0.0), (4_000, 6.0), (500, -3.0)]:
        sine = np.sin(2 * np.pi * hz * np.arange(RATE_HZ) / RATE_HZ).astype(np.float32)
        tilted = filter_band(sine, 20.0, 8_000.0, 3.0)
        assert level_db(tilted) - level_db(sine) == pytest.approx(expected_db, abs=0.2)


@pytest.mark.parametrize(("exponent", "slope_db"), [(WHITE, 0.0), (PINK, -3.01), (-1.0, -6.02)])
def test_noise_has_the_slope_of_its_colour(exponent: float, slope_db: float) -> None:
    noise = colour_noise(np.random.default_rng(0).standard_normal(1 << 18, np.float32), exponent)
    power = np.square(np.abs(np.fft.rfft(noise.astype(np.float64))))
    octaves = [power[1 << start : 2 << start].mean() for start in range(9, 17)]
    measured = np.polyfit(np.arange(8), 10 * np.log10(octaves), 1)[0]
    assert measured == pytest.approx(slope_db, abs=0.15)


def test_levels_and_clipping() -> None:
    clip = tone(8_000, 1)
    assert level_db(change_level(clip, -7.0)) - level_db(clip) == pytest.approx(-7, abs=1e-3)
    clipped = clip_peaks(clip, 1.2)
    assert np.abs(clipped).max() == pytest.approx(1.2 * float(rms(clip)[0]), rel=1e-5)
    assert np.array_equal(clipped == clip, np.abs(clip) <= np.abs(clipped).max())


def test_a_batch_is_its_clips() -> None:
    batch = np.stack([tone(3_000, seed) for seed in range(3)])
    low_hz, high_hz, tilt_db = np.array([50.0, 100, 300]), np.array([3_000.0, 5_000, 7_000]), np.array([0.0, 2, -4])
    together = filter_band(batch, low_hz, high_hz, tilt_db)
    line, clipped = pass_telephone(batch), clip_peaks(batch, low_hz / 50)
    for row, clip in enumerate(batch):
        alone = filter_band(clip, low_hz[row], high_hz[row], tilt_db[row])
        np.testing.assert_allclose(alone, together[row], atol=1e-6)
        np.testing.assert_allclose(pass_telephone(clip), line[row], atol=2e-2)  # one step of 8 bits, where it rounds
        np.testing.assert_allclose(clip_peaks(clip, low_hz[row] / 50), clipped[row], atol=1e-6)


def test_a_telephone_line_passes_speech_frequencies_alone() -> None:
    time_s = np.arange(RATE_HZ) / RATE_HZ
    for hz, is_passed in [(100, False), (1_000, True), (7_000, False)]:
        sine = (0.3 * np.sin(2 * np.pi * hz * time_s)).astype(np.float32)
        loss_db = level_db(sine) - level_db(pass_telephone(sine))
        assert (loss_db < 0.5) if is_passed else (loss_db > 20)
