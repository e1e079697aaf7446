"""Prosody and manner of speaking: statistics of contours over spans of 0.5 s or 2 s, at HuBERT's frames.

Clusters of MFCC describe the sound. Those of `prosody` describe the melody over half a second, and those of `manner`
how each contour behaves over two seconds, so that a network which predicts several of them represents all of them.

Spans are Hann-shaped and centred on the frame. At the ends of a clip they are cut off, not padded: averages are
divided by the weights of the frames that exist.
"""

import numpy as np

from ser_embed.pretraining.features.contours import measure_contours
from ser_embed.pretraining.features.mfcc import NUM_MFCC, cepstra

PROSODY_NAMES = (
    "pitch", "pitch spread", "pitch slope", "level", "level spread", "level slope", "tilt", "tilt spread", "voicing",
)  # fmt: skip
MANNER_NAMES = (
    "pitch", "voicing", "level", "tilt", "hammarberg", "slope", "flux",
    *(f"mfcc{index}" for index in range(1, NUM_MFCC)),
)  # fmt: skip
STATISTICS_PER_CONTOUR = 3  # in manner: mean, spread, and mean change from frame to frame

_PROSODY_SPAN = 25  # frames: half a second, two or three syllables
_MANNER_SPAN = 101  # frames: 2 s, of which the middle one has the largest weight


def prosody(waveform: np.ndarray) -> np.ndarray:
    """Compute the prosodic features of a waveform.

    Args:
        waveform: float32 (samples,) at 16 kHz, at least 400 samples.

    Returns:
        float32 (frames, 9), in the order of `PROSODY_NAMES`. Pitch in octaves, level and tilt in dB.
    """
    contours = measure_contours(waveform)
    equal = np.ones_like(contours.level)
    columns = [
        *_mean_spread_slope(contours.pitch, contours.voiced_weights, _PROSODY_SPAN),
        *_mean_spread_slope(contours.level, equal, _PROSODY_SPAN),
        *_mean_spread_slope(contours.tilt, equal, _PROSODY_SPAN)[:2],
    ]
    return np.stack([*columns, _smooth(contours.voicing, _PROSODY_SPAN)], axis=1).astype(np.float32)


def manner(waveform: np.ndarray) -> np.ndarray:
    """Compute the manner features of a waveform.

    Args:
        waveform: float32 (samples,) at 16 kHz, at least 400 samples.

    Returns:
        float32 (frames, 57): for each contour of `MANNER_NAMES` its mean, standard deviation and mean absolute change
        over the two seconds around the frame. Pitch in octaves, levels in dB.
    """
    contours = measure_contours(waveform)
    mfcc = cepstra(waveform)[:, 1:NUM_MFCC].astype(np.float64)
    voiced, equal = contours.voiced_weights, np.ones_like(contours.level)
    weighted = [
        (contours.pitch, voiced), (contours.voicing, equal), (contours.level, equal), (contours.tilt, voiced),
        (contours.hammarberg, voiced), (contours.slope, voiced), (contours.flux, equal),
        *((coefficient, voiced) for coefficient in mfcc.T),
    ]  # fmt: skip
    return np.concatenate([_mean_spread_change(*pair) for pair in weighted], axis=1).astype(np.float32)


def _mean_spread_change(contour: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return weighted mean, standard deviation and mean absolute change over spans of 2 s, (frames, 3)."""
    mean, spread, _ = _mean_spread_slope(contour, weights, _MANNER_SPAN)
    change = np.abs(np.diff(contour, prepend=contour[:1]))
    pair_weights = np.minimum(weights, np.roll(weights, 1))  # a change counts if both of its frames do
    pair_weights[0] = weights[0]
    mean_change = _smooth(pair_weights * change, _MANNER_SPAN) / _smooth(pair_weights, _MANNER_SPAN)
    return np.stack([mean, spread, mean_change], axis=1)


def _mean_spread_slope(
    contour: np.ndarray, weights: np.ndarray, span: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return weighted mean, standard deviation and slope per frame of a contour, over a span around every frame."""
    time = np.arange(len(contour), dtype=np.float64)
    total = _smooth(weights, span)
    mean, mean_time = _smooth(weights * contour, span) / total, _smooth(weights * time, span) / total
    variance = np.maximum(_smooth(weights * contour**2, span) / total - mean**2, 0)
    time_variance = np.maximum(_smooth(weights * time**2, span) / total - mean_time**2, 1)
    slope = (_smooth(weights * contour * time, span) / total - mean * mean_time) / time_variance
    return mean, np.sqrt(variance), slope


def _smooth(contour: np.ndarray, span: int) -> np.ndarray:
    """Average over a Hann-shaped span, with zeros beyond the ends; divide by the smoothed weights to correct for it."""
    from scipy.ndimage import correlate1d

    window = np.hanning(span + 2)[1:-1]
    return correlate1d(contour, window / window.sum(), mode="constant")
