"""Effects on waveforms with explicit physical parameters: filters, rooms, noise, levels, clipping, a telephone line.

Waveforms are float32 at 16 kHz with samples on the last axis, one clip (samples,) or a batch (clips, samples); a
parameter is one number, or one for each clip, (clips,). No effect shifts the samples in time or changes their number.
SciPy is imported on the first call, so that naming the effects costs nothing.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ser_embed.spec import RATE_HZ

WHITE, PINK = 0.0, -0.5  # exponents of frequency in the amplitude: power that is even, and that falls as 1/f
_MU = np.float32(255)  # mu-law companding of G.711
_TELEPHONE_HZ = (300.0, 3_400.0)
_NUM_VOICES = 3  # of babble: fewer could be understood, more sound like noise


def change_level(waveforms: np.ndarray, gain_db: Any) -> np.ndarray:
    """Amplify by a gain in dB; beyond full scale nothing is clipped."""
    return waveforms * _column(10 ** (np.asarray(gain_db) / 20))


def filter_band(waveforms: np.ndarray, low_hz: Any, high_hz: Any, tilt_db: Any = 0.0) -> np.ndarray:
    """Filter with zero phase: a band-pass that falls by 24 dB per octave beyond its edges, by 60 dB at most.

    Args:
        waveforms: float32 (..., samples).
        low_hz: lower edge of the band, in Hz.
        high_hz: upper edge of the band, in Hz.
        tilt_db: slope of the spectrum, in dB per octave; 1 kHz keeps its level.

    Returns:
        float32 (..., samples).
    """
    from scipy.fft import irfft, next_fast_len, rfft

    samples = waveforms.shape[-1]
    size = next_fast_len(samples, real=True)
    octaves = np.log2(np.maximum(np.fft.rfftfreq(size, 1 / RATE_HZ), 1)).astype(np.float32)
    gain_db = _column(tilt_db) * (octaves - np.log2(np.float32(1_000)))
    gain_db -= np.clip(24 * (_column(np.log2(low_hz)) - octaves), 0, 60)
    gain_db -= np.clip(24 * (octaves - _column(np.log2(high_hz))), 0, 60)
    return irfft(rfft(waveforms, size) * np.exp(gain_db * np.float32(np.log(10) / 20)), size)[..., :samples]


def room_response(rng: np.random.Generator, decay_s: Any, echo_db: Any, num_taps: int) -> np.ndarray:
    """Draw impulse responses of rooms: the direct sound, then noise that decays exponentially (Moorer, 1979).

    Args:
        rng: draws the echoes.
        decay_s: time in which the echoes decay by 60 dB, in s.
        echo_db: energy of all echoes relative to the direct sound, in dB.
        num_taps: length, in samples.

    Returns:
        float64 (..., num_taps); the first sample is the direct sound, 1.
    """
    time_s = (np.arange(num_taps) / RATE_HZ).astype(np.float32)
    echoes = rng.standard_normal((*np.shape(decay_s), num_taps), np.float32)
    echoes = echoes * np.exp(-3 * np.log(10) * time_s / _column(decay_s))
    echoes[..., : RATE_HZ // 500] = 0  # no echo in the first 2 ms: the nearest wall is a third of a metre away
    loudness = _column(10 ** (np.asarray(echo_db) / 20))
    echoes *= loudness / np.maximum(np.linalg.norm(echoes, axis=-1, keepdims=True), 1e-9)
    echoes[..., 0] = 1
    return echoes


def convolve(waveforms: np.ndarray, responses: np.ndarray) -> np.ndarray:
    """Convolve with impulse responses, (..., taps); what sounds on after the last sample is cut."""
    from scipy.fft import irfft, next_fast_len, rfft

    samples = waveforms.shape[-1]
    size = next_fast_len(samples + responses.shape[-1], real=True)
    return irfft(rfft(waveforms, size) * rfft(responses, size), size)[..., :samples]


def colour_noise(noise: np.ndarray, exponent: Any) -> np.ndarray:
    """Multiply the spectrum of white noise by frequency to the power of an exponent: `WHITE`, `PINK`, -1 is brown."""
    from scipy.fft import irfft, next_fast_len, rfft

    size = next_fast_len(noise.shape[-1], real=True)
    spectrum = rfft(noise, size)
    bins = np.maximum(np.arange(spectrum.shape[-1], dtype=np.float32), 1)
    return irfft(spectrum * bins ** _column(exponent), size)[..., : noise.shape[-1]]


def mix_babble(rng: np.random.Generator, voices: Sequence[np.ndarray], num_samples: int) -> np.ndarray:
    """Mix voices at equal level, each repeated and begun at a random sample.

    Args:
        rng: draws where each voice begins.
        voices: float32 (samples,) each, of any length; a single one is taken three times, from different samples.
        num_samples: length of the mixture.

    Returns:
        float32 (num_samples,).
    """
    several = list(voices) if len(voices) > 1 else list(voices) * _NUM_VOICES
    babble = np.zeros(num_samples, np.float32)
    for voice in several:
        babble += np.resize(np.roll(voice, rng.integers(len(voice))), num_samples) / rms(voice)[0]
    return babble


def add_noise(waveforms: np.ndarray, noise: np.ndarray, snr_db: Any) -> np.ndarray:
    """Add noise of any level so that the RMS of the clip is `snr_db` dB above that of the noise.

    Args:
        waveforms: float32 (..., samples).
        noise: as many samples.
        snr_db: ratio of signal to noise, in dB.
    """
    ratio = _column(10 ** (-np.asarray(snr_db) / 20))
    return waveforms + noise * ratio * rms(waveforms) / rms(noise)


def clip_peaks(waveforms: np.ndarray, limit: Any) -> np.ndarray:
    """Clip the peaks at a multiple of the RMS of the clip, as too high a gain does."""
    highest = _column(limit) * rms(waveforms)
    return np.clip(waveforms, -highest, highest)


def pass_telephone(waveforms: np.ndarray) -> np.ndarray:
    """Pass through a telephone line: 300 to 3400 Hz, companded to 8 bits (G.711, mu-law)."""
    low_hz, high_hz = (np.full(waveforms.shape[:-1], edge) for edge in _TELEPHONE_HZ)
    narrowband = filter_band(waveforms, low_hz, high_hz, np.zeros(waveforms.shape[:-1]))
    peak = np.maximum(np.abs(narrowband).max(axis=-1, keepdims=True), 1e-9)
    companded = np.sign(narrowband) * np.log1p(_MU * np.abs(narrowband) / peak) / np.log1p(_MU)
    quantized = np.round(companded * 127) / 127
    return np.sign(quantized) * np.expm1(np.abs(quantized) * np.log1p(_MU)) / _MU * peak


def rms(waveforms: np.ndarray) -> np.ndarray:
    """Return the RMS per clip, (..., 1), never exactly 0."""
    return np.sqrt(np.square(waveforms).mean(axis=-1, keepdims=True)) + np.float32(1e-9)


def _column(values: Any) -> np.ndarray:
    """Return one number per clip as float32 (..., 1)."""
    return np.asarray(values, np.float32)[..., np.newaxis]
