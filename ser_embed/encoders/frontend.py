"""The convolutional front end of HuBERT, Wav2Vec2 and WavLM, as matrix products in (time, channel) layout.

transformers computes it with Conv1d in (channel, time) layout and turns the tensor over twice around every LayerNorm.
Here a clip stays (time, channel) throughout. A convolution of kernel k and stride s over C channels is then a few
matrix products without any copying: s neighbouring frames lie side by side in memory, so frames 0..s-1, s..2s-1, ...
seen as rows of s*C numbers are one operand, and a kernel longer than the stride adds a second product over the same
rows moved on by s frames.

What each step buys, against transformers' front end of HuBERT-large in float32 on two cores, is measured by
`benchmarks/stages.py`.

A clip goes through on its own, in tiles small enough to stay in the cache. Nothing depends on the other clips of a
batch, and memory does not grow with a clip's length. Adjacent tiles share the 80 samples by which frames overlap, so
tiling changes no number beyond rounding.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

TILE_FRAMES = 64  # 1.28 s: the first layer's output, 4096 rows of 512 channels, is 8 MiB in float32


@dataclasses.dataclass(frozen=True)
class ConvLayer:
    """One convolution with its norm, weights laid out for matrix products.

    Attributes:
        taps: for each shift of `stride` frames the weights (frames * channels in, channels out).
        bias: (channels out,) or None.
        kernel: frames per output frame.
        stride: frames from one output frame to the next.
        norm: the LayerNorm over channels, or None.
    """

    taps: tuple[torch.Tensor, ...]
    bias: torch.Tensor | None
    kernel: int
    stride: int
    norm: torch.nn.LayerNorm | None

    @classmethod
    def of(cls, conv: torch.nn.Conv1d, norm: torch.nn.LayerNorm | None) -> "ConvLayer":
        """Lay out the weights of a Conv1d, (out, in, kernel), as (kernel * in, out), cut into steps of the stride."""
        (kernel,), (stride,) = conv.kernel_size, conv.stride
        rows = conv.weight.detach().permute(2, 1, 0).reshape(kernel * conv.in_channels, conv.out_channels)
        taps = tuple(tap.contiguous() for tap in rows.split(stride * conv.in_channels))
        return cls(taps, None if conv.bias is None else conv.bias.detach(), kernel, stride, norm)

    def num_out(self, num_in: int) -> int:
        """Return how many frames come out for `num_in` frames."""
        return max(0, (num_in - self.kernel) // self.stride + 1)

    def __call__(self, frames: torch.Tensor) -> torch.Tensor:
        """Convolve, normalise and activate: (frames in, channels in) to (frames out, channels out)."""
        num_out, channels = self.num_out(frames.shape[0]), frames.shape[1]
        step = self.stride * channels
        # (frames out, tap rows) for each tap: a view whose rows begin `stride` frames apart
        operands = [
            frames.as_strided((num_out, len(tap)), (step, 1), frames.storage_offset() + shift * step)
            for shift, tap in enumerate(self.taps)
        ]
        first = self.taps[0]
        out = operands[0] @ first if self.bias is None else torch.addmm(self.bias, operands[0], first)
        for rows, tap in zip(operands[1:], self.taps[1:], strict=True):
            out.addmm_(rows, tap)
        if self.norm is not None:
            out = self.norm(out)
        return F.gelu(out)


class FrontEnd:
    """Waveforms to frames of 20 ms, one clip at a time, for both kinds of published front end.

    Layer-norm models (the large ones) normalise every convolution over channels. Group-norm models (the base ones)
    normalise the first convolution over the clip's time, each channel for itself. That norm is folded into the
    first layer's weights, clip by clip: the mean and variance of a convolution's output follow from the mean and
    covariance of its input windows, so that no pass over the output is needed.
    """

    def __init__(self, feature_extractor: Any, tile_frames: int = TILE_FRAMES) -> None:
        """Take over the weights of a transformers feature extractor (its `conv_layers`), in their device and type."""
        layers = list(feature_extractor.conv_layers)
        first_norm = getattr(layers[0], "layer_norm", None)
        self._group_norm = first_norm if isinstance(first_norm, torch.nn.GroupNorm) else None
        self._layers = [
            ConvLayer.of(layer.conv, None if self._group_norm else getattr(layer, "layer_norm", None))
            for layer in layers
        ]
        self._tile_frames = tile_frames
        self._hop = int(np.prod([layer.stride for layer in self._layers]))
        self._window = self._samples_for(1)

    @property
    def channels(self) -> int:
        """Channels of a frame."""
        return self._layers[-1].taps[0].shape[1]

    def num_frames(self, num_samples: int) -> int:
        """Return how many frames a waveform of `num_samples` has."""
        for layer in self._layers:
            num_samples = layer.num_out(num_samples)
        return num_samples

    def __call__(self, waveform: torch.Tensor) -> torch.Tensor:
        """Compute the frames of one clip.

        Args:
            waveform: float32 (samples,), as long as the first layer's window at least.

        Returns:
            (frames, channels) in the weights' type.
        """
        layers = self._layers
        if self._group_norm is not None:
            layers = [_normalized(layers[0], self._group_norm, waveform), *layers[1:]]
        samples = waveform.to(layers[0].taps[0].dtype).unsqueeze(1)  # (samples, 1)
        return torch.cat([_through(layers, samples[tile]) for tile in self._tiles(len(waveform))])

    def _tiles(self, num_samples: int) -> Iterator[slice]:
        """Cut a clip into slices of samples that give `tile_frames` frames each, and the rest."""
        num_frames = self.num_frames(num_samples)
        for first in range(0, num_frames, self._tile_frames):
            count = min(self._tile_frames, num_frames - first)
            yield slice(first * self._hop, (first + count - 1) * self._hop + self._window)

    def _samples_for(self, num_frames: int) -> int:
        for layer in reversed(self._layers):
            num_frames = (num_frames - 1) * layer.stride + layer.kernel
        return num_frames


def _normalized(first: ConvLayer, norm: torch.nn.GroupNorm, waveform: torch.Tensor) -> ConvLayer:
    """Fold the first layer's GroupNorm for this clip into its weights and bias.

    With windows x of mean m and covariance S, the output w.x has mean w.m and variance w'Sw. Both are taken in
    float64 from centred windows, which keeps the variance of a nearly silent channel exact.
    """
    windows = waveform.double().unfold(0, first.kernel, first.stride)  # (frames, kernel)
    weights = torch.cat(first.taps).double()  # (kernel, channels)
    mean = windows.mean(dim=0)
    centred = windows - mean
    covariance = centred.T @ centred / len(windows)
    variance = ((covariance @ weights) * weights).sum(dim=0).clamp_min(0)
    scale = norm.weight.double() * (variance + norm.eps).rsqrt()
    shift = norm.bias.double() - (mean @ weights) * scale  # a bias of the convolution would cancel here
    dtype = first.taps[0].dtype
    taps = tuple((tap.double() * scale).to(dtype) for tap in first.taps)
    return dataclasses.replace(first, taps=taps, bias=shift.to(dtype))


def _through(layers: list[ConvLayer], frames: torch.Tensor) -> torch.Tensor:
    for layer in layers:
        frames = layer(frames)
    return frames
