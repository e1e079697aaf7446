"""Transformer encoders: HuBERT, Wav2Vec2 and WavLM, every layer pooled as it is computed, in one forward pass.

Layer names are defined by this library: "0" is the input of the first transformer block, "k" the output of block k, and
"final" the model's `last_hidden_state`, which differs from the last block only where a LayerNorm follows it. "conv",
the output of the convolutions, has a width of its own, and is stored alone or not at all.

The vector of a clip does not depend on the other clips of its batch. The convolutional front end runs clip by clip
(`kernels.conv_frontend`). In the transformer the frames of all clips are packed end to end, without padding. The
operations that use more than one frame are the positional convolution, attention and pooling; they get each clip
separately, or, on an accelerator, clips of like length with their padding masked (`kernels.ragged`). Base models are
published without an attention mask, because their front end cannot handle padding; here it never gets any, so that one
rule holds for all models.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn.utils import parametrize

from ser_embed.encoders.base import CONV, MAX_CLIP_S, EncoderOptions, choose_layers
from ser_embed.encoders.device import choose_batch_seconds, choose_device, choose_dtype
from ser_embed.encoders.kernels.block import Block
from ser_embed.encoders.kernels.conv_frontend import ConvFrontend
from ser_embed.encoders.kernels.positional_conv import PositionalConv
from ser_embed.encoders.kernels.ragged import EQUAL_LENGTH, SIMILAR_LENGTH, Group, group_clips
from ser_embed.encoders.pooling import pool_batch, pooled_width
from ser_embed.spec import RATE_HZ, EmbeddingSpec


class TransformerEncoder:
    """Frozen speech transformer on one device; see `ser_embed.encoders.base.Encoder`."""

    notes: tuple[str, ...] = ()

    def __init__(self, model: Any, name: str, revision: str, digest: str, normalize: bool, options: EncoderOptions):
        """Prepare a loaded transformers model for encoding; its weights are converted in place.

        Args:
            model: a HubertModel, Wav2Vec2Model or WavLMModel, in float32.
            name: its name in the spec.
            revision: the Hub commit, or "".
            digest: hash of its weights.
            normalize: whether the model expects waveforms of zero mean and unit variance.
            options: layers, pooling, preprocessing, device and dtype.
        """
        layers = _choose_layers(model, options.layers)
        self.device = choose_device(options.device)
        dtype = choose_dtype(options.dtype, self.device)
        self.batch_seconds = choose_batch_seconds(self.device, dtype)
        self.threads = torch.get_num_threads() if self.device == "cpu" else 1
        self.max_clip_s = MAX_CLIP_S
        self._normalize, self._pooling = normalize, options.pooling or "mean"
        self.spec = EmbeddingSpec(
            model=name,
            revision=revision,
            digest=digest,
            layers=layers,
            width=pooled_width(_width(model, layers), self._pooling),
            pooling=self._pooling,
            rate_hz=RATE_HZ,
            normalization="zero-mean-unit-variance" if normalize else "none",
            trim_db=options.preprocessing.trim_db,
            level_db=options.preprocessing.level_db,
            arithmetic=str(dtype).removeprefix("torch."),
        )
        self._build_kernels(_freeze(model).to(device=self.device, dtype=dtype))

    def _build_kernels(self, model: Any) -> None:
        """Build the kernels of the forward pass from the modules of a frozen model."""
        on_cpu = self.device == "cpu"
        self._min_length_ratio = EQUAL_LENGTH if on_cpu else SIMILAR_LENGTH
        self._front_end = ConvFrontend(model.feature_extractor, None if on_cpu else 2**31)
        self._project = model.feature_projection
        self._positions = PositionalConv(model.encoder.pos_conv_embed, self.device)
        self._stable = bool(model.config.do_stable_layer_norm)
        # With stable layer norm it follows the last block; otherwise it precedes the first block.
        self._norm = model.encoder.layer_norm
        blocks, layers = model.encoder.layers, self.spec.layers
        self._position_bias = getattr(blocks[0].attention, "compute_bias", None)  # only in WavLM
        # None above the highest layer in the spec.
        needed = blocks if "final" in layers else blocks[: 0 if layers == (CONV,) else int(layers[-1])]
        self._blocks = [Block(block, norm_first=self._stable) for block in needed]

    @torch.inference_mode()
    def encode(self, waveforms: Sequence[np.ndarray]) -> Callable[[], list[np.ndarray]]:
        """Encode a batch; see `Encoder.encode`."""
        frames = [self._front_end(self._to_device(waveform)) for waveform in waveforms]
        counts = [len(clip) for clip in frames]
        groups = group_clips(counts, self._min_length_ratio, self.device)
        pooled = [
            torch.cat([pool_batch(group.pad(rows[group.rows]), group.valid, self._pooling) for group in groups])
            for layer, rows in self._run(torch.cat(frames), groups)
            if layer in self.spec.layers
        ]
        vectors = torch.stack(pooled, dim=1)  # (clips or frames, layers, width)
        return lambda: _to_numpy(vectors, counts, self._pooling)

    def _run(self, frames: torch.Tensor, groups: Sequence[Group]) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield the name and the output, (rows, width), of every layer for the frames of the front end.

        Args:
            frames: packed frames of all clips, (rows, channels).
            groups: the clips that the rows belong to.
        """
        if self.spec.layers == (CONV,):
            yield CONV, frames
            return
        rows = self._project(frames)
        if isinstance(rows, tuple):  # Wav2Vec2 and WavLM return their normalised inputs as well
            rows = rows[0]
        rows = rows + self._positions(rows, groups)
        if not self._stable:
            rows = self._norm(rows)
        longest = max(group.frames for group in groups)
        position_bias = None if self._position_bias is None else self._position_bias(longest, longest)
        yield "0", rows
        for number, block in enumerate(self._blocks, start=1):
            rows = block(rows, groups, position_bias)
            yield str(number), rows
        if "final" in self.spec.layers:
            yield "final", self._norm(rows) if self._stable else rows

    def _to_device(self, waveform: np.ndarray) -> torch.Tensor:
        """Copy a waveform to the device, normalised if the model expects it.

        Wav2Vec2FeatureExtractor normalises to (x - mean) / sqrt(variance + 1e-7).
        """
        samples = torch.from_numpy(waveform)
        if self._normalize:
            samples = (samples - samples.mean()) / torch.sqrt(samples.var(correction=0) + 1e-7)
        if self.device == "cpu":
            return samples
        return samples.pin_memory().to(self.device, non_blocking=True)


def _choose_layers(model: Any, requested: str) -> tuple[str, ...]:
    """Resolve the `layers` option for a transformers model."""
    if CONV in requested.split(","):
        return choose_layers(requested, [CONV], CONV)
    names = [str(index) for index in range(len(model.encoder.layers) + 1)]
    if model.config.do_stable_layer_norm:  # a LayerNorm follows the last block
        return choose_layers(requested, [*names, "final"], "final")
    # Otherwise "final" equals the last block: it can be requested by name, but "all" does not store that layer twice.
    available = [*names, "final"] if "final" in requested else names
    return choose_layers(requested, available, names[-1])


def _width(model: Any, layers: tuple[str, ...]) -> int:
    return model.config.conv_dim[-1] if layers == (CONV,) else model.config.hidden_size


def _freeze(model: Any) -> Any:
    """Prepare a model for inference: no gradients, and no weight norm that is computed again in every pass."""
    model = model.eval().requires_grad_(False)
    conv = model.encoder.pos_conv_embed.conv
    if parametrize.is_parametrized(conv):
        parametrize.remove_parametrizations(conv, "weight")
    return model


def _to_numpy(pooled: torch.Tensor, counts: list[int], pooling: str) -> list[np.ndarray]:
    """Copy pooled vectors to NumPy, clip by clip; `counts` are the frames of each clip."""
    values = pooled.cpu().numpy()
    return np.split(values, np.cumsum(counts)[:-1]) if pooling == "frames" else list(values)
