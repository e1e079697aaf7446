"""How something is said: pitch, level, spectral tilt and voicing over spans of half a second, at HuBERT's frames.

MFCC clusters name the sound; these name the melody, so that a network which predicts both keeps both.
"""

import numpy as np

from ser_embed.pretraining.features.contours import contours
from ser_embed.pretraining.features.mfcc import NUM_MFCC, cepstra

PROSODY_NAMES = (
    "pitch", "pitch spread", "pitch slope", "level", "level spread", "level slope", "tilt", "tilt spread", "voicing",
)  # fmt: skip

_PROSODY_SPAN = 25  # frames: half a second, two or three syllables


def prosody(waveform: np.ndarray) -> np.ndarray:
    """Compute the features of a waveform.

    Args:
        waveform: float32 (samples,) at 16 kHz, at least 400 samples.

    Returns:
        float32 (frames, 9), in the order of `PROSODY_NAMES`. Pitch in octaves, level and tilt in dB.
    """
    found = contours(waveform)
    even = np.ones_like(found.level)
    spans = [
        *over_spans(found.pitch, found.voiced, _PROSODY_SPAN),
        *over_spans(found.level, even, _PROSODY_SPAN),
        *over_spans(found.tilt, even, _PROSODY_SPAN)[:2],
    ]
    return np.stack([*spans, smooth(found.voicing, _PROSODY_SPAN)], axis=1).astype(np.float32)


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


MANNER_NAMES = (
    "pitch", "voicing", "level", "tilt", "hammarberg", "slope", "flux",
    *(f"mfcc{index}" for index in range(1, NUM_MFCC)),
)  # fmt: skip
PER_CONTOUR = 3  # mean, spread, and mean change from frame to frame

_MANNER_SPAN = 101  # frames: 2 s, of which the middle one counts most


def manner(waveform: np.ndarray) -> np.ndarray:
    """Compute the features of a waveform.

    Args:
        waveform: float32 (samples,) at 16 kHz, at least 400 samples.

    Returns:
        float32 (frames, 57): for each contour of `MANNER_NAMES` its mean, standard deviation and mean absolute change over
        the two seconds around the frame. Pitch in octaves, levels in dB.
    """
    found = contours(waveform)
    mfcc = cepstra(waveform)[:, 1:NUM_MFCC].astype(np.float64)
    voiced, even = found.voiced, np.ones_like(found.level)
    weighted = [
        (found.pitch, voiced), (found.voicing, even), (found.level, even), (found.tilt, voiced),
        (found.hammarberg, voiced), (found.slope, voiced), (found.flux, even), *((each, voiced) for each in mfcc.T),
    ]  # fmt: skip
    return np.concatenate([_statistics(*each) for each in weighted], axis=1).astype(np.float32)


def _statistics(contour: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return weighted mean, standard deviation and mean absolute change over spans, (frames, 3)."""
    mean, spread, _ = over_spans(contour, weight, _MANNER_SPAN)
    change = np.abs(np.diff(contour, prepend=contour[:1]))
    both = np.minimum(weight, np.roll(weight, 1))  # a change counts if both its frames do
    both[0] = weight[0]
    return np.stack([mean, spread, smooth(both * change, _MANNER_SPAN) / smooth(both, _MANNER_SPAN)], axis=1)
