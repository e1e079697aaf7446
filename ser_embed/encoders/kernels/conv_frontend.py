"""The convolutional front end of HuBERT, Wav2Vec2 and WavLM, as matrix products in (time, channel) layout.

transformers computes it with Conv1d in (channel, time) layout and turns the tensor over twice around every LayerNorm.
Here a clip stays (time, channel) throughout. A convolution of kernel k and stride s over C channels is then one matrix
product without any copying: k neighbouring frames lie side by side in memory and make a row of k*C numbers, and the
next row begins s*C numbers on, over the same memory.

What each step buys, against transformers' front end of HuBERT-large in float32 on two cores, is measured by
`benchmarks/stages.py`.

A clip goes through on its own, in tiles small enough to stay in the cache. Nothing depends on the other clips of a
batch, and memory does not grow with a clip's length. Adjacent tiles share the 80 samples by which frames overlap, so
tiling changes no number beyond rounding.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ser_embed.encoders.kernels.packed_linear import Linear, make_linear

TILE_BYTES = (
    8 * 2**20
)  # of the first layer's output: for 512 channels 64 frames, or 1.28 s, in float32, or 128 in bfloat16


class ConvLayer:
    """One convolution, with its norm and GELU, as one matrix product over overlapping windows."""

    def __init__(self, conv: torch.nn.Conv1d, norm: torch.nn.LayerNorm | None) -> None:
        """Lay out the weights of a Conv1d, (out, in, kernel), for windows of frames: (out, kernel * in)."""
        (self.kernel,), (self.stride,) = conv.kernel_size, conv.stride
        self.weight = conv.weight.detach().transpose(1, 2).flatten(1)
        self.bias = None if conv.bias is None else conv.bias.detach()
        self.norm = norm
        self._linear = make_linear(self.weight, self.bias)

    def num_out(self, num_in: int) -> int:
        """Return how many frames come out for `num_in` frames."""
        return max(0, (num_in - self.kernel) // self.stride + 1)

    def __call__(self, frames: torch.Tensor, linear: Linear | None = None) -> torch.Tensor:
        """Convolve, normalise and activate: (frames in, channels in) to (frames out, channels out).

        Args:
            frames: contiguous.
            linear: other weights for this clip.
        """
        channels = frames.shape[1]
        windows = frames.as_strided(
            (self.num_out(len(frames)), self.kernel * channels), (self.stride * channels, 1), frames.storage_offset()
        )
        out = (linear or self._linear)(windows)
        return F.gelu(out if self.norm is None else self.norm(out))


class ConvFrontend:
    """Waveforms to frames of 20 ms, one clip at a time, for both kinds of published front end.

    Layer-norm models (the large ones) normalise every convolution over channels. Group-norm models (the base ones)
    normalise the first convolution over the clip's time, each channel for itself. That norm is folded into the
    first layer's weights, clip by clip: the mean and variance of a convolution's output follow from the mean and
    covariance of its input windows, so that no pass over the output is needed.
    """

    def __init__(self, feature_extractor: Any, tile_frames: int | None = None) -> None:
        """Take over the weights of a transformers feature extractor.

        Args:
            feature_extractor: with its `conv_layers`, in the device and type to compute in.
            tile_frames: frames in a tile; None for as many as a processor's cache holds well.
        """
        layers = list(feature_extractor.conv_layers)
        first_norm = getattr(layers[0], "layer_norm", None)
        self._group_norm = first_norm if isinstance(first_norm, torch.nn.GroupNorm) else None
        self._layers = [
            ConvLayer(layer.conv, None if self._group_norm else getattr(layer, "layer_norm", None)) for layer in layers
        ]
        self._hop = int(np.prod([layer.stride for layer in self._layers]))
        first = self._layers[0]
        frame_bytes = self._hop // first.stride * len(first.weight) * first.weight.itemsize
        self._tile_frames = tile_frames or max(1, TILE_BYTES // frame_bytes)
        self._window = self._samples_for(1)

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
        first = self._layers[0]
        linear = None if self._group_norm is None else _normalized(first, self._group_norm, waveform)
        samples = waveform.to(first.weight.dtype).unsqueeze(1)  # (samples, 1)
        tiles = []
        for tile in self._tiles(len(waveform)):
            frames = first(samples[tile], linear)
            for layer in self._layers[1:]:
                frames = layer(frames)
            tiles.append(frames)
        return torch.cat(tiles)

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


def _normalized(first: ConvLayer, norm: torch.nn.GroupNorm, waveform: torch.Tensor) -> Linear:
    """Fold the first layer's GroupNorm for this clip into its weights and bias.

    With windows x of mean m and covariance S, the output w.x has mean w.m and variance w'Sw. Both are taken in
    float64 from centred windows, which keeps the variance of a nearly silent channel exact.
    """
    windows = waveform.double().unfold(0, first.kernel, first.stride)  # (frames, kernel)
    weight = first.weight.double()  # (channels, kernel)
    mean = windows.mean(dim=0)
    centred = windows - mean
    covariance = centred.T @ centred / len(windows)
    variance = ((weight @ covariance) * weight).sum(dim=1).clamp_min(0)
    scale = norm.weight.double() * (variance + norm.eps).rsqrt()
    shift = norm.bias.double() - (weight @ mean) * scale  # a bias of the convolution would cancel here
    dtype = first.weight.dtype
    return make_linear((weight * scale[:, None]).to(dtype), shift.to(dtype))
