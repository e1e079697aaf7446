"""The positional convolution: on a CPU by Fourier transform for extraction, in float32 for training.

It is a grouped Conv1d over 128 frames, which torch works out tap by tap. Between spectra it is one small matrix product
per frequency and group, a thirtieth of the arithmetic; a HuBERT-large's takes a ninth of the time.

In bfloat16 oneDNN's convolution cannot be had at all on processors with AMX for groups of 2 to 15 channels: its result
has nothing to do with the input (torch 2.13). From 16 on, and published models have 48 or 64, it is right.
"""

from collections.abc import Sequence
from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F

from ser_embed.encoders.kernels.ragged import Group

TRUSTED_CHANNELS = 16  # of a group


class PositionalConv:
    """What tells a frame where it is: a convolution over its neighbours in the clip, which adds zeros at both ends."""

    def __init__(self, embedding: Any, device: str) -> None:
        """Take over the weights of a transformers encoder's `pos_conv_embed`, for inference."""
        self._activation = embedding.activation
        self._convolve = FourierConv(embedding.conv) if device == "cpu" else PaddedConv(embedding.conv)

    def __call__(self, rows: torch.Tensor, groups: Sequence[Group]) -> torch.Tensor:
        """Return what is to be added to the frames, (rows, width)."""
        return self._activation(self._convolve(rows, groups))


class PaddedConv:
    """The Conv1d as torch has it, on padded clips: the padding is zeros, as the convolution's own is."""

    def __init__(self, conv: torch.nn.Conv1d) -> None:
        """Take over a Conv1d."""
        self._conv = conv

    def __call__(self, rows: torch.Tensor, groups: Sequence[Group]) -> torch.Tensor:
        """Convolve: (rows, channels) to (rows, channels)."""
        convolved = []
        for group in groups:
            out = self._conv(group.pad(rows[group.rows]).transpose(1, 2))  # (clips, channels, frames or one more)
            convolved.append(group.unpad(out[..., : group.frames].transpose(1, 2)))
        return torch.cat(convolved)


class FourierConv:
    """A grouped Conv1d of stride 1 by overlap-save: blocks of twice the kernel, of which the valid half is kept.

    With x a block of n frames and w a kernel, sum_k w[k] x[t + k] is the inverse transform of X conj(W), exact for the
    t at which the kernel does not run over the block's end (Oppenheim and Schafer, Discrete-Time Signal Processing).
    """

    def __init__(self, conv: torch.nn.Conv1d) -> None:
        """Take over the weights of a Conv1d, for inference."""
        out, channels, self._kernel = conv.weight.shape
        self._groups, self._padding = conv.groups, int(conv.padding[0])
        self._block = 2 * self._kernel
        spectra = torch.fft.rfft(conv.weight.detach().float(), self._block).conj()  # (out, channels, frequencies)
        by_group = spectra.view(self._groups, out // self._groups, channels, -1).permute(3, 0, 2, 1)
        self._weight = by_group.flatten(0, 1).contiguous()  # (frequencies * groups, channels in, channels out)
        self._bias = None if conv.bias is None else conv.bias.detach().float()

    def __call__(self, rows: torch.Tensor, groups: Sequence[Group]) -> torch.Tensor:
        """Convolve in float32, and answer in the rows' type: (rows, channels) to (rows, channels).

        Blocks of all clips are multiplied together, because the kernels' spectra are larger than what they meet.
        """
        counts = [count for group in groups for count in group.counts]
        hop = self._block - self._kernel + 1
        blocks = [-(-count // hop) for count in counts]
        cut = [
            F.pad(clip.T, (self._padding, num * hop + self._kernel - 1 - count - self._padding)).unfold(
                1, self._block, hop
            )
            for clip, count, num in zip(rows.float().split(counts), counts, blocks, strict=True)
        ]  # of each clip (channels, blocks, block)
        spectra = torch.fft.rfft(torch.cat(cut, dim=1)).unflatten(0, (self._groups, -1))
        met = spectra.permute(3, 0, 2, 1).flatten(0, 1)  # (frequencies * groups, all blocks, channels in)
        mixed = torch.bmm(met, self._weight).unflatten(0, (-1, self._groups)).permute(2, 1, 3, 0).flatten(1, 2)
        out = torch.fft.irfft(mixed, self._block)[..., :hop].transpose(1, 2)  # (all blocks, hop, channels out)
        clips = zip(out.split(blocks), counts, strict=True)
        convolved = torch.cat([clip.flatten(0, 1)[:count] for clip, count in clips])
        return (convolved if self._bias is None else convolved + self._bias).to(rows.dtype)


def keep_exact(conv: torch.nn.Conv1d) -> None:
    """Make a convolution of narrow groups compute in float32, and answer in its input's type; gradients pass."""
    if conv.in_channels // conv.groups < TRUSTED_CHANNELS:
        conv.forward = MethodType(_forward, conv)  # type: ignore[method-assign]


def _forward(conv: torch.nn.Conv1d, frames: torch.Tensor) -> torch.Tensor:
    """Convolve: (batch, channels, frames) to (batch, channels, frames out)."""
    with torch.autocast(frames.device.type, enabled=False):
        bias = None if conv.bias is None else conv.bias.float()
        out = F.conv1d(frames.float(), conv.weight.float(), bias, conv.stride, conv.padding, conv.dilation, conv.groups)
    return out.to(frames.dtype)
