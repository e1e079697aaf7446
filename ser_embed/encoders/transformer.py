"""HuBERT, Wav2Vec2 and WavLM: every layer pooled as it is made, in one forward pass.

Layers are named by this library: "0" is what enters the first transformer block, "k" what leaves block k, "final" the
model's `last_hidden_state`, which differs from the last block only where a LayerNorm follows it.

A clip's vector does not depend on its batch. The front end runs clip by clip (`frontend`). In the transformer frames of
all clips lie end to end, without padding; what looks beyond a frame, which is the positional convolution, attention
and pooling, is given each clip by itself, or on an accelerator clips of like length with their padding masked
(`groups`). Base models are published without an attention mask because their front end cannot take padding; here it
never sees any, so one rule serves all of them.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn.utils import parametrize

from ser_embed.encoders.base import MAX_CLIP_S, EncoderOptions, choose_layers
from ser_embed.encoders.device import batch_seconds, choose_device, choose_dtype
from ser_embed.encoders.kernels.block import Block
from ser_embed.encoders.kernels.conv_frontend import ConvFrontend
from ser_embed.encoders.kernels.positional_conv import PositionalConv
from ser_embed.encoders.kernels.ragged import ALIKE, ALONE, Group, group_clips
from ser_embed.encoders.pooling import pool_batch, pooled_width
from ser_embed.spec import RATE_HZ, EmbeddingSpec


class TransformerEncoder:
    """A frozen speech transformer on one device; see `ser_embed.encoders.base.Encoder`."""

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
        self.batch_seconds = batch_seconds(self.device, dtype)
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
        self._normalize, self._pooling = normalize, pooling
        _freeze(model).to(device=self.device, dtype=dtype)
        on_cpu = self.device == "cpu"
        self._alike = ALONE if on_cpu else ALIKE
        self._front_end = ConvFrontend(model.feature_extractor, None if on_cpu else 2**31)
        self._project = model.feature_projection
        self._positions = PositionalConv(model.encoder.pos_conv_embed, self.device)
        self._stable = bool(model.config.do_stable_layer_norm)
        self._norm = model.encoder.layer_norm  # after the last block of a stable one, before the first of the others
        self._distances = getattr(blocks[0].attention, "compute_bias", None)  # WavLM
        used = blocks if "final" in layers else blocks[: int(layers[-1])]  # none above the highest layer asked for
        self._blocks = [Block(block, norm_first=self._stable) for block in used]

    @torch.inference_mode()
    def encode(self, waveforms: Sequence[np.ndarray]) -> Callable[[], list[np.ndarray]]:
        """Encode a batch; see `Encoder.encode`."""
        frames = [self._front_end(self._to_device(waveform)) for waveform in waveforms]
        counts = [len(clip) for clip in frames]
        groups = group_clips(counts, self._alike, self.device)
        pooled = [
            torch.cat([pool_batch(group.pad(rows[group.rows]), group.valid, self._pooling) for group in groups])
            for layer, rows in self._run(torch.cat(frames), groups)
            if layer in self.spec.layers
        ]
        vectors = torch.stack(pooled, dim=1)  # (clips or frames, layers, width)
        return lambda: _to_numpy(vectors, counts, self._pooling)

    def _run(self, frames: torch.Tensor, groups: Sequence[Group]) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield every layer's name and (rows, width), given the front end's frames, (rows, channels)."""
        rows = self._project(frames)
        if isinstance(rows, tuple):  # Wav2Vec2 and WavLM hand back their inputs too
            rows = rows[0]
        rows = rows + self._positions(rows, groups)
        if not self._stable:
            rows = self._norm(rows)
        longest = max(group.frames for group in groups)
        distances = None if self._distances is None else self._distances(longest, longest)
        yield "0", rows
        for number, block in enumerate(self._blocks, start=1):
            rows = block(rows, groups, distances)
            yield str(number), rows
        if "final" in self.spec.layers:
            yield "final", self._norm(rows) if self._stable else rows

    def _to_device(self, waveform: np.ndarray) -> torch.Tensor:
        """Copy a waveform over, normalised as Wav2Vec2FeatureExtractor does: (x - mean) / sqrt(variance + 1e-7)."""
        samples = torch.from_numpy(waveform)
        if self._normalize:
            samples = (samples - samples.mean()) / torch.sqrt(samples.var(correction=0) + 1e-7)
        if self.device == "cpu":
            return samples
        return samples.pin_memory().to(self.device, non_blocking=True)


def _layers_of(wanted: str, names: list[str], last: str) -> tuple[str, ...]:
    if last == "final":
        return choose_layers(wanted, [*names, "final"], last)
    # "final" is the same as the last block here: given if asked for by name, not stored twice by "all".
    available = [*names, "final"] if "final" in wanted else names
    return choose_layers(wanted, available, last)


def _freeze(model: Any) -> Any:
    """Make a model ready for inference: no gradients, and no weight norm that is worked out again in every pass."""
    model = model.eval().requires_grad_(False)
    conv = model.encoder.pos_conv_embed.conv
    if parametrize.is_parametrized(conv):
        parametrize.remove_parametrizations(conv, "weight")
    return model


def _to_numpy(pooled: torch.Tensor, counts: list[int], pooling: str) -> list[np.ndarray]:
    values = pooled.cpu().numpy()
    return np.split(values, np.cumsum(counts)[:-1]) if pooling == "frames" else list(values)
