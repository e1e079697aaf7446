"""Other rooms, other microphones: disturbances of the input, while the labels stay those of the clean clip.

A network that has to name the same sounds through all of them cannot live on hearing the microphone. Everything keeps
the samples where they are, so labels stay aligned, and works on a whole batch at once.
"""

from typing import Any

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft

from ser_embed.spec import RATE_HZ

_MU = np.float32(255)  # G.711's companding
_TELEPHONE_HZ = (300.0, 3_400.0)


def augment_batch(rng: np.random.Generator, waveforms: np.ndarray, chance: float) -> np.ndarray:
    """Disturb a batch.

    Args:
        rng: where chance comes from.
        waveforms: float32 (clips, samples).
        chance: of each kind of disturbance, drawn for each clip and kind: a room, a band with a tilt, noise,
            clipping, a telephone line.

    Returns:
        float32 (clips, samples), a new array.
    """
    out = waveforms.copy()
    for change in (_room, _band, _noise, _clipping, _telephone):
        chosen = rng.random(len(out)) < chance
        if chosen.any():
            out[chosen] = change(rng, out[chosen])
    return out


def _room(rng: np.random.Generator, waveforms: np.ndarray) -> np.ndarray:
    """Add the echoes of a room: noise that decays by 60 dB in 0.1 to 0.7 s, behind the direct sound."""
    clips, samples = waveforms.shape
    count = min(samples, RATE_HZ // 2)
    decay_s = _column(rng.uniform(0.1, 0.7, clips))
    loudness = _column(10 ** (rng.uniform(-15, 3, clips) / 20))  # of all echoes, relative to the direct sound
    time_s = (np.arange(count) / RATE_HZ).astype(np.float32)
    echoes = rng.standard_normal((clips, count), np.float32) * np.exp(-3 * np.log(10) * time_s / decay_s)
    echoes[:, : RATE_HZ // 500] = 0  # the first wall is a third of a metre away
    echoes *= loudness / np.maximum(np.linalg.norm(echoes, axis=1, keepdims=True), 1e-9)
    echoes[:, 0] = 1
    size = next_fast_len(samples + count, real=True)
    return irfft(rfft(waveforms, size) * rfft(echoes, size), size)[:, :samples]


def _band(rng: np.random.Generator, waveforms: np.ndarray) -> np.ndarray:
    """Let a band pass, soft at its edges and tilted by up to 4 dB per octave."""
    clips = len(waveforms)
    low_hz = np.exp(rng.uniform(np.log(20), np.log(300), clips))
    high_hz = np.exp(rng.uniform(np.log(2_500), np.log(8_000), clips))
    return _filtered(waveforms, low_hz, high_hz, rng.uniform(-4, 4, clips))


def _noise(rng: np.random.Generator, waveforms: np.ndarray) -> np.ndarray:
    """Add noise between white and brown, 3 to 30 dB below the clip."""
    noise = rng.standard_normal(waveforms.shape, np.float32)
    spectrum = rfft(noise, next_fast_len(noise.shape[1], real=True))
    bins = np.maximum(np.arange(spectrum.shape[1], dtype=np.float32), 1)
    noise = irfft(spectrum * bins ** _column(rng.uniform(-1, 0, len(waveforms))))[:, : noise.shape[1]]
    ratio = _column(10 ** (rng.uniform(-30, -3, len(waveforms)) / 20))
    return waveforms + noise * ratio * _rms(waveforms) / _rms(noise)


def _clipping(rng: np.random.Generator, waveforms: np.ndarray) -> np.ndarray:
    """Turn the gain up until the peaks are cut off at 1 to 4 times the clip's RMS."""
    limit = _column(rng.uniform(1, 4, len(waveforms))) * _rms(waveforms)
    return np.clip(waveforms, -limit, limit)


def _telephone(rng: np.random.Generator, waveforms: np.ndarray) -> np.ndarray:
    """Pass a telephone line: 300 to 3400 Hz, companded to 8 bits (G.711, mu-law)."""
    low_hz, high_hz = (np.full(len(waveforms), edge) for edge in _TELEPHONE_HZ)
    narrow = _filtered(waveforms, low_hz, high_hz, np.zeros(len(waveforms)))
    peak = np.maximum(np.abs(narrow).max(axis=1, keepdims=True), 1e-9)
    companded = np.sign(narrow) * np.log1p(_MU * np.abs(narrow) / peak) / np.log1p(_MU)
    coarse = np.round(companded * 127) / 127
    return np.sign(coarse) * np.expm1(np.abs(coarse) * np.log1p(_MU)) / _MU * peak


def _filtered(waveforms: np.ndarray, low_hz: np.ndarray, high_hz: np.ndarray, tilt_db: np.ndarray) -> np.ndarray:
    """Filter without delay, 24 dB per octave beyond the edges; each argument but the first (clips,)."""
    samples = waveforms.shape[1]
    size = next_fast_len(samples, real=True)
    octaves = np.log2(np.maximum(np.fft.rfftfreq(size, 1 / RATE_HZ), 1)).astype(np.float32)
    gain_db = _column(tilt_db) * (octaves - np.log2(np.float32(1_000)))
    gain_db -= np.clip(24 * (_column(np.log2(low_hz)) - octaves), 0, 60)
    gain_db -= np.clip(24 * (octaves - _column(np.log2(high_hz))), 0, 60)
    return irfft(rfft(waveforms, size) * np.exp(gain_db * np.float32(np.log(10) / 20)), size)[:, :samples]


def _rms(waveforms: np.ndarray) -> np.ndarray:
    return np.sqrt(np.square(waveforms).mean(axis=1, keepdims=True)) + np.float32(1e-9)


def _column(values: Any) -> np.ndarray:
    """Return one number per clip as float32 (clips, 1)."""
    return np.asarray(values, np.float32)[:, np.newaxis]
