"""HuBERT, Wav2Vec2 and WavLM: every layer pooled as it is made, in one forward pass.

Layers are named by this library: "0" is what enters the first transformer block, "k" what leaves block k, "final" the
model's `last_hidden_state`, which differs from the last block only where a LayerNorm follows it.

A clip's vector does not depend on its batch. The front end runs clip by clip (`frontend`); in the transformer, padded
frames are zero before the positional convolution, as the convolution's own padding is, are masked out as keys of the
attention, and are left out of the pooling. Base models are published without an attention mask because their front end
cannot take padding; here it never sees any, so one rule serves all of them.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn.utils import parametrize
from torch.nn.utils.rnn import pad_sequence

from ser_embed.encoders.attention import fuse
from ser_embed.encoders.encoder import MAX_CLIP_S, EncoderOptions, choose_layers
from ser_embed.encoders.frontend import TILE_FRAMES, FrontEnd
from ser_embed.encoders.linear import can_pack, pack
from ser_embed.encoders.positions import FourierConv
from ser_embed.errors import InputError
from ser_embed.pooling import pool_batch, pooled_width
from ser_embed.spec import RATE_HZ, EmbeddingSpec

CPU_BATCH_S = 5.0  # two clips of 2.5 s: enough rows for the matrix products, small enough for a core's cache
# AMX multiplies so fast that handing it work shows, so it wants more rows at once. HuBERT-large in two lanes on two
# cores, median audio-s/s of five rounds by budget: 16.5 at 5 s, 17.6 at 10, 21.8 at 20.
AMX_BATCH_S = 20.0
SMALL_GPU_BATCH_S = 10.0  # however little memory is free
GPU_BATCH_S = 320.0  # beyond this an accelerator's matrix units are full and only memory grows
GPU_BYTES_PER_S = 64 * 2**20  # of activations in a HuBERT-large, generously; keeps small cards from overflowing


class TransformerEncoder:
    """A frozen speech transformer on one device; see `ser_embed.encoders.encoder.Encoder`."""

    notes: tuple[str, ...] = ()

    def __init__(self, model: Any, name: str, revision: str, digest: str, normalize: bool, options: EncoderOptions):
        """Prepare a loaded transformers model for encoding.

        Args:
            model: a HubertModel, Wav2Vec2Model or WavLMModel, in float32.
            name: what to call it in the spec.
            revision: the Hub commit, or "".
            digest: hash of its weights.
            normalize: whether the model expects waveforms of zero mean and unit variance.
            options: layers, pooling, device and arithmetic.
        """
        blocks = model.encoder.layers
        names = [str(index) for index in range(len(blocks) + 1)]
        # With stable layer norm the encoder ends in a LayerNorm of its own; else the last block is the output.
        last = "final" if model.config.do_stable_layer_norm else names[-1]
        layers = _layers_of(options.layers, names, last)
        pooling = options.pooling or "mean"
        self.device = choose_device(options.device)
        dtype = choose_dtype(options.dtype, self.device)
        self.batch_seconds = _batch_seconds(self.device, dtype)
        self.threads = torch.get_num_threads() if self.device == "cpu" else 1
        self.max_clip_s = MAX_CLIP_S
        width = pooled_width(model.config.hidden_size, pooling)
        preparation = options.preparation
        self.spec = EmbeddingSpec(
            model=name,
            revision=revision,
            digest=digest,
            layers=layers,
            width=width,
            pooling=pooling,
            rate_hz=RATE_HZ,
            normalization="zero-mean-unit-variance" if normalize else "none",
            trim_db=preparation.trim_db,
            level_db=preparation.level_db,
            arithmetic=str(dtype).removeprefix("torch."),
        )
        self._normalize = normalize
        self._model = _freeze(model, layers).to(device=self.device, dtype=dtype)
        on_cpu = self.device == "cpu"
        if on_cpu:
            positions = self._model.encoder.pos_conv_embed
            positions.conv = FourierConv(positions.conv)
        if can_pack(self.device, dtype):
            for block in self._model.encoder.layers:
                pack(block)
        self._front_end = FrontEnd(self._model.feature_extractor, TILE_FRAMES if on_cpu else 2**31)
        self._taps = _Taps(self._model.encoder.layers, layers, pooling)

    @torch.inference_mode()
    def encode(self, waveforms: Sequence[np.ndarray]) -> Callable[[], list[np.ndarray]]:
        """Encode a batch; see `Encoder.encode`."""
        frames = [self._front_end(self._to_device(waveform)) for waveform in waveforms]
        counts = [len(clip) for clip in frames]
        projected = self._model.feature_projection(torch.cat(frames))
        if isinstance(projected, tuple):  # Wav2Vec2 and WavLM hand back their inputs too
            projected = projected[0]
        lengths = torch.tensor(counts, device=self.device)
        valid = torch.arange(max(counts), device=self.device) < lengths[:, None]  # (batch, frames)
        hidden = pad_sequence(projected.split(counts), batch_first=True)  # (batch, frames, width), zeros as padding
        self._taps.begin(valid)
        mask = None if min(counts) == max(counts) else valid
        output = self._model.encoder(hidden, attention_mask=mask, return_dict=True).last_hidden_state
        pooled = self._taps.end(output)
        return lambda: _to_numpy(pooled, counts, self.spec.pooling)

    def _to_device(self, waveform: np.ndarray) -> torch.Tensor:
        """Copy a waveform over, normalised as Wav2Vec2FeatureExtractor does: (x - mean) / sqrt(variance + 1e-7)."""
        samples = torch.from_numpy(waveform)
        if self._normalize:
            samples = (samples - samples.mean()) / torch.sqrt(samples.var(correction=0) + 1e-7)
        if self.device == "cpu":
            return samples
        return samples.pin_memory().to(self.device, non_blocking=True)


class _Taps:
    """Pools what passes through the transformer's blocks, so that no layer's frames outlive the next block.

    Every thread has its own batch in there.
    """

    def __init__(self, blocks: torch.nn.ModuleList, layers: tuple[str, ...], pooling: str) -> None:
        self._layers, self._pooling = layers, pooling
        self._batch = threading.local()
        if "0" in layers:
            blocks[0].register_forward_pre_hook(lambda _, inputs: self._take("0", inputs[0]))
        for index, block in enumerate(blocks, start=1):
            if str(index) in layers:
                block.register_forward_hook(self._after(str(index)))

    def _after(self, layer: str) -> Callable[..., None]:
        # WavLM's blocks return (frames, position bias), the others their frames.
        return lambda _block, _in, out: self._take(layer, out[0] if isinstance(out, tuple) else out)

    def _take(self, layer: str, hidden: torch.Tensor) -> None:
        self._batch.pooled[layer] = pool_batch(hidden, self._batch.valid, self._pooling)

    def begin(self, valid: torch.Tensor) -> None:
        """Say which frames of the coming batch are no padding: bool (batch, frames)."""
        self._batch.valid = valid
        self._batch.pooled = {}

    def end(self, output: torch.Tensor) -> torch.Tensor:
        """Return float32 (batch or frames, layers, width), given what left the encoder."""
        if "final" in self._layers:
            self._take("final", output)
        return torch.stack([self._batch.pooled[layer] for layer in self._layers], dim=1)


def _layers_of(wanted: str, names: list[str], last: str) -> tuple[str, ...]:
    if last == "final":
        return choose_layers(wanted, [*names, "final"], last)
    # "final" is the same as the last block here: given if asked for by name, not stored twice by "all".
    available = [*names, "final"] if "final" in wanted else names
    return choose_layers(wanted, available, last)


def _freeze(model: Any, layers: tuple[str, ...]) -> Any:
    """Make a model ready for inference: no gradients, no work that is repeated or thrown away."""
    model = model.eval().requires_grad_(False)
    conv = model.encoder.pos_conv_embed.conv
    if parametrize.is_parametrized(conv):  # else the weight norm is worked out again in every forward pass
        parametrize.remove_parametrizations(conv, "weight")
    if "final" not in layers:  # blocks above the highest layer asked for
        del model.encoder.layers[max(1, int(layers[-1])) :]
    for block in model.encoder.layers:
        fuse(block.attention)
    return model


def choose_device(device: str) -> str:
    """Return the torch device for "auto", "cpu", "cuda", "cuda:N" or "mps".

    Raises:
        InputError: there is no such device here.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, index = device.partition(":")
    counts = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if kind not in counts or (index and not index.isdigit()):
        raise InputError(f"device has to be auto, cpu, cuda, cuda:N or mps, not {device!r}")
    if int(index or 0) >= counts[kind]:
        raise InputError(f"device {device!r} is not on this machine, which has {counts['cuda']} CUDA devices")
    return device


def choose_dtype(dtype: str, device: str) -> torch.dtype:
    """Return the arithmetic for a device.

    "auto" is bfloat16 where matrix units for it make it faster: on CUDA devices that have them and on processors with
    AMX. AVX-512 alone has bfloat16 instructions, but was measured to be no faster with them than in float32.
    """
    if dtype != "auto":
        return getattr(torch, dtype)
    if device.startswith("cuda"):
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.bfloat16 if device == "cpu" and has_amx() else torch.float32


def has_amx() -> bool:
    """Return whether the processor multiplies bfloat16 matrices in hardware (Intel AMX)."""
    capabilities: dict[str, bool] = getattr(
        torch.cpu, "get_capabilities", dict
    )()  # newer than the oldest torch supported
    return capabilities.get("amx_bf16", False)


def _batch_seconds(device: str, dtype: torch.dtype) -> float:
    if not device.startswith("cuda"):
        return AMX_BATCH_S if device == "cpu" and dtype == torch.bfloat16 and has_amx() else CPU_BATCH_S
    free, _ = torch.cuda.mem_get_info(device)
    return max(SMALL_GPU_BATCH_S, min(GPU_BATCH_S, free / 2 / GPU_BYTES_PER_S))


def _to_numpy(pooled: torch.Tensor, counts: list[int], pooling: str) -> list[np.ndarray]:
    values = pooled.cpu().numpy()
    return np.split(values, np.cumsum(counts)[:-1]) if pooling == "frames" else list(values)
