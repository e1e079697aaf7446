"""Kaldi's MFCC with deltas and double deltas, at HuBERT's frames: what the first iteration's clusters are made of.

Frames of 25 ms every 10 ms, no padding at the ends, so that every second one hears exactly what a HuBERT frame hears.
Settings are Kaldi's defaults: pre-emphasis 0.97, Povey window, 23 mel bands from 20 Hz, cepstral lifter 22.
"""

import functools

import numpy as np

from ser_embed.pretraining.features.frames import WINDOW
from ser_embed.spec import RATE_HZ

NUM_MFCC = 13
NUM_BANDS = 23  # mel bands they are made of
_HOP = 160
_FFT = 512
_LIFTER = 22
_EMPHASIS = 0.97
_FLOOR = 1e-10  # power of a band, far below 16-bit rounding
_DELTA = np.array([-2, -1, 0, 1, 2]) / 10  # the slope of a line fitted to five frames


def cepstra(waveform: np.ndarray) -> np.ndarray:
    """Compute the features of a waveform.

    Args:
        waveform: float32 (samples,) at 16 kHz, at least 400 samples.

    Returns:
        float32 (frames, 39): MFCC 0 to 12, their deltas, their double deltas, one row per HuBERT frame.
    """
    from scipy.fft import dct
    from scipy.ndimage import correlate1d

    window, mels, lifter = _tables()
    frames = np.lib.stride_tricks.sliding_window_view(waveform, WINDOW)[::_HOP]  # (frames, 400)
    frames = frames - frames.mean(axis=1, keepdims=True)
    before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    power = np.abs(np.fft.rfft((frames - _EMPHASIS * before) * window, _FFT)) ** 2
    energies = np.log(np.maximum(power @ mels, _FLOOR))  # (frames, bands)
    static = dct(energies, type=2, norm="ortho")[:, :NUM_MFCC] * lifter
    slope = correlate1d(static, _DELTA, axis=0, mode="nearest")
    bend = correlate1d(slope, _DELTA, axis=0, mode="nearest")
    return np.concatenate([static, slope, bend], axis=1)[::2].astype(np.float32)


@functools.cache
def _tables() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    from librosa.filters import mel

    window = np.hanning(WINDOW) ** 0.85
    mels = mel(sr=RATE_HZ, n_fft=_FFT, n_mels=NUM_BANDS, fmin=20.0, htk=True, norm=None).T  # (bins, bands)
    lifter = 1 + _LIFTER / 2 * np.sin(np.pi * np.arange(NUM_MFCC) / _LIFTER)
    return window, mels, lifter
