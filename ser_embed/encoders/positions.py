"""The positional convolution, in float32 on processors whatever the arithmetic around it.

On processors with AMX, oneDNN's bfloat16 convolution is wrong for groups of 8 channels: its result has nothing to do
with the input (torch 2.13). Published models have groups of 48 or more, for which it is right, but any shape can be
loaded. In float32 this one layer costs a HuBERT-large 2 % of its time with AMX and saves some without.
"""

from types import MethodType

import torch
import torch.nn.functional as F


def keep_exact(conv: torch.nn.Conv1d) -> None:
    """Make a convolution compute in float32, and answer in its input's type."""
    conv.forward = MethodType(_forward, conv)  # type: ignore[method-assign]


def _forward(conv: torch.nn.Conv1d, frames: torch.Tensor) -> torch.Tensor:
    """Convolve: (batch, channels, frames) to (batch, channels, frames out)."""
    with torch.autocast(frames.device.type, enabled=False):
        bias = None if conv.bias is None else conv.bias.float()
        out = F.conv1d(frames.float(), conv.weight.float(), bias, conv.stride, conv.padding, conv.dilation, conv.groups)
    return out.to(frames.dtype)
