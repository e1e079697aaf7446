"""Contours of a clip: pitch, level and the shape of the spectrum at every HuBERT frame.

All contours are computed from one power spectrum per frame, of a window of 64 ms centred on the frame; the waveform is
padded with zeros at both ends for it. Pitch is the strongest peak of the autocorrelation, divided by the
autocorrelation of the window (Boersma 1993). Contours follow the definitions of eGeMAPS (Eyben et al. 2016) where that
spectrum allows it. The level is relative to the mean power of the clip, since encoders receive clips of unit variance.
"""

import dataclasses
import functools

import numpy as np

from ser_embed.pretraining.features.frames import HOP, WINDOW, num_frames
from ser_embed.spec import RATE_HZ

NUM_MELS = 24

_LONG_WINDOW = 1_024  # samples of a spectrum: 64 ms, four periods of a low voice
_FFT = 2_048
_LAGS = slice(RATE_HZ // 400, RATE_HZ // 65 + 1)  # periods in samples: 400 Hz down to 65 Hz
_OCTAVE_COST = 0.02  # per octave below the highest pitch: of two equal peaks the shorter period is the pitch
_TILT_HZ = {"low": (55, 1_000), "high": (1_000, 5_000)}  # eGeMAPS' alpha ratio, from the first bin above 50 Hz
_PEAKS_HZ = {"low": (50, 2_000), "high": (2_000, 5_000)}  # the Hammarberg index compares these bands' peaks
_SLOPE_HZ = (0, 1_500)  # spectral slope over the first formants
_FLUX_HZ = (0, 5_000)
_UNVOICED_WEIGHT = 1e-3  # of a frame without voice; not 0, so that a clip without any voice has averages, too
_FLOOR = 1e-8  # of the clip's power
_TINY = np.finfo(np.float64).tiny


@dataclasses.dataclass(frozen=True)
class Contours:
    """Contours of one clip, float64 (frames,) each.

    Attributes:
        pitch: octaves above 1 Hz.
        voicing: 0 to 1.
        level: dB above the clip's mean power.
        tilt: dB by which 1 to 5 kHz exceed the frequencies below.
        hammarberg: dB by which the strongest frequency below 2 kHz exceeds the strongest one above.
        slope: dB per kHz, up to 1.5 kHz.
        flux: dB by which the spectrum below 5 kHz changes from frame to frame, changes of level aside.
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
    def voiced_weights(self) -> np.ndarray:
        """Weights of the frames by their voicing, float64 (frames,); those of a whisper are small, but not 0."""
        return voiced_weight(self.voicing)


def voiced_weight(voicing: np.ndarray) -> np.ndarray:
    """Return the weight of a frame, from its voicing of 0 to 1, in averages over voiced speech."""
    return voicing**2 + np.float32(_UNVOICED_WEIGHT)


def measure_contours(waveform: np.ndarray) -> Contours:
    """Measure the contours of a waveform, float32 (samples,) at 16 kHz, at least 400 samples."""
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
    frame_count = num_frames(len(waveform))
    left_padding = (_LONG_WINDOW - WINDOW) // 2
    padded = np.pad(waveform, (left_padding, _LONG_WINDOW))
    windows = np.lib.stride_tricks.sliding_window_view(padded, _LONG_WINDOW)[::HOP][:frame_count]
    return np.abs(np.fft.rfft(windows * np.hanning(_LONG_WINDOW), _FFT)) ** 2


def _pitch(power: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return pitch in octaves above 1 Hz, smoothed by a median over five frames, and voicing: (frames,) each."""
    from scipy.ndimage import median_filter

    window_correlation = np.fft.irfft(np.abs(np.fft.rfft(np.hanning(_LONG_WINDOW), _FFT)) ** 2)[_LAGS]
    window_energy = float((np.hanning(_LONG_WINDOW) ** 2).sum())
    correlation = np.fft.irfft(power)
    energy = np.maximum(correlation[:, :1], _TINY)
    peaks = correlation[:, _LAGS] / energy / (window_correlation / window_energy)  # (frames, lags)
    lags = np.arange(_LAGS.start, _LAGS.stop)
    best = (peaks - _OCTAVE_COST * np.log2(lags / lags[0])).argmax(axis=1)
    voicing = np.clip(np.take_along_axis(peaks, best[:, np.newaxis], axis=1)[:, 0], 0, 1)
    return median_filter(np.log2(RATE_HZ / lags[best]), size=5, mode="nearest"), voicing


def _hammarberg(decibels: np.ndarray) -> np.ndarray:
    low, high = (decibels[:, _bins(*edges)].max(axis=1) for edges in _PEAKS_HZ.values())
    return low - high


def _slope(decibels: np.ndarray) -> np.ndarray:
    band = decibels[:, _bins(*_SLOPE_HZ)]
    khz = np.arange(band.shape[1]) * RATE_HZ / _FFT / 1_000
    centred = khz - khz.mean()
    return band @ centred / (centred @ centred)


def _flux(decibels: np.ndarray) -> np.ndarray:
    band = decibels[:, _bins(*_FLUX_HZ)]
    shape = band - band.mean(axis=1, keepdims=True)
    return np.abs(np.diff(shape, axis=0, prepend=shape[:1])).mean(axis=1)


def _bins(low_hz: float, high_hz: float) -> slice:
    """Return the bins of a spectrum between two frequencies."""
    return slice(*(round(hz * _FFT / RATE_HZ) for hz in (low_hz, high_hz)))


@functools.cache
def _mel_filters() -> np.ndarray:
    from librosa.filters import mel

    return mel(sr=RATE_HZ, n_fft=_FFT, n_mels=NUM_MELS, fmin=40.0, htk=True, norm=None).T  # (bins, bands)
