"""Convolutional front end of HuBERT, Wav2Vec2 and WavLM, as matrix products in (time, channel) layout.

transformers computes it with Conv1d in (channel, time) layout and transposes the tensor twice around every LayerNorm.
Here a clip is (time, channel) throughout. A convolution of kernel k and stride s over C channels is then one matrix
product without copies: k neighbouring frames are contiguous in memory and make a row of k*C numbers, and the next row
begins s*C numbers later, in the same memory.

`benchmarks/stages.py` measures the gain over transformers' front end of HuBERT-large.

Each clip is processed separately, in tiles small enough to stay in the cache. The result does not depend on the other
clips of a batch, and memory does not grow with the length of a clip. Adjacent tiles share the 80 samples by which
frames overlap, so that tiles change the result by no more than rounding.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ser_embed.encoders.kernels.packed_linear import Linear, make_linear

# Size of the first layer's output. With 512 channels a tile has 64 frames (1.28 s) in float32, or 128 in bfloat16.
TILE_BYTES = 8 * 2**20


class ConvLayer:
    """Convolution with its norm and GELU, as one matrix product over overlapping windows."""

    def __init__(self, conv: torch.nn.Conv1d, norm: torch.nn.LayerNorm | None) -> None:
        """Convert the weights of a Conv1d, (out, in, kernel), for windows of frames: (out, kernel * in)."""
        (self.kernel,), (self.stride,) = conv.kernel_size, conv.stride
        self.weight = conv.weight.detach().transpose(1, 2).flatten(1)
        self.bias = None if conv.bias is None else conv.bias.detach()
        self.norm = norm
        self._linear = make_linear(self.weight, self.bias)

    def num_out(self, num_in: int) -> int:
        """Return the number of output frames for `num_in` input frames."""
        return max(0, (num_in - self.kernel) // self.stride + 1)

    def __call__(self, frames: torch.Tensor, linear: Linear | None = None) -> torch.Tensor:
        """Convolve, normalise and activate: (frames in, channels in) to (frames out, channels out).

        Args:
            frames: contiguous.
            linear: weights for this clip, in place of the layer's.
        """
        channels = frames.shape[1]
        windows = frames.as_strided(
            (self.num_out(len(frames)), self.kernel * channels), (self.stride * channels, 1), frames.storage_offset()
        )
        out = (linear or self._linear)(windows)
        return F.gelu(out if self.norm is None else self.norm(out))


class ConvFrontend:
    """Convolutional front end: waveforms to frames of 20 ms, one clip at a time, for both published kinds.

    Layer-norm models (the large ones) normalise every convolution over channels. Group-norm models (the base ones)
    normalise the first convolution over the time of the clip, each channel separately. That norm is folded into the
    first layer's weights, clip by clip: mean and variance of the convolution's output follow from mean and covariance
    of its input windows, so that no pass over the output is needed.
    """

    def __init__(self, feature_extractor: Any, tile_frames: int | None = None) -> None:
        """Convert the weights of a transformers feature extractor.

        Args:
            feature_extractor: module with `conv_layers`, on the device and in the type to compute with.
            tile_frames: frames in a tile; None for the number that fits a processor's cache.
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
        self._window = self._num_samples(1)

    def num_frames(self, num_samples: int) -> int:
        """Return the number of frames of a waveform of `num_samples`."""
        for layer in self._layers:
            num_samples = layer.num_out(num_samples)
        return num_samples

    def __call__(self, waveform: torch.Tensor) -> torch.Tensor:
        """Compute the frames of one clip.

        Args:
            waveform: float32 (samples,), at least as long as the window of a frame.

        Returns:
            (frames, channels) in the type of the weights.
        """
        first = self._layers[0]
        linear = None if self._group_norm is None else _fold_group_norm(first, self._group_norm, waveform)
        samples = waveform.to(first.weight.dtype).unsqueeze(1)  # (samples, 1)
        tiles = []
        for tile in self._tiles(len(waveform)):
            frames = first(samples[tile], linear)
            for layer in self._layers[1:]:
                frames = layer(frames)
            tiles.append(frames)
        return torch.cat(tiles)

    def _tiles(self, num_samples: int) -> Iterator[slice]:
        """Yield the slices of samples that give `tile_frames` frames each; the last one gives the remaining frames."""
        num_frames = self.num_frames(num_samples)
        for first in range(0, num_frames, self._tile_frames):
            count = min(self._tile_frames, num_frames - first)
            yield slice(first * self._hop, (first + count - 1) * self._hop + self._window)

    def _num_samples(self, num_frames: int) -> int:
        """Return the number of samples that `num_frames` frames cover."""
        for layer in reversed(self._layers):
            num_frames = (num_frames - 1) * layer.stride + layer.kernel
        return num_frames


def _fold_group_norm(first: ConvLayer, norm: torch.nn.GroupNorm, waveform: torch.Tensor) -> Linear:
    """Fold the GroupNorm of the first layer into its weights and bias, for one clip.

    For windows x of mean m and covariance S, the output w.x has mean w.m and variance w'Sw. Both are computed in
    float64 from centred windows, which keeps the variance of a nearly silent channel exact.

    Args:
        first: the first layer.
        norm: its norm, with one group per channel.
        waveform: float32 (samples,).
    """
    windows = waveform.double().unfold(0, first.kernel, first.stride)  # (frames, kernel)
    weight = first.weight.double()  # (channels, kernel)
    mean = windows.mean(dim=0)
    centred = windows - mean
    covariance = centred.T @ centred / len(windows)
    variance = ((weight @ covariance) * weight).sum(dim=1).clamp_min(0)
    scale = norm.weight.double() * (variance + norm.eps).rsqrt()
    # The convolution's own bias is left out: the norm subtracts the mean, and the bias with it.
    shift = norm.bias.double() - (weight @ mean) * scale
    dtype = first.weight.dtype
    return make_linear((weight * scale[:, None]).to(dtype), shift.to(dtype))
