"""The positional convolution on a CPU: by Fourier transform for extraction, in float32 for training.

It is a grouped Conv1d over 128 frames, which torch works out tap by tap. Between spectra it is one small matrix product
per frequency and group, a thirtieth of the arithmetic; a HuBERT-large's takes a ninth of the time.

In bfloat16 oneDNN's convolution cannot be had at all on processors with AMX for groups of 2 to 15 channels: its result
has nothing to do with the input (torch 2.13). From 16 on, and published models have 48 or 64, it is right.
"""

from types import MethodType

import torch
import torch.nn.functional as F

TRUSTED_CHANNELS = 16  # of a group


class FourierConv(torch.nn.Module):
    """A grouped Conv1d of stride 1 by overlap-save: blocks of twice the kernel, of which the valid half is kept.

    With x a block of n frames and w a kernel, sum_k w[k] x[t + k] is the inverse transform of X conj(W), exact for the
    t at which the kernel does not run over the block's end (Oppenheim and Schafer, Discrete-Time Signal Processing).
    """

    def __init__(self, conv: torch.nn.Conv1d) -> None:
        """Take over the weights of a Conv1d, for inference."""
        super().__init__()
        out, channels, self._kernel = conv.weight.shape
        self._groups, self._padding = conv.groups, int(conv.padding[0])
        self._block = 2 * self._kernel
        spectra = torch.fft.rfft(conv.weight.detach().float(), self._block).conj()  # (out, channels, frequencies)
        by_group = spectra.view(self._groups, out // self._groups, channels, -1).permute(3, 0, 2, 1)
        self._weight = by_group.flatten(0, 1).contiguous()  # (frequencies * groups, channels in, channels out)
        self._bias = None if conv.bias is None else conv.bias.detach().float()

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Convolve in float32, and answer in the input's type: (batch, channels, frames), as Conv1d does."""
        batch, _, count = frames.shape
        wanted = count + 2 * self._padding - self._kernel + 1
        hop = self._block - self._kernel + 1
        blocks = -(-wanted // hop)
        padded = F.pad(frames.float(), (self._padding, blocks * hop + self._kernel - 1 - count - self._padding))
        cut = padded.unfold(2, self._block, hop).transpose(1, 2)  # (batch, blocks, channels, block)
        spectra = torch.fft.rfft(cut).flatten(0, 1).unflatten(1, (self._groups, -1))
        rows = spectra.permute(3, 1, 0, 2).flatten(0, 1)  # (frequencies * groups, batch * blocks, channels)
        mixed = torch.bmm(rows, self._weight).unflatten(0, (-1, self._groups)).permute(2, 1, 3, 0).flatten(1, 2)
        out = torch.fft.irfft(mixed, self._block)[..., :hop]  # (batch * blocks, channels out, hop)
        out = out.unflatten(0, (batch, blocks)).transpose(1, 2).flatten(2)[..., :wanted]
        return (out if self._bias is None else out + self._bias[:, None]).to(frames.dtype)


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
