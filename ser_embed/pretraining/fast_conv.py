"""Convolutions of HuBERT for training on processors: in (time, channel) layout, as matrix products.

transformers computes them in (channel, time) layout, transposes the tensor twice around every LayerNorm, and computes
the gradient of the waveform, which is never used. Here, frames that are adjacent in memory are one operand of a matrix
product, and nothing is transposed. See `ser_embed.encoders.kernels.conv_frontend` for the same idea without gradients.
"""

from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F


def speed_up(feature_extractor: Any) -> None:
    """Make a transformers feature extractor with LayerNorm compute in this way; weights and results stay the same.

    One with GroupNorm, which normalises over time, is left unchanged.
    """
    if all(hasattr(layer, "layer_norm") for layer in feature_extractor.conv_layers):
        feature_extractor.forward = MethodType(_forward, feature_extractor)


def _forward(feature_extractor: Any, waveforms: torch.Tensor) -> torch.Tensor:
    """Compute frames: (batch, samples) to (batch, channels, frames), the latter a view of (batch, frames, channels)."""
    frames = waveforms.unsqueeze(-1)  # (batch, samples, 1 channel)
    for layer in feature_extractor.conv_layers:
        frames = F.gelu(layer.layer_norm(_convolve(frames, layer.conv)))
    return frames.transpose(1, 2)


def _convolve(frames: torch.Tensor, conv: torch.nn.Conv1d) -> torch.Tensor:
    """Convolve: (batch, frames, channels) to (batch, frames out, channels out), one stride of the kernel at a time."""
    (kernel,), (stride,) = conv.kernel_size, conv.stride
    batch, num_in, channels = frames.shape
    num_out = (num_in - kernel) // stride + 1
    weight = conv.weight.permute(2, 1, 0).reshape(kernel * channels, -1)  # (kernel * channels in, channels out)
    taps = range(0, kernel, stride)
    products = [
        _windows(frames, tap, min(stride, kernel - tap), stride, num_out)
        @ weight[tap * channels : min(tap + stride, kernel) * channels]
        for tap in taps
    ]
    out = sum(products[1:], start=products[0])
    return out if conv.bias is None else out + conv.bias


def _windows(frames: torch.Tensor, first: int, width: int, stride: int, count: int) -> torch.Tensor:
    """Concatenate the first `width` of every `stride` frames: (batch, count, width * channels)."""
    windows = frames[:, first : first + (count - 1) * stride + width]
    if width < stride:  # the end of a kernel that is no multiple of the stride
        windows = windows.unfold(1, width, stride).transpose(2, 3)  # (batch, count, width, channels)
    return windows.reshape(len(frames), count, width * frames.shape[2])
