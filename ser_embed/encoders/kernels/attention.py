"""Self-attention of the transformer blocks: one matrix product for queries, keys and values, and one fused kernel.

transformers computes three products with matrices a third as wide, and for WavLM also asks for the attention weights,
which rules out the fused kernel.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F

from ser_embed.encoders.kernels.packed_linear import make_linear
from ser_embed.encoders.kernels.ragged import Group

# In bfloat16 on a processor, keys and values are padded to a multiple of this many frames, with zeros that are masked.
# With AMX attention then takes 0.80 to 0.88 of the time, measured in a HuBERT-large over 24 clips of EmoDB. In float32
# padding gains nothing.
TILE = 16


class Attention:
    """Self-attention of every frame to the frames of its clip."""

    def __init__(self, attention: Any) -> None:
        """Convert the weights of an attention module of HuBERT, Wav2Vec2 or WavLM, for inference."""
        projections = [attention.q_proj, attention.k_proj, attention.v_proj]
        self._query_key_value = make_linear(
            torch.cat([projection.weight for projection in projections]),
            torch.cat([projection.bias for projection in projections]),
        )
        self._out = make_linear(attention.out_proj.weight, attention.out_proj.bias)
        self._heads = attention.num_heads
        self._gate = PositionGate(attention) if hasattr(attention, "gru_rel_pos_linear") else None  # only in WavLM
        weight = attention.out_proj.weight
        self._tile = TILE if weight.device.type == "cpu" and weight.dtype == torch.bfloat16 else 1

    def __call__(self, rows: torch.Tensor, groups: Sequence[Group], position_bias: torch.Tensor | None) -> torch.Tensor:
        """Compute the attention output.

        Args:
            rows: packed frames of a batch, (rows, width).
            groups: the clips that the rows belong to.
            position_bias: WavLM's relative position bias, (heads, frames, frames) for the longest clip; None for the
                other models.

        Returns:
            (rows, width).
        """
        query_key_value = self._query_key_value(rows).unflatten(1, (3, self._heads, -1))
        gates = None if self._gate is None else self._gate(rows)
        attended = [self._attend(query_key_value[group.rows], group, gates, position_bias) for group in groups]
        return self._out(torch.cat(attended))

    def _attend(
        self,
        query_key_value: torch.Tensor,
        group: Group,
        gates: torch.Tensor | None,
        position_bias: torch.Tensor | None,
    ) -> torch.Tensor:
        """Compute the attention within the clips of one group.

        Args:
            query_key_value: of the group's rows, (rows, 3, heads, head width).
            group: the clips.
            gates: of all rows of the batch, (rows, heads); None without a position bias.
            position_bias: (heads, frames, frames) for the longest clip of the batch, or None.

        Returns:
            (rows, width).
        """
        padded = group.pad(query_key_value)  # (clips, frames, 3, heads, head width)
        query, key_value = padded[:, :, 0], padded[:, :, 1:]
        mask = None if group.valid is None else group.valid[:, None, None]  # True for the keys that a query attends to
        if gates is not None and position_bias is not None:
            gate = group.pad(gates[group.rows]).transpose(1, 2).unsqueeze(-1)  # (clips, heads, frames, 1)
            bias = gate * position_bias[:, : group.frames, : group.frames]
            mask = (bias if mask is None else bias.masked_fill(~mask, float("-inf"))).to(query_key_value.dtype)
        num_padding = -group.frames % self._tile
        if num_padding:
            key_value, mask = _pad_keys(key_value, mask, num_padding)
        key, value = key_value.permute(2, 0, 3, 1, 4)  # each (clips, heads, frames, head width)
        attended = F.scaled_dot_product_attention(query.transpose(1, 2), key, value, attn_mask=mask)
        return group.unpad(attended.transpose(1, 2)).flatten(1)


def _pad_keys(
    key_value: torch.Tensor, mask: torch.Tensor | None, num_padding: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Append frames to the keys and values of every clip, masked so that no query attends to them.

    Args:
        key_value: (clips, frames, 2, heads, head width).
        mask: the mask for `scaled_dot_product_attention`, with the frames of the keys along its last axis; None if
            every query attends to all of them.
        num_padding: the number of frames to append.

    Returns:
        Keys and values, and the mask, both with frames + num_padding frames.
    """
    if mask is None:
        mask = key_value.new_zeros(1, 1, 1, key_value.shape[1])
    masked = False if mask.dtype == torch.bool else float("-inf")
    return F.pad(key_value, (0, 0, 0, 0, 0, 0, 0, num_padding)), F.pad(mask, (0, num_padding), value=masked)


class PositionGate:
    """Gate of WavLM's relative position bias: its weight for each frame and head (Chen et al., 2022)."""

    def __init__(self, attention: Any) -> None:
        """Take the gate of WavLM's attention module."""
        self._linear = attention.gru_rel_pos_linear
        self._constant = attention.gru_rel_pos_const.flatten()  # (heads,)

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the gates, (..., heads), for frames, (..., width)."""
        projected = self._linear(rows.unflatten(-1, (len(self._constant), -1)))  # (..., heads, 8)
        update, reset = torch.sigmoid(projected.unflatten(-1, (2, 4)).sum(-1)).unbind(-1)
        return update * (reset * self._constant - 1.0) + 2.0
