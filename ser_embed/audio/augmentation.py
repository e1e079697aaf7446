"""Augmentation of waveforms: other rooms, microphones and lines, with the labels of the clean clip.

A network that has to predict the same labels under all of them cannot rely on properties of the microphone. No
augmentation shifts the samples in time, so that labels stay aligned with them. Each works on a whole batch, float32
(clips, samples) at 16 kHz.
"""

from typing import Any

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft

from ser_embed.spec import RATE_HZ

_MU = np.float32(255)  # mu-law companding of G.711
_TELEPHONE_HZ = (300.0, 3_400.0)


def augment_batch(rng: np.random.Generator, waveforms: np.ndarray, probability: float) -> np.ndarray:
    """Augment a batch.

    Args:
        rng: the source of all random draws.
        waveforms: float32 (clips, samples).
        probability: of each augmentation, drawn independently for each clip and augmentation: the echoes of a room, a
            band-pass with a tilt, noise, clipping, a telephone line.

    Returns:
        float32 (clips, samples), a new array.
    """
    augmented = waveforms.copy()
    for augmentation in (_room, _band, _noise, _clipping, _telephone):
        selected = rng.random(len(augmented)) < probability
        if selected.any():
            augmented[selected] = augmentation(rng, augmented[selected])
    return augmented


def _room(rng: np.random.Generator, waveforms: np.ndarray) -> np.ndarray:
    """Add the echoes of a room: noise after the direct sound that decays by 60 dB in 0.1 to 0.7 s."""
    clips, samples = waveforms.shape
    num_taps = min(samples, RATE_HZ // 2)
    decay_s = _column(rng.uniform(0.1, 0.7, clips))
    loudness = _column(10 ** (rng.uniform(-15, 3, clips) / 20))  # of all echoes, relative to the direct sound
    time_s = (np.arange(num_taps) / RATE_HZ).astype(np.float32)
    echoes = rng.standard_normal((clips, num_taps), np.float32) * np.exp(-3 * np.log(10) * time_s / decay_s)
    echoes[:, : RATE_HZ // 500] = 0  # no echo in the first 2 ms: the nearest wall is a third of a metre away
    echoes *= loudness / np.maximum(np.linalg.norm(echoes, axis=1, keepdims=True), 1e-9)
    echoes[:, 0] = 1
    size = next_fast_len(samples + num_taps, real=True)
    return irfft(rfft(waveforms, size) * rfft(echoes, size), size)[:, :samples]


def _band(rng: np.random.Generator, waveforms: np.ndarray) -> np.ndarray:
    """Filter with a band-pass of soft edges (20-300 Hz and 2.5-8 kHz) and a tilt of up to 4 dB per octave."""
    clips = len(waveforms)
    low_hz = np.exp(rng.uniform(np.log(20), np.log(300), clips))
    high_hz = np.exp(rng.uniform(np.log(2_500), np.log(8_000), clips))
    return _filter(waveforms, low_hz, high_hz, rng.uniform(-4, 4, clips))


def _noise(rng: np.random.Generator, waveforms: np.ndarray) -> np.ndarray:
    """Add noise, from white to brown, with an RMS level 3 to 30 dB below that of the clip."""
    noise = rng.standard_normal(waveforms.shape, np.float32)
    spectrum = rfft(noise, next_fast_len(noise.shape[1], real=True))
    bins = np.maximum(np.arange(spectrum.shape[1], dtype=np.float32), 1)
    noise = irfft(spectrum * bins ** _column(rng.uniform(-1, 0, len(waveforms))))[:, : noise.shape[1]]
    ratio = _column(10 ** (rng.uniform(-30, -3, len(waveforms)) / 20))
    return waveforms + noise * ratio * _rms(waveforms) / _rms(noise)


def _clipping(rng: np.random.Generator, waveforms: np.ndarray) -> np.ndarray:
    """Clip the peaks at 1 to 4 times the RMS of the clip, as too high a gain does."""
    limit = _column(rng.uniform(1, 4, len(waveforms))) * _rms(waveforms)
    return np.clip(waveforms, -limit, limit)


def _telephone(rng: np.random.Generator, waveforms: np.ndarray) -> np.ndarray:
    """Simulate a telephone line: 300 to 3400 Hz, companded to 8 bits (G.711, mu-law)."""
    low_hz, high_hz = (np.full(len(waveforms), edge) for edge in _TELEPHONE_HZ)
    narrowband = _filter(waveforms, low_hz, high_hz, np.zeros(len(waveforms)))
    peak = np.maximum(np.abs(narrowband).max(axis=1, keepdims=True), 1e-9)
    companded = np.sign(narrowband) * np.log1p(_MU * np.abs(narrowband) / peak) / np.log1p(_MU)
    quantized = np.round(companded * 127) / 127
    return np.sign(quantized) * np.expm1(np.abs(quantized) * np.log1p(_MU)) / _MU * peak


def _filter(waveforms: np.ndarray, low_hz: np.ndarray, high_hz: np.ndarray, tilt_db: np.ndarray) -> np.ndarray:
    """Filter with zero phase: a band-pass that falls by 24 dB per octave beyond its edges, by 60 dB at most.

    Args:
        waveforms: float32 (clips, samples).
        low_hz: lower edge of the band per clip, in Hz, (clips,).
        high_hz: upper edge of the band per clip, in Hz, (clips,).
        tilt_db: slope of the spectrum per clip, in dB per octave, (clips,); 1 kHz keeps its level.

    Returns:
        float32 (clips, samples).
    """
    samples = waveforms.shape[1]
    size = next_fast_len(samples, real=True)
    octaves = np.log2(np.maximum(np.fft.rfftfreq(size, 1 / RATE_HZ), 1)).astype(np.float32)
    gain_db = _column(tilt_db) * (octaves - np.log2(np.float32(1_000)))
    gain_db -= np.clip(24 * (_column(np.log2(low_hz)) - octaves), 0, 60)
    gain_db -= np.clip(24 * (octaves - _column(np.log2(high_hz))), 0, 60)
    return irfft(rfft(waveforms, size) * np.exp(gain_db * np.float32(np.log(10) / 20)), size)[:, :samples]


def _rms(waveforms: np.ndarray) -> np.ndarray:
    """Return the RMS per clip, (clips, 1), never exactly 0."""
    return np.sqrt(np.square(waveforms).mean(axis=1, keepdims=True)) + np.float32(1e-9)


def _column(values: Any) -> np.ndarray:
    """Return one number per clip as float32 (clips, 1)."""
    return np.asarray(values, np.float32)[:, np.newaxis]
