"""How something is said: pitch, level, spectral tilt and voicing over spans of half a second, at HuBERT's frames.

MFCC clusters name the sound; these name the melody, so that a network which predicts both keeps both.
"""

import numpy as np

from ser_embed.pretraining.features.contours import contours

NAMES = (
    "pitch", "pitch spread", "pitch slope", "level", "level spread", "level slope", "tilt", "tilt spread", "voicing",
)  # fmt: skip

_SPAN = 25  # frames: half a second, two or three syllables


def prosody(waveform: np.ndarray) -> np.ndarray:
    """Compute the features of a waveform.

    Args:
        waveform: float32 (samples,) at 16 kHz, at least 400 samples.

    Returns:
        float32 (frames, 9), in the order of `NAMES`. Pitch in octaves, level and tilt in dB.
    """
    found = contours(waveform)
    even = np.ones_like(found.level)
    spans = [
        *over_spans(found.pitch, found.voiced, _SPAN),
        *over_spans(found.level, even, _SPAN),
        *over_spans(found.tilt, even, _SPAN)[:2],
    ]
    return np.stack([*spans, smooth(found.voicing, _SPAN)], axis=1).astype(np.float32)


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
