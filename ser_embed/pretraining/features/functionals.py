"""Functionals of a crop: numbers that say how a voice sounded over all of it, for a network to tell.

A classifier of emotions is given means and deviations of a network's frames. Whatever of pitch, loudness and spectrum
these are to carry can be asked for directly: mean, deviation and liveliness of each contour, as openSMILE's feature
sets have them (Eyben et al. 2016). Contours are worked out once per clip, at HuBERT's frames; a crop's functionals
follow from its frames, relative to its own level, since a crop is brought to unit variance like any other waveform.
"""

import numpy as np

from ser_embed.pretraining.features.contours import NUM_MELS, contours, voiced_weight
from ser_embed.pretraining.features.frames import normalized
from ser_embed.pretraining.features.mfcc import NUM_BANDS, NUM_MFCC, cepstra

_CONTOURS = ("pitch", "voicing", "level", "tilt", "hammarberg", "slope", "flux")
_PITCH, _VOICING, _LEVEL, _FLUX = (_CONTOURS.index(name) for name in ("pitch", "voicing", "level", "flux"))
_CEPSTRA = slice(len(_CONTOURS), len(_CONTOURS) + 3 * NUM_MFCC)  # MFCC, deltas, double deltas
_MFCC = slice(_CEPSTRA.start, _CEPSTRA.start + NUM_MFCC)
_BANDS = slice(_CEPSTRA.stop, _CEPSTRA.stop + NUM_MELS)
WIDTH = _BANDS.stop  # contours per frame
_MOVING = np.r_[_CEPSTRA.start + NUM_MFCC : _CEPSTRA.stop]  # whose means are about zero, and changes contours too
_RESTING = np.setdiff1d(np.arange(WIDTH), _MOVING)
_EVEN = np.r_[_VOICING, _LEVEL, _FLUX, _CEPSTRA]  # what means something where there is no voice, too

_VOICED = 0.5  # voicing from which a frame counts as voiced
_QUANTILES = (0.2, 0.5, 0.8)
_DB_TO_C0 = np.log(10) / 10 * np.sqrt(NUM_BANDS)  # by which MFCC 0 rises per dB
_SMOOTHING = np.hanning(9)[1:-1] / np.hanning(9).sum()  # of the level, over 140 ms: of a syllable one peak is left
# What a crop is summed up by: spreads of all contours, means and changes of most, quantiles of level and pitch, four
# numbers about rhythm, and means and spreads of the MFCC where the voice sounds.
COUNT = 2 * len(_RESTING) + WIDTH + 2 * len(_QUANTILES) + 4 + 2 * NUM_MFCC


def clip_contours(waveform: np.ndarray) -> np.ndarray:
    """Measure a clip.

    Args:
        waveform: float32 (samples,) at 16 kHz, at least 400 samples.

    Returns:
        float16 (frames, WIDTH).
    """
    clip = normalized(waveform)
    found = contours(clip)
    named = np.stack([getattr(found, name) for name in _CONTOURS], axis=1)
    return np.concatenate([named, cepstra(clip), found.bands], axis=1).astype(np.float16)


def functionals(crops: np.ndarray) -> np.ndarray:
    """Sum up crops.

    Spreads are given as logarithms: a voice twice as lively is as far from another as that one from half as lively.

    Args:
        crops: what `clip_contours` gives, (crops, frames, WIDTH), two frames at least.

    Returns:
        float32 (crops, functionals).
    """
    crops = _relative(crops)
    pitch, voicing, level = (crops[..., index] for index in (_PITCH, _VOICING, _LEVEL))
    voiced = voiced_weight(voicing)
    weights = np.repeat(voiced[..., np.newaxis], WIDTH, axis=2)
    weights[..., _EVEN] = 1
    mean, spread = _moments(crops, weights)
    floors = _floors()
    both = np.minimum(weights[:, 1:], weights[:, :-1])  # a change counts if both its frames do
    change = (both * np.abs(np.diff(crops, axis=1))).sum(axis=1) / both.sum(axis=1)
    voice_mean, voice_spread = _moments(crops[..., _MFCC], voiced[..., np.newaxis])
    speaks = voicing > _VOICED
    loud = _smoothed(level)
    parts = [
        mean[:, _RESTING],
        np.log(spread + floors),
        np.log(change + floors)[:, _RESTING],
        np.quantile(level, _QUANTILES, axis=1).T,
        _weighted_quantiles(pitch, voiced),
        _column(speaks.mean(axis=1)),
        _column((speaks[:, 1:] & ~speaks[:, :-1]).mean(axis=1)),  # how often a voice sets in
        _column(((loud[:, 1:-1] > loud[:, :-2]) & (loud[:, 1:-1] > loud[:, 2:])).sum(axis=1) / loud.shape[1]),
        voice_mean,
        np.log(voice_spread + floors[_MFCC]),
        _column(np.maximum(np.diff(loud, axis=1), 0).mean(axis=1)),  # how steeply the level rises
    ]
    return np.concatenate(parts, axis=1).astype(np.float32)


def _relative(crops: np.ndarray) -> np.ndarray:
    """Return crops as float32, levels relative to the crop's own mean power."""
    crops = crops.astype(np.float32)
    own_db = 10 * np.log10((10 ** (crops[..., _LEVEL] / 10)).mean(axis=1))[:, np.newaxis]
    crops[..., _LEVEL] -= own_db
    crops[..., _BANDS] -= own_db[..., np.newaxis]
    crops[..., _CEPSTRA.start] -= own_db * np.float32(_DB_TO_C0)
    return crops


def _moments(values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return weighted mean and deviation over frames."""
    total = weights.sum(axis=1)
    mean = (weights * values).sum(axis=1) / total
    return mean, np.sqrt((weights * np.square(values - mean[:, np.newaxis])).sum(axis=1) / total)


def _floors() -> np.ndarray:
    """Return what is added to a spread before its logarithm, in the contour's unit: what no ear would notice."""
    floors = np.full(WIDTH, 0.5)  # dB
    floors[[_PITCH, _VOICING]] = 0.02
    floors[_CEPSTRA] = 0.1
    return floors


def _weighted_quantiles(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    order = values.argsort(axis=1)
    below = np.take_along_axis(weights, order, axis=1).cumsum(axis=1)
    places = [(below < share * below[:, -1:]).sum(axis=1, keepdims=True) for share in _QUANTILES]
    at = np.minimum(np.concatenate(places, axis=1), values.shape[1] - 1)
    return np.take_along_axis(values, np.take_along_axis(order, at, axis=1), axis=1)


def _smoothed(level: np.ndarray) -> np.ndarray:
    from scipy.ndimage import correlate1d

    return correlate1d(level, _SMOOTHING, axis=1, mode="nearest")


def _column(values: np.ndarray) -> np.ndarray:
    return values[:, np.newaxis]
