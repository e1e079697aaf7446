"""The manner of a voice: statistics of its contours over two seconds, at HuBERT's frames.

MFCC clusters name sounds, prosody clusters the melody of half a second. These describe the voice as a listener who
knows no words would: its pitch and range, its timbre, how breathy, tense or lively it is. Each contour gives a small
label set of its own, since one clustering of everything would keep only what varies most. Those of the spectrum are
averaged where the voice sounds.
"""

import numpy as np

from ser_embed.pretraining.features.contours import contours
from ser_embed.pretraining.features.mfcc import NUM_MFCC, cepstra
from ser_embed.pretraining.features.prosody import over_spans, smooth

NAMES = (
    "pitch", "voicing", "level", "tilt", "hammarberg", "slope", "flux",
    *(f"mfcc{index}" for index in range(1, NUM_MFCC)),
)  # fmt: skip
PER_CONTOUR = 3  # mean, spread, and mean change from frame to frame

_SPAN = 101  # frames: 2 s, of which the middle one counts most


def manner(waveform: np.ndarray) -> np.ndarray:
    """Compute the features of a waveform.

    Args:
        waveform: float32 (samples,) at 16 kHz, at least 400 samples.

    Returns:
        float32 (frames, 57): for each contour of `NAMES` its mean, standard deviation and mean absolute change over
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
    mean, spread, _ = over_spans(contour, weight, _SPAN)
    change = np.abs(np.diff(contour, prepend=contour[:1]))
    both = np.minimum(weight, np.roll(weight, 1))  # a change counts if both its frames do
    both[0] = weight[0]
    return np.stack([mean, spread, smooth(both * change, _SPAN) / smooth(both, _SPAN)], axis=1)
