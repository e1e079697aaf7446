"""Transformer blocks in training: those of transformers, computed upwards from the frames of any layer.

transformers computes a whole model, from the waveform on. Here the forward pass begins at the layer whose frames are
cached, with one function for HuBERT, Wav2Vec2 and WavLM, whose blocks differ in where they normalise and in WavLM's
relative position bias. Weights and dropout are those of the modules; attention is one fused kernel, which transformers
does not use for WavLM. See `ser_embed.encoders.kernels` for the same blocks without gradients.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F

from ser_embed.encoders.kernels.attention import PositionGate


def run_blocks(base: Any, frames: torch.Tensor, valid: torch.Tensor | None, first: int) -> torch.Tensor:
    """Compute the output of an encoder from the input of one of its blocks.

    Args:
        base: a HubertModel, Wav2Vec2Model or WavLMModel.
        frames: what enters the block, (clips, frames, width).
        valid: bool (clips, frames), False where a frame is padding; None if there is none.
        first: index of the block; the number of blocks if there is none above.

    Returns:
        (clips, frames, width), as `last_hidden_state`; padded frames hold anything.
    """
    blocks, norm_first = base.encoder.layers, bool(base.config.do_stable_layer_norm)
    if first == len(blocks):
        return frames
    bias = _position_bias(blocks, frames.shape[1])
    for block in blocks[first:]:
        frames = _block(block, frames, valid, bias, norm_first)
    return base.encoder.layer_norm(frames) if norm_first else frames


def project_convolutions(base: Any, frames: torch.Tensor, valid: torch.Tensor | None) -> torch.Tensor:
    """Compute what enters the first block from the output of the convolutions.

    Args:
        base: a HubertModel, Wav2Vec2Model or WavLMModel.
        frames: of the convolutions, (clips, frames, channels).
        valid: bool (clips, frames), False where a frame is padding; None if there is none.

    Returns:
        (clips, frames, width).
    """
    projected = base.feature_projection(frames)
    if isinstance(projected, tuple):  # Wav2Vec2 and WavLM return their normalised inputs as well
        projected = projected[0]
    if valid is not None:  # the positional convolution sees zeros beyond a clip's end, as beyond any other
        projected = projected * valid.unsqueeze(-1)
    rows = projected + base.encoder.pos_conv_embed(projected)
    return base.encoder.dropout(rows if base.config.do_stable_layer_norm else base.encoder.layer_norm(rows))


def _position_bias(blocks: Sequence[Any], num_frames: int) -> torch.Tensor | None:
    """Return WavLM's relative position bias, (heads, frames, frames), which its first block holds; else None."""
    compute_bias = getattr(blocks[0].attention, "compute_bias", None)
    return None if compute_bias is None else compute_bias(num_frames, num_frames)


def _block(
    block: Any, frames: torch.Tensor, valid: torch.Tensor | None, bias: torch.Tensor | None, norm_first: bool
) -> torch.Tensor:
    """Compute one block; see `run_blocks`."""
    if norm_first:
        frames = frames + block.dropout(_attention(block.attention, block.layer_norm(frames), valid, bias))
        frames = frames + block.feed_forward(block.final_layer_norm(frames))
        adapter = getattr(block, "adapter_layer", None)  # only in some multilingual models
        return frames if adapter is None else frames + adapter(frames)
    frames = block.layer_norm(frames + block.dropout(_attention(block.attention, frames, valid, bias)))
    return block.final_layer_norm(frames + block.feed_forward(frames))


def _attention(
    attention: Any, frames: torch.Tensor, valid: torch.Tensor | None, bias: torch.Tensor | None
) -> torch.Tensor:
    """Compute the self-attention within each clip, (clips, frames, width)."""
    projections = (attention.q_proj, attention.k_proj, attention.v_proj)
    query, key, value = (
        projection(frames).unflatten(2, (attention.num_heads, -1)).transpose(1, 2) for projection in projections
    )  # (clips, heads, frames, head width)
    mask = None if valid is None else valid[:, None, None]
    if bias is not None:
        gates = PositionGate(attention)(frames).transpose(1, 2).unsqueeze(-1)  # (clips, heads, frames, 1)
        gated = gates * bias
        mask = (gated if mask is None else gated.masked_fill(~mask, float("-inf"))).to(query.dtype)
    dropout = attention.dropout if attention.training else 0.0
    attended = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)
    return attention.out_proj(attended.transpose(1, 2).flatten(2))
