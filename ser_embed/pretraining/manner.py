"""The manner of a voice: statistics of its contours over two seconds, at HuBERT's frames.

MFCC clusters name sounds, prosody clusters the melody of half a second. These describe the voice as a listener who
knows no words would: its pitch and range, its timbre, how breathy, tense or lively it is. Each contour gives a small
label set of its own, since one clustering of everything would keep only what varies most. Contours are those of eGeMAPS
(Eyben et al. 2016) where the spectrum at hand gives them; spectral ones are averaged where the voice sounds.
"""

import numpy as np

from ser_embed.pretraining.cepstra import NUM_MFCC, cepstra
from ser_embed.pretraining.prosody import contours, over_spans, power_spectra, smooth
from ser_embed.spec import RATE_HZ

NAMES = (
    "pitch", "voicing", "level", "tilt", "hammarberg", "slope", "flux",
    *(f"mfcc{index}" for index in range(1, NUM_MFCC)),
)  # fmt: skip
PER_CONTOUR = 3  # mean, spread, and mean change from frame to frame

_SPAN = 101  # frames: 2 s, of which the middle one counts most
_UNVOICED = 1e-3  # weight of a frame without voice, so that a whisper has statistics too
_BANDS_HZ = {"low": (50, 2_000), "high": (2_000, 5_000)}  # the Hammarberg index compares their peaks
_SLOPE_HZ = (0, 1_500)  # spectral slope over the first formants
_FLOOR = 1e-8  # of the clip's power


def manner(waveform: np.ndarray) -> np.ndarray:
    """Compute the features of a waveform.

    Args:
        waveform: float32 (samples,) at 16 kHz, at least 400 samples.

    Returns:
        float32 (frames, 57): for each contour of `NAMES` its mean, standard deviation and mean absolute change over
        the two seconds around the frame. Pitch in octaves, levels in dB.
    """
    pitch, voicing, level, tilt = contours(waveform)
    voiced = voicing**2 + _UNVOICED
    even = np.ones_like(voiced)
    decibels = _decibels(power_spectra(waveform))
    mfcc = cepstra(waveform)[:, 1:NUM_MFCC].astype(np.float64)
    spectral = [tilt, _hammarberg(decibels), _slope(decibels)]
    weighted = [
        (pitch, voiced), (voicing, even), (level, even), *((each, voiced) for each in spectral),
        (_flux(decibels), even), *((each, voiced) for each in mfcc.T),
    ]  # fmt: skip
    return np.concatenate([_statistics(*each) for each in weighted], axis=1).astype(np.float32)


def _statistics(contour: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return weighted mean, standard deviation and mean absolute change over spans, (frames, 3)."""
    mean, spread, _ = over_spans(contour, weight, _SPAN)
    change = np.abs(np.diff(contour, prepend=contour[:1]))
    both = np.minimum(weight, np.roll(weight, 1))  # a change counts if both its frames do
    both[0] = weight[0]
    return np.stack([mean, spread, smooth(both * change, _SPAN) / smooth(both, _SPAN)], axis=1)


def _decibels(power: np.ndarray) -> np.ndarray:
    floor = _FLOOR * power.mean() + np.finfo(np.float64).tiny
    return 10 * np.log10(power + floor)  # (frames, bins)


def _hammarberg(decibels: np.ndarray) -> np.ndarray:
    """Return by how much the strongest of the low frequencies exceeds that of the high ones, in dB, (frames,)."""
    low, high = (decibels[:, _bins(decibels, *edges)].max(axis=1) for edges in _BANDS_HZ.values())
    return low - high


def _slope(decibels: np.ndarray) -> np.ndarray:
    """Return the slope of the lowest part of the spectrum, in dB per kHz, (frames,)."""
    part = decibels[:, _bins(decibels, *_SLOPE_HZ)]
    khz = np.arange(part.shape[1]) * RATE_HZ / 2 / (decibels.shape[1] - 1) / 1_000
    centred = khz - khz.mean()
    return part @ centred / (centred @ centred)


def _flux(decibels: np.ndarray) -> np.ndarray:
    """Return how much the spectrum below 5 kHz changes from frame to frame beyond its level, in dB, (frames,)."""
    part = decibels[:, _bins(decibels, 0, _BANDS_HZ["high"][1])]
    shape = part - part.mean(axis=1, keepdims=True)
    return np.abs(np.diff(shape, axis=0, prepend=shape[:1])).mean(axis=1)


def _bins(spectra: np.ndarray, low_hz: float, high_hz: float) -> slice:
    per_hz = (spectra.shape[1] - 1) / (RATE_HZ / 2)
    return slice(round(low_hz * per_hz), round(high_hz * per_hz))
