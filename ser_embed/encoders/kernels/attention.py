"""The blocks' attention with queries, keys and values from one matrix product, and in one fused kernel.

transformers multiplies three times by a matrix a third as wide, and for WavLM asks for the attention weights as well,
which rules out the fused kernel.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F

from ser_embed.encoders.kernels.packed_linear import make_linear
from ser_embed.encoders.kernels.ragged import Group

# In bfloat16 on a processor, keys and values are rounded up to a multiple of so many frames, by copies ending in zeros,
# masked. With AMX attention then takes 0.80 to 0.88 of the time in a HuBERT-large, over 24 clips of EmoDB. In float32
# it gains nothing.
TILE = 16


class Attention:
    """Self-attention of every frame to the frames of its own clip."""

    def __init__(self, attention: Any) -> None:
        """Take over the weights of an attention module of HuBERT, Wav2Vec2 or WavLM, for inference."""
        parts = [attention.q_proj, attention.k_proj, attention.v_proj]
        self._joined = make_linear(torch.cat([part.weight for part in parts]), torch.cat([part.bias for part in parts]))
        self._out = make_linear(attention.out_proj.weight, attention.out_proj.bias)
        self._heads = attention.num_heads
        self._gate = _Gate(attention) if hasattr(attention, "gru_rel_pos_linear") else None  # WavLM
        weight = attention.out_proj.weight
        self._tile = TILE if weight.device.type == "cpu" and weight.dtype == torch.bfloat16 else 1

    def __call__(self, rows: torch.Tensor, groups: Sequence[Group], distances: torch.Tensor | None) -> torch.Tensor:
        """Attend.

        Args:
            rows: (rows, width), the frames of a batch.
            groups: which of them are one clip's.
            distances: WavLM's bias by distance, (heads, frames, frames) for the longest clip; None for the others.

        Returns:
            (rows, width).
        """
        joined = self._joined(rows).unflatten(1, (3, self._heads, -1))  # (rows, 3, heads, head width)
        gates = None if self._gate is None else self._gate(rows)
        mixed = [self._attend(joined[group.rows], group, gates, distances) for group in groups]
        return self._out(torch.cat(mixed))

    def _attend(
        self, joined: torch.Tensor, group: Group, gates: torch.Tensor | None, distances: torch.Tensor | None
    ) -> torch.Tensor:
        pad = group.pad(joined)  # (clips, frames, 3, heads, head width)
        query, pairs = pad[:, :, 0], pad[:, :, 1:]
        mask = None if group.valid is None else group.valid[:, None, None]  # which keys a query may look at
        if gates is not None and distances is not None:
            gate = group.pad(gates[group.rows]).transpose(1, 2).unsqueeze(-1)  # (clips, heads, frames, 1)
            bias = gate * distances[:, : group.frames, : group.frames]
            mask = (bias if mask is None else bias.masked_fill(~mask, float("-inf"))).to(joined.dtype)
        missing = -group.frames % self._tile
        if missing:
            pairs, mask = _round_up(pairs, mask, missing)
        key, value = pairs.permute(2, 0, 3, 1, 4)  # each (clips, heads, frames, head width)
        mixed = F.scaled_dot_product_attention(query.transpose(1, 2), key, value, attn_mask=mask)
        return group.unpad(mixed.transpose(1, 2)).flatten(1)


def _round_up(pairs: torch.Tensor, mask: torch.Tensor | None, missing: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Give every clip so many frames more that no query looks at.

    Args:
        pairs: keys and values, (clips, frames, 2, heads, head width).
        mask: what `scaled_dot_product_attention` takes, over frames along its last axis; None where all are seen.
        missing: frames.

    Returns:
        Keys and values, and the mask.
    """
    if mask is None:
        mask = pairs.new_zeros(1, 1, 1, pairs.shape[1])
    unseen = False if mask.dtype == torch.bool else float("-inf")
    return F.pad(pairs, (0, 0, 0, 0, 0, 0, 0, missing)), F.pad(mask, (0, missing), value=unseen)


class _Gate:
    """How much of the bias by distance a frame lets in: the gates of WavLM (Chen et al., 2022)."""

    def __init__(self, attention: Any) -> None:
        self._linear = attention.gru_rel_pos_linear
        self._constant = attention.gru_rel_pos_const.flatten()  # (heads,)

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        """Return (rows, heads) for (rows, width)."""
        projected = self._linear(rows.unflatten(1, (len(self._constant), -1)))  # (rows, heads, 8)
        update, reset = torch.sigmoid(projected.unflatten(2, (2, 4)).sum(-1)).unbind(-1)
        return update * (reset * self._constant - 1.0) + 2.0
