"""Kaldi's MFCC with deltas and double deltas at HuBERT's frames: the features clustered in the first iteration.

Analysis frames are 25 ms long, start every 10 ms and are not padded at the ends, so that every second one covers
exactly the samples of a HuBERT frame. Parameters are Kaldi's defaults: pre-emphasis 0.97, Povey window, 23 mel bands
from 20 Hz, cepstral lifter 22.
"""

import functools

import numpy as np

from ser_embed.pretraining.features.frames import WINDOW
from ser_embed.spec import RATE_HZ

NUM_MFCC = 13
NUM_BANDS = 23  # mel bands that the MFCC are computed from
_HOP = 160  # samples from one analysis frame to the next: 10 ms
_FFT = 512
_LIFTER = 22
_EMPHASIS = 0.97
_FLOOR = 1e-10  # power of a band, far below the rounding error of 16 bits
_DELTA = np.array([-2, -1, 0, 1, 2]) / 10  # the slope of a line fitted to five frames


def cepstra(waveform: np.ndarray) -> np.ndarray:
    """Compute MFCC, deltas and double deltas of a waveform.

    Args:
        waveform: float32 (samples,) at 16 kHz, at least 400 samples.

    Returns:
        float32 (frames, 39): MFCC 0 to 12, their deltas, their double deltas, one row per HuBERT frame.
    """
    from scipy.fft import dct
    from scipy.ndimage import correlate1d

    window, mel_filters, lifter = _tables()
    frames = np.lib.stride_tricks.sliding_window_view(waveform, WINDOW)[::_HOP]  # (frames, 400)
    frames = frames - frames.mean(axis=1, keepdims=True)
    previous = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)  # the sample before each sample
    power = np.abs(np.fft.rfft((frames - _EMPHASIS * previous) * window, _FFT)) ** 2
    log_energies = np.log(np.maximum(power @ mel_filters, _FLOOR))  # (frames, bands)
    mfcc = dct(log_energies, type=2, norm="ortho")[:, :NUM_MFCC] * lifter
    deltas = correlate1d(mfcc, _DELTA, axis=0, mode="nearest")
    double_deltas = correlate1d(deltas, _DELTA, axis=0, mode="nearest")
    return np.concatenate([mfcc, deltas, double_deltas], axis=1)[::2].astype(np.float32)


@functools.cache
def _tables() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the Povey window (400,), the mel filters (bins, bands) and the lifter (13,)."""
    from librosa.filters import mel

    window = np.hanning(WINDOW) ** 0.85
    mel_filters = mel(sr=RATE_HZ, n_fft=_FFT, n_mels=NUM_BANDS, fmin=20.0, htk=True, norm=None).T
    lifter = 1 + _LIFTER / 2 * np.sin(np.pi * np.arange(NUM_MFCC) / _LIFTER)
    return window, mel_filters, lifter
