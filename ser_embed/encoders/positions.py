"""The positional convolution, in float32 where processors cannot be trusted with bfloat16.

On processors with AMX, oneDNN's bfloat16 convolution is wrong for groups of 2 to 15 channels: its result has nothing to
do with the input (torch 2.13). From 16 on, and published models have 48 or 64, it is right, and twice as fast.
"""

from types import MethodType

import torch
import torch.nn.functional as F

TRUSTED_CHANNELS = 16  # of a group


def keep_exact(conv: torch.nn.Conv1d) -> None:
    """Make a convolution of narrow groups compute in float32, and answer in its input's type."""
    if conv.in_channels // conv.groups < TRUSTED_CHANNELS:
        conv.forward = MethodType(_forward, conv)  # type: ignore[method-assign]


def _forward(conv: torch.nn.Conv1d, frames: torch.Tensor) -> torch.Tensor:
    """Convolve: (batch, channels, frames) to (batch, channels, frames out)."""
    with torch.autocast(frames.device.type, enabled=False):
        bias = None if conv.bias is None else conv.bias.float()
        out = F.conv1d(frames.float(), conv.weight.float(), bias, conv.stride, conv.padding, conv.dilation, conv.groups)
    return out.to(frames.dtype)
