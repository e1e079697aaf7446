"""HuBERT's frames: frame t hears the samples 320 t to 320 t + 400, at 16 kHz."""

from typing import Any

import numpy as np

from ser_embed.errors import InputError

HOP = 320  # samples from one frame to the next: 20 ms
WINDOW = 400  # samples a frame hears: 25 ms


def num_frames(num_samples: Any) -> Any:
    """Return how many frames so many samples give: an int, or an integer array for an array."""
    return np.maximum(0, (num_samples - WINDOW) // HOP + 1)


def num_samples(frames: int) -> int:
    """Return how many samples so many frames hear."""
    return (frames - 1) * HOP + WINDOW


def check_frames(config: Any) -> None:
    """Check that a model's convolutions make such frames.

    Raises:
        InputError: they do not, so that no label would fit.
    """
    hop, window = 1, 1
    for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
        window += (kernel - 1) * hop
        hop *= stride
    if (hop, window) != (HOP, WINDOW):
        raise InputError(f"frames have to be {WINDOW} samples every {HOP}, not {window} every {hop}")


def normalized(waveforms: np.ndarray) -> np.ndarray:
    """Bring clips to zero mean and unit variance, as Wav2Vec2FeatureExtractor does: float32 (..., samples)."""
    centred = waveforms - waveforms.mean(axis=-1, keepdims=True)
    return centred / np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + np.float32(1e-7))
