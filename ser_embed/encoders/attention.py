"""The blocks' attention with queries, keys and values from one matrix product, and in one fused kernel.

transformers multiplies three times by a matrix a third as wide, and for WavLM asks for the attention weights as well,
which rules out the fused kernel.
"""

from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F


def fuse(attention: Any) -> None:
    """Replace how an attention module of HuBERT, Wav2Vec2 or WavLM computes; its numbers stay the same.

    Args:
        attention: the module, with `q_proj`, `k_proj`, `v_proj` and `out_proj`, for inference only.
    """
    parts = [attention.q_proj, attention.k_proj, attention.v_proj]
    joined = torch.nn.Linear(parts[0].in_features, sum(part.out_features for part in parts), device="meta")
    joined.weight = torch.nn.Parameter(torch.cat([part.weight for part in parts]), requires_grad=False)
    joined.bias = torch.nn.Parameter(torch.cat([part.bias for part in parts]), requires_grad=False)
    del attention.q_proj, attention.k_proj, attention.v_proj
    attention.joined = joined
    if hasattr(attention, "gru_rel_pos_linear"):  # WavLM
        attention.torch_multi_head_self_attention = MethodType(_attend_with_positions, attention)
    else:
        attention.forward = MethodType(_forward, attention)


def _forward(
    attention: Any, hidden_states: torch.Tensor, attention_mask: torch.Tensor | None = None, **_: Any
) -> tuple[torch.Tensor, None]:
    """Stand in for the module's forward; arguments are named as transformers calls it.

    Args:
        attention: the module.
        hidden_states: (batch, frames, width).
        attention_mask: bool (batch, 1, frames, frames), True where a query may look at a key; None for everywhere.

    Returns:
        (batch, frames, width), and None in place of the attention weights.
    """
    return _attend(attention, hidden_states, attention_mask), None


def _attend_with_positions(
    attention: Any, hidden: torch.Tensor, valid: torch.Tensor | None, bias: torch.Tensor
) -> tuple[torch.Tensor, None]:
    """Attend with WavLM's gated relative position bias.

    Args:
        attention: the module.
        hidden: (batch, frames, width).
        valid: bool (batch, frames), or None if nothing is padding.
        bias: (batch * heads, frames, frames), added to the attention's logits.

    Returns:
        (batch, frames, width), and None in place of the attention weights.
    """
    batch, frames, _ = hidden.shape
    bias = bias.view(batch, attention.num_heads, frames, frames)
    if valid is not None:
        bias = bias.masked_fill(~valid[:, None, None, :], float("-inf"))
    return _attend(attention, hidden, bias.to(hidden.dtype)), None


def _attend(attention: Any, hidden: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    batch, frames, _ = hidden.shape
    split = attention.joined(hidden).view(batch, frames, 3, attention.num_heads, attention.head_dim)
    query, key, value = split.permute(2, 0, 3, 1, 4)  # each (batch, heads, frames, head width)
    mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    return attention.out_proj(mixed.transpose(1, 2).reshape(hidden.shape))
