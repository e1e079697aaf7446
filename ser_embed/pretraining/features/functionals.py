"""Functionals of a crop: statistics of its contours over time, which a network can be trained to predict.

A classifier of emotions receives means and standard deviations of a network's frames. What these are meant to convey of
pitch, loudness and spectrum can be a training target: mean, deviation and change of each contour, as in the feature
sets of openSMILE (Eyben et al. 2016). Contours are computed once per clip, at HuBERT's frames. The functionals of a
crop follow from its frames, relative to the crop's mean power, since a crop is scaled to unit variance like any other
waveform.
"""

import numpy as np

from ser_embed.pretraining.features.contours import NUM_MELS, measure_contours, voiced_weight
from ser_embed.pretraining.features.frames import normalized
from ser_embed.pretraining.features.mfcc import NUM_BANDS, NUM_MFCC, cepstra

# The columns of a clip's contours.
_CONTOURS = ("pitch", "voicing", "level", "tilt", "hammarberg", "slope", "flux")
_PITCH, _VOICING, _LEVEL, _FLUX = (_CONTOURS.index(name) for name in ("pitch", "voicing", "level", "flux"))
_CEPSTRA = slice(len(_CONTOURS), len(_CONTOURS) + 3 * NUM_MFCC)  # MFCC, deltas, double deltas
_MFCC = slice(_CEPSTRA.start, _CEPSTRA.start + NUM_MFCC)
_BANDS = slice(_CEPSTRA.stop, _CEPSTRA.stop + NUM_MELS)
CONTOUR_WIDTH = _BANDS.stop  # contours per frame
_DELTAS = np.r_[_CEPSTRA.start + NUM_MFCC : _CEPSTRA.stop]  # their means are about zero, and they are changes already
_NOT_DELTAS = np.setdiff1d(np.arange(CONTOUR_WIDTH), _DELTAS)
_EQUALLY_WEIGHTED = np.r_[_VOICING, _LEVEL, _FLUX, _CEPSTRA]  # meaningful in frames without voice, too

_VOICED = 0.5  # voicing from which a frame counts as voiced
_QUANTILES = (0.2, 0.5, 0.8)
_DB_TO_C0 = np.log(10) / 10 * np.sqrt(NUM_BANDS)  # by which MFCC 0 rises per dB
_SMOOTHING = np.hanning(9)[1:-1] / np.hanning(9).sum()  # of the level, over 140 ms: one peak per syllable remains

# Spreads of all contours, means and changes of all but the deltas, quantiles of level and pitch, four numbers about
# rhythm, and means and spreads of the MFCC over voiced frames.
NUM_FUNCTIONALS = 2 * len(_NOT_DELTAS) + CONTOUR_WIDTH + 2 * len(_QUANTILES) + 4 + 2 * NUM_MFCC


def clip_contours(waveform: np.ndarray) -> np.ndarray:
    """Measure the contours and MFCC of a clip.

    Args:
        waveform: float32 (samples,) at 16 kHz, at least 400 samples.

    Returns:
        float16 (frames, CONTOUR_WIDTH).
    """
    clip = normalized(waveform)
    contours = measure_contours(clip)
    columns = np.stack([getattr(contours, name) for name in _CONTOURS], axis=1)
    return np.concatenate([columns, cepstra(clip), contours.bands], axis=1).astype(np.float16)


def compute_functionals(crops: np.ndarray) -> np.ndarray:
    """Compute the functionals of crops.

    Spreads are logarithms: a voice with twice the spread of another is as far from it as one with half the spread.

    Args:
        crops: the contours of `clip_contours`, (crops, frames, CONTOUR_WIDTH), at least two frames.

    Returns:
        float32 (crops, NUM_FUNCTIONALS).
    """
    crops = _relative_to_mean_power(crops)
    pitch, voicing, level = (crops[..., column] for column in (_PITCH, _VOICING, _LEVEL))
    voiced = voiced_weight(voicing)
    weights = np.repeat(voiced[..., np.newaxis], CONTOUR_WIDTH, axis=2)
    weights[..., _EQUALLY_WEIGHTED] = 1
    mean, spread = _weighted_mean_and_deviation(crops, weights)
    floors = _spread_floors()
    pair_weights = np.minimum(weights[:, 1:], weights[:, :-1])  # a change counts if both of its frames do
    change = (pair_weights * np.abs(np.diff(crops, axis=1))).sum(axis=1) / pair_weights.sum(axis=1)
    voice_mean, voice_spread = _weighted_mean_and_deviation(crops[..., _MFCC], voiced[..., np.newaxis])
    is_voiced = voicing > _VOICED
    smooth_level = _smooth(level)
    is_peak = (smooth_level[:, 1:-1] > smooth_level[:, :-2]) & (smooth_level[:, 1:-1] > smooth_level[:, 2:])
    columns = [
        mean[:, _NOT_DELTAS],
        np.log(spread + floors),
        np.log(change + floors)[:, _NOT_DELTAS],
        np.quantile(level, _QUANTILES, axis=1).T,
        _weighted_quantiles(pitch, voiced),
        _column(is_voiced.mean(axis=1)),
        _column((is_voiced[:, 1:] & ~is_voiced[:, :-1]).mean(axis=1)),  # onsets of voice per frame
        _column(is_peak.sum(axis=1) / smooth_level.shape[1]),  # peaks of level per frame
        voice_mean,
        np.log(voice_spread + floors[_MFCC]),
        _column(np.maximum(np.diff(smooth_level, axis=1), 0).mean(axis=1)),  # mean rise of the level
    ]
    return np.concatenate(columns, axis=1).astype(np.float32)


def _relative_to_mean_power(crops: np.ndarray) -> np.ndarray:
    """Return crops as float32, with levels relative to the mean power of the crop instead of the clip."""
    crops = crops.astype(np.float32)
    crop_db = 10 * np.log10((10 ** (crops[..., _LEVEL] / 10)).mean(axis=1))[:, np.newaxis]
    crops[..., _LEVEL] -= crop_db
    crops[..., _BANDS] -= crop_db[..., np.newaxis]
    crops[..., _CEPSTRA.start] -= crop_db * np.float32(_DB_TO_C0)
    return crops


def _weighted_mean_and_deviation(values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return weighted mean and standard deviation over frames, (crops, contours) each."""
    total = weights.sum(axis=1)
    mean = (weights * values).sum(axis=1) / total
    return mean, np.sqrt((weights * np.square(values - mean[:, np.newaxis])).sum(axis=1) / total)


def _spread_floors() -> np.ndarray:
    """Return what is added to a spread before its logarithm, in the contour's unit: inaudibly small, (contours,)."""
    floors = np.full(CONTOUR_WIDTH, 0.5)  # dB
    floors[[_PITCH, _VOICING]] = 0.02
    floors[_CEPSTRA] = 0.1
    return floors


def _weighted_quantiles(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return weighted quantiles over frames: (crops, frames) to (crops, quantiles)."""
    order = values.argsort(axis=1)
    cumulative = np.take_along_axis(weights, order, axis=1).cumsum(axis=1)
    ranks = [(cumulative < share * cumulative[:, -1:]).sum(axis=1, keepdims=True) for share in _QUANTILES]
    positions = np.minimum(np.concatenate(ranks, axis=1), values.shape[1] - 1)
    return np.take_along_axis(values, np.take_along_axis(order, positions, axis=1), axis=1)


def _smooth(level: np.ndarray) -> np.ndarray:
    from scipy.ndimage import correlate1d

    return correlate1d(level, _SMOOTHING, axis=1, mode="nearest")


def _column(values: np.ndarray) -> np.ndarray:
    return values[:, np.newaxis]
