"""Pitch and duration of speech, changed one without the other, by time stretching in the frequency domain.

Signalsmith's stretching (package `python-stretch`, extra `augment`) takes 20 ms for 3 s of speech. Where it is not
installed, librosa's phase vocoder (Laroche and Dolson, 1999) does the same, and blurs onsets a little more.
`stretch_method` says which of the two it is, because they do not give the same samples. Every call is on its own: the
same waveform gives the same samples, in any thread.
"""

import functools
import importlib.util
import logging
import threading
from collections.abc import Callable

import numpy as np
import soxr

from ser_embed.spec import RATE_HZ

_WINDOW = 1024  # samples of a frame of the phase vocoder, 64 ms
_loading = threading.Lock()
logger = logging.getLogger(__name__)


def stretch(waveform: np.ndarray, factor: float) -> np.ndarray:
    """Change the duration of a waveform, and not its pitch.

    Args:
        waveform: float32 (samples,) at 16 kHz.
        factor: the new duration in terms of the old: 1.15 is slower speech, 0.85 faster.

    Returns:
        float32 (samples times factor, rounded,); an event at t is at t times factor, to 3 ms.
    """
    with _loading:  # one thread compiles librosa's loops, the others wait for it
        method = _load_method()
    return _fit(method(np.ascontiguousarray(waveform, np.float32), factor), round(len(waveform) * factor))


def shift_pitch(waveform: np.ndarray, semitones: float) -> np.ndarray:
    """Change the pitch of a waveform, and not its duration.

    A waveform stretched by 2^(semitones/12) and played as much faster has the pitch asked for exactly. Shifting the
    spectrum of short frames misses it by up to a tenth of a semitone.

    Args:
        waveform: float32 (samples,) at 16 kHz.
        semitones: twelfths of an octave, up or down; formants move as well.

    Returns:
        float32 (samples,), as many.
    """
    ratio = 2 ** (semitones / 12)
    resampled = soxr.resample(stretch(waveform, ratio), RATE_HZ * ratio, RATE_HZ, quality="HQ")
    return _fit(resampled, len(waveform))


def stretch_method() -> str:
    """Return the name of the method there is: signalsmith, or librosa."""
    return "signalsmith" if importlib.util.find_spec("python_stretch") else "librosa"


@functools.cache
def _load_method() -> Callable[[np.ndarray, float], np.ndarray]:
    if stretch_method() == "signalsmith":
        return _stretch_by_signalsmith
    logger.warning("pitch and stretch are librosa's: python-stretch, of the extra `augment`, is not installed")
    _stretch_by_librosa(np.zeros(2 * _WINDOW, np.float32), 1.1)  # compiles loops, which takes seconds
    return _stretch_by_librosa


def _stretch_by_signalsmith(waveform: np.ndarray, factor: float) -> np.ndarray:
    from python_stretch import Signalsmith

    stretcher = Signalsmith.Stretch(0)  # a new one for each call, with a fixed seed: it keeps nothing from before
    stretcher.preset(1, float(RATE_HZ))
    stretcher.timeFactor = 1 / factor
    return np.asarray(stretcher.process(waveform[np.newaxis]))[0]  # (channels, samples)


def _stretch_by_librosa(waveform: np.ndarray, factor: float) -> np.ndarray:
    from librosa.effects import time_stretch

    padded = _fit(waveform, max(len(waveform), _WINDOW))  # it takes no less than one frame
    return time_stretch(padded, rate=1 / factor, n_fft=_WINDOW)


def _fit(waveform: np.ndarray, num_samples: int) -> np.ndarray:
    """Cut the end, or add silence, for a number of samples: float32 (num_samples,)."""
    padding = max(0, num_samples - len(waveform))
    return np.asarray(np.pad(waveform[:num_samples], (0, padding)), np.float32)
