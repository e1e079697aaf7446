"""Positional convolution: by Fourier transform for extraction on a processor; in float32 for training.

It is a grouped Conv1d over 128 frames, which torch computes tap by tap. Between spectra it is one small matrix product
per frequency and group, which is a thirtieth of the arithmetic; for a HuBERT-large it takes a ninth of the time.

In bfloat16 the convolution of oneDNN cannot be used at all on processors with AMX for groups of 2 to 15 channels: its
result is unrelated to the input (torch 2.13). From 16 channels on it is correct; published models have 48 or 64.
"""

from collections.abc import Sequence
from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F

from ser_embed.encoders.kernels.ragged import Group

MIN_BFLOAT16_CHANNELS = 16  # of a group; with fewer the convolution is computed in float32


class PositionalConv:
    """Positional embedding of frames: a convolution over the neighbouring frames of a clip, with zeros at both ends."""

    def __init__(self, embedding: Any, device: str) -> None:
        """Convert the weights of a transformers encoder's `pos_conv_embed`, for inference."""
        self._activation = embedding.activation
        self._convolve = FourierConv(embedding.conv) if device == "cpu" else PaddedConv(embedding.conv)

    def __call__(self, rows: torch.Tensor, groups: Sequence[Group]) -> torch.Tensor:
        """Compute the embedding of packed frames, (rows, width), which is to be added to them."""
        return self._activation(self._convolve(rows, groups))


class PaddedConv:
    """Conv1d of torch on padded clips. Padding is zeros, like the padding of the convolution itself."""

    def __init__(self, conv: torch.nn.Conv1d) -> None:
        """Wrap a Conv1d."""
        self._conv = conv

    def __call__(self, rows: torch.Tensor, groups: Sequence[Group]) -> torch.Tensor:
        """Convolve: (rows, channels) to (rows, channels)."""
        convolved = []
        for group in groups:
            out = self._conv(group.pad(rows[group.rows]).transpose(1, 2))  # (clips, channels, frames or one more)
            convolved.append(group.unpad(out[..., : group.frames].transpose(1, 2)))
        return torch.cat(convolved)


class FourierConv:
    """Grouped Conv1d of stride 1 by overlap-save: blocks of twice the kernel, of which the valid half is used.

    With x a block of n frames and w a kernel, sum_k w[k] x[t + k] is the inverse transform of X conj(W). It is exact
    for those t at which the kernel does not extend beyond the block (Oppenheim and Schafer, Discrete-Time Signal
    Processing).
    """

    def __init__(self, conv: torch.nn.Conv1d) -> None:
        """Convert the weights of a Conv1d, for inference."""
        num_out, num_in, self._kernel = conv.weight.shape  # `num_in` channels per group
        self._groups, self._padding = conv.groups, int(conv.padding[0])
        self._block = 2 * self._kernel
        spectra = torch.fft.rfft(conv.weight.detach().float(), self._block).conj()  # (out, in, frequencies)
        by_group = spectra.view(self._groups, num_out // self._groups, num_in, -1).permute(3, 0, 2, 1)
        self._weight = by_group.flatten(0, 1).contiguous()  # (frequencies * groups, channels in, channels out)
        self._bias = None if conv.bias is None else conv.bias.detach().float()

    def __call__(self, rows: torch.Tensor, groups: Sequence[Group]) -> torch.Tensor:
        """Convolve in float32, and return the type of the rows: (rows, channels) to (rows, channels).

        The blocks of all clips are multiplied together, because the spectra of the kernels are larger than the input.
        """
        counts = [count for group in groups for count in group.counts]
        hop = self._block - self._kernel + 1
        num_blocks = [-(-count // hop) for count in counts]
        blocks = [
            F.pad(clip.T, (self._padding, num * hop + self._kernel - 1 - count - self._padding)).unfold(
                1, self._block, hop
            )
            for clip, count, num in zip(rows.float().split(counts), counts, num_blocks, strict=True)
        ]  # of each clip (channels, blocks, block)
        spectra = torch.fft.rfft(torch.cat(blocks, dim=1)).unflatten(0, (self._groups, -1))
        inputs = spectra.permute(3, 0, 2, 1).flatten(0, 1)  # (frequencies * groups, all blocks, channels in)
        outputs = torch.bmm(inputs, self._weight).unflatten(0, (-1, self._groups)).permute(2, 1, 3, 0).flatten(1, 2)
        frames = torch.fft.irfft(outputs, self._block)[..., :hop].transpose(1, 2)  # (all blocks, hop, channels out)
        clips = zip(frames.split(num_blocks), counts, strict=True)
        convolved = torch.cat([clip.flatten(0, 1)[:count] for clip, count in clips])
        return (convolved if self._bias is None else convolved + self._bias).to(rows.dtype)


def keep_exact(conv: torch.nn.Conv1d) -> None:
    """Make a convolution with few channels per group compute in float32, as bfloat16 would be wrong; see above.

    The convolution is changed in place. It still returns the type of its input and passes gradients.
    """
    if conv.in_channels // conv.groups < MIN_BFLOAT16_CHANNELS:
        conv.forward = MethodType(_convolve_in_float32, conv)  # type: ignore[method-assign]


def _convolve_in_float32(conv: torch.nn.Conv1d, frames: torch.Tensor) -> torch.Tensor:
    """Convolve: (batch, channels, frames) to (batch, channels, frames out), in the type of the input."""
    with torch.autocast(frames.device.type, enabled=False):
        bias = None if conv.bias is None else conv.bias.float()
        out = F.conv1d(frames.float(), conv.weight.float(), bias, conv.stride, conv.padding, conv.dilation, conv.groups)
    return out.to(frames.dtype)
