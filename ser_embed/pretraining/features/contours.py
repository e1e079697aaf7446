"""What can be measured of a voice at every frame of HuBERT's: pitch, level and the shape of the spectrum.

All of it comes from one spectrum per frame. Pitch is the strongest peak of the autocorrelation, divided by the window's
own (Boersma 1993). Contours are those of eGeMAPS (Eyben et al. 2016) where that spectrum gives them. The level is
relative to the clip's, since encoders hear clips of unit variance.
"""

import dataclasses
import functools

import numpy as np

from ser_embed.pretraining.features.frames import HOP, WINDOW, num_frames
from ser_embed.spec import RATE_HZ

NUM_MELS = 24

_LONG = 1_024  # samples a pitch is looked for in: 64 ms, four periods of a low voice
_FFT = 2_048
_LAGS = slice(RATE_HZ // 400, RATE_HZ // 65 + 1)  # 400 Hz down to 65 Hz
_OCTAVE_COST = 0.02  # per octave below the highest pitch: of two equal peaks the shorter period is the pitch
_TILT_HZ = {"low": (55, 1_000), "high": (1_000, 5_000)}  # eGeMAPS' alpha ratio, from the first bin above 50 Hz
_PEAKS_HZ = {"low": (50, 2_000), "high": (2_000, 5_000)}  # the Hammarberg index compares these bands' peaks
_SLOPE_HZ = (0, 1_500)  # spectral slope over the first formants
_FLUX_HZ = (0, 5_000)
_UNVOICED = 1e-3  # weight of a frame without voice
_FLOOR = 1e-8  # of the clip's power
_TINY = np.finfo(np.float64).tiny


@dataclasses.dataclass(frozen=True)
class Contours:
    """What is measured of a clip, float64 (frames,) each.

    Attributes:
        pitch: octaves above 1 Hz.
        voicing: 0 to 1.
        level: dB above the clip's mean power.
        tilt: dB by which 1 to 5 kHz exceed what is below.
        hammarberg: dB by which the strongest frequency below 2 kHz exceeds that above.
        slope: dB per kHz, up to 1.5 kHz.
        flux: dB by which the spectrum below 5 kHz changes from frame to frame beyond its level.
        bands: of 24 mel bands, dB above the clip's mean power, (frames, 24).
    """

    pitch: np.ndarray
    voicing: np.ndarray
    level: np.ndarray
    tilt: np.ndarray
    hammarberg: np.ndarray
    slope: np.ndarray
    flux: np.ndarray
    bands: np.ndarray

    @property
    def voiced(self) -> np.ndarray:
        """Weights of frames by how much voice is in them, float64 (frames,); a whisper has some too."""
        return voiced_weight(self.voicing)


def voiced_weight(voicing: np.ndarray) -> np.ndarray:
    """Return how much a frame counts by its voicing, 0 to 1, where only voices are looked at."""
    return voicing**2 + np.float32(_UNVOICED)


def contours(waveform: np.ndarray) -> Contours:
    """Measure a waveform, float32 (samples,) at 16 kHz, at least 400 samples."""
    power = _power_spectra(waveform)
    pitch, voicing = _pitch(power)
    total = power.sum(axis=1)
    floor = _FLOOR * total.mean() + _TINY
    clip_db = 10 * np.log10(total.mean() + floor)
    low, high = (power[:, _bins(*edges)].sum(axis=1) for edges in _TILT_HZ.values())
    decibels = 10 * np.log10(power + _FLOOR * power.mean() + _TINY)  # (frames, bins)
    return Contours(
        pitch=pitch,
        voicing=voicing,
        level=10 * np.log10(total + floor) - clip_db,
        tilt=10 * np.log10((high + floor) / (low + floor)),
        hammarberg=_hammarberg(decibels),
        slope=_slope(decibels),
        flux=_flux(decibels),
        bands=10 * np.log10(power @ _mel_filters() + floor) - clip_db,
    )


def _power_spectra(waveform: np.ndarray) -> np.ndarray:
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
    total = np.maximum(correlation[:, :1], _TINY)
    window_total = float((np.hanning(_LONG) ** 2).sum())
    peaks = correlation[:, _LAGS] / total / (own / window_total)  # (frames, lags)
    lags = np.arange(_LAGS.start, _LAGS.stop)
    best = (peaks - _OCTAVE_COST * np.log2(lags / lags[0])).argmax(axis=1)
    voicing = np.clip(np.take_along_axis(peaks, best[:, np.newaxis], axis=1)[:, 0], 0, 1)
    return median_filter(np.log2(RATE_HZ / lags[best]), size=5, mode="nearest"), voicing


def _hammarberg(decibels: np.ndarray) -> np.ndarray:
    low, high = (decibels[:, _bins(*edges)].max(axis=1) for edges in _PEAKS_HZ.values())
    return low - high


def _slope(decibels: np.ndarray) -> np.ndarray:
    part = decibels[:, _bins(*_SLOPE_HZ)]
    khz = np.arange(part.shape[1]) * RATE_HZ / _FFT / 1_000
    centred = khz - khz.mean()
    return part @ centred / (centred @ centred)


def _flux(decibels: np.ndarray) -> np.ndarray:
    part = decibels[:, _bins(*_FLUX_HZ)]
    shape = part - part.mean(axis=1, keepdims=True)
    return np.abs(np.diff(shape, axis=0, prepend=shape[:1])).mean(axis=1)


def _bins(low_hz: float, high_hz: float) -> slice:
    return slice(*(round(hz * _FFT / RATE_HZ) for hz in (low_hz, high_hz)))


@functools.cache
def _mel_filters() -> np.ndarray:
    from librosa.filters import mel

    return mel(sr=RATE_HZ, n_fft=_FFT, n_mels=NUM_MELS, fmin=40.0, htk=True, norm=None).T  # (bins, bands)
