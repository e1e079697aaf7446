"""Simulated recording of synthetic speech: spectral tilt, level, pauses and background noise, at 16 kHz."""

from typing import Any

import numpy as np
import soxr

from ser_embed.spec import RATE_HZ

NORMAL_LEVEL_DB = -26.0  # RMS of speech, relative to full scale
PEAK = 0.98  # of full scale; a clip with a higher peak is attenuated
PIVOT_HZ = 1000.0  # the tilt does not change the level at this frequency
LOWEST_HZ = 100.0  # the gain of the tilt is constant below this frequency
PAUSE_S = (0.1, 0.25)  # shortest and longest silence before and after the words
NOISE_DB = (-65.0, -55.0)  # lowest and highest RMS of the background noise, relative to full scale


def simulate_recording(
    speech: np.ndarray, rate_hz: int, level_db: float, tilt_db: float, random: np.random.Generator
) -> np.ndarray:
    """Tilt the spectrum, set the level, and add pauses and weak noise.

    Args:
        speech: int16 (samples,).
        rate_hz: its sampling rate in Hz.
        level_db: level relative to `NORMAL_LEVEL_DB`, in dB.
        tilt_db: slope added to the spectrum, in dB per octave.
        random: the source of the lengths of the pauses and of the noise.

    Returns:
        int16 (samples,) at 16 kHz.
    """
    wave = tilt(soxr.resample(speech.astype(np.float64) / 2**15, rate_hz, RATE_HZ), tilt_db)
    wave *= _amplitude(NORMAL_LEVEL_DB + level_db) / np.sqrt(np.mean(wave**2))
    before, after = (random.uniform(*PAUSE_S, size=2) * RATE_HZ).astype(int)
    wave = np.pad(wave, (before, after))
    wave += random.normal(0, _amplitude(random.uniform(*NOISE_DB)), len(wave))
    wave *= min(1.0, PEAK / np.abs(wave).max())
    return np.rint(wave * (2**15 - 1)).astype(np.int16)


def tilt(wave: np.ndarray, tilt_db: float) -> np.ndarray:
    """Add a slope of `tilt_db` per octave to the spectrum of a waveform.

    Args:
        wave: float64 (samples,) at 16 kHz.
        tilt_db: slope in dB per octave.

    Returns:
        float64 (samples,).
    """
    frequencies = np.fft.rfftfreq(len(wave), 1 / RATE_HZ)
    octaves = np.log2(np.maximum(frequencies, LOWEST_HZ) / PIVOT_HZ)
    return np.fft.irfft(np.fft.rfft(wave) * _amplitude(tilt_db * octaves), len(wave))


def _amplitude(level_db: float | np.ndarray) -> Any:
    return 10 ** (level_db / 20)
