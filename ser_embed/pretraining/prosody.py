"""How something is said: pitch, level, spectral tilt and voicing over spans of half a second, at HuBERT's frames.

MFCC clusters name the sound; these name the melody, so that a network which predicts both keeps both. Pitch is the
strongest peak of the autocorrelation, divided by the window's own (Boersma 1993). The level is relative to the clip's,
since encoders hear clips of unit variance.
"""

import numpy as np

from ser_embed.pretraining.frames import HOP, WINDOW, num_frames
from ser_embed.spec import RATE_HZ

NAMES = (
    "pitch", "pitch spread", "pitch slope", "level", "level spread", "level slope", "tilt", "tilt spread", "voicing",
)  # fmt: skip

_SPAN = 25  # frames: half a second, two or three syllables
_LONG = 1_024  # samples a pitch is looked for in: 64 ms, four periods of a low voice
_FFT = 2_048
_LAGS = slice(RATE_HZ // 400, RATE_HZ // 65 + 1)  # 400 Hz down to 65 Hz
_OCTAVE_COST = 0.02  # per octave below the highest pitch: of two equal peaks the shorter period is the pitch
_SPLIT_HZ, _TOP_HZ, _BOTTOM_HZ = 1_000, 5_000, 50  # as in eGeMAPS' alpha ratio
_FLOOR = 1e-8  # of the clip's power


def prosody(waveform: np.ndarray) -> np.ndarray:
    """Compute the features of a waveform.

    Args:
        waveform: float32 (samples,) at 16 kHz, at least 400 samples.

    Returns:
        float32 (frames, 9), in the order of `NAMES`. Pitch in octaves, level and tilt in dB.
    """
    pitch, voicing, level, tilt = contours(waveform)
    even = np.ones_like(level)
    spans = [
        *over_spans(pitch, voicing**2 + 1e-3, _SPAN),
        *over_spans(level, even, _SPAN),
        *over_spans(tilt, even, _SPAN)[:2],
    ]
    return np.stack([*spans, smooth(voicing, _SPAN)], axis=1).astype(np.float32)


def contours(waveform: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return pitch (octaves above 1 Hz), voicing (0 to 1), level (dB) and tilt (dB) of each frame, each (frames,)."""
    power = power_spectra(waveform)
    pitch, voicing = _pitch(power)
    hz = np.arange(power.shape[1]) * RATE_HZ / _FFT
    low = power[:, (hz >= _BOTTOM_HZ) & (hz < _SPLIT_HZ)].sum(axis=1)
    high = power[:, (hz >= _SPLIT_HZ) & (hz < _TOP_HZ)].sum(axis=1)
    floor = _FLOOR * power.sum(axis=1).mean() + np.finfo(np.float64).tiny
    loudness = 10 * np.log10(power.sum(axis=1) + floor)
    level = loudness - 10 * np.log10(power.sum(axis=1).mean() + floor)
    return pitch, voicing, level, 10 * np.log10((high + floor) / (low + floor))


def power_spectra(waveform: np.ndarray) -> np.ndarray:
    """Return the power spectra of windows centred on the frames, (frames, bins)."""
    count = num_frames(len(waveform))
    before = (_LONG - WINDOW) // 2
    padded = np.pad(waveform, (before, _LONG))
    windows = np.lib.stride_tricks.sliding_window_view(padded, _LONG)[::HOP][:count]
    return np.abs(np.fft.rfft(windows * np.hanning(_LONG), _FFT)) ** 2


def _pitch(power: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from scipy.ndimage import median_filter

    own = np.fft.irfft(np.abs(np.fft.rfft(np.hanning(_LONG), _FFT)) ** 2)[_LAGS.start : _LAGS.stop]
    correlation = np.fft.irfft(power)
    total = np.maximum(correlation[:, :1], np.finfo(np.float64).tiny)
    window_total = float((np.hanning(_LONG) ** 2).sum())
    peaks = correlation[:, _LAGS] / total / (own / window_total)  # (frames, lags)
    lags = np.arange(_LAGS.start, _LAGS.stop)
    best = (peaks - _OCTAVE_COST * np.log2(lags / lags[0])).argmax(axis=1)
    voicing = np.clip(np.take_along_axis(peaks, best[:, np.newaxis], axis=1)[:, 0], 0, 1)
    return median_filter(np.log2(RATE_HZ / lags[best]), size=5, mode="nearest"), voicing


def over_spans(contour: np.ndarray, weight: np.ndarray, span: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return weighted mean, standard deviation and slope per frame of a contour, over a span of frames around each."""
    time = np.arange(len(contour), dtype=np.float64)
    total = smooth(weight, span)
    mean, when = smooth(weight * contour, span) / total, smooth(weight * time, span) / total
    variance = np.maximum(smooth(weight * contour**2, span) / total - mean**2, 0)
    lag_variance = np.maximum(smooth(weight * time**2, span) / total - when**2, 1)
    slope = (smooth(weight * contour * time, span) / total - mean * when) / lag_variance
    return mean, np.sqrt(variance), slope


def smooth(contour: np.ndarray, span: int) -> np.ndarray:
    """Average over a Hann-shaped span; beyond the ends there is nothing, which the weights' own average makes up."""
    from scipy.ndimage import correlate1d

    window = np.hanning(span + 2)[1:-1]
    return correlate1d(contour, window / window.sum(), mode="constant")
