"""Frames of HuBERT: frame t covers the samples 320 t to 320 t + 400, at 16 kHz.

A frame is 25 ms long and starts 20 ms after the one before it. Nothing is padded: samples at the end of a clip that
do not fill a frame belong to none.
"""

from typing import Any

import numpy as np

from ser_embed.errors import InputError

HOP = 320  # samples from one frame to the next: 20 ms
WINDOW = 400  # samples in a frame: 25 ms


def num_frames(num_samples: Any) -> Any:
    """Return the number of frames in a number of samples: an int, or an integer array for an array."""
    return np.maximum(0, (num_samples - WINDOW) // HOP + 1)


def num_samples(frames: int) -> int:
    """Return the number of samples that a number of frames covers."""
    return (frames - 1) * HOP + WINDOW


def check_frames(model_config: Any) -> None:
    """Check that the convolutions of a model produce these frames.

    Args:
        model_config: a transformers configuration with `conv_kernel` and `conv_stride`.

    Raises:
        InputError: the model has other frames, so that labels would not align with its output.
    """
    hop, window = 1, 1
    for kernel, stride in zip(model_config.conv_kernel, model_config.conv_stride, strict=True):
        window += (kernel - 1) * hop
        hop *= stride
    if (hop, window) != (HOP, WINDOW):
        raise InputError(f"frames have to be {WINDOW} samples every {HOP}, not {window} every {hop}")


def normalized(waveforms: np.ndarray) -> np.ndarray:
    """Scale clips to zero mean and unit variance, as Wav2Vec2FeatureExtractor does: float32 (..., samples)."""
    centred = waveforms - waveforms.mean(axis=-1, keepdims=True)
    return centred / np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + np.float32(1e-7))
