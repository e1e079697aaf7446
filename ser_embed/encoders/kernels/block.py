"""Transformer block of HuBERT, Wav2Vec2 or WavLM, computed on the packed frames of several clips."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F

from ser_embed.encoders.kernels.attention import Attention
from ser_embed.encoders.kernels.packed_linear import make_linear
from ser_embed.encoders.kernels.ragged import Group


class Block:
    """Transformer block: attention and feed-forward, each with a residual connection.

    Models with stable layer norm (the large ones) normalise the input of each part; the others normalise the sum after
    it.
    """

    def __init__(self, block: Any, norm_first: bool) -> None:
        """Convert the weights of a block of a transformers encoder, for inference.

        Args:
            block: the module.
            norm_first: whether its model has stable layer norm.
        """
        feed_forward = block.feed_forward
        activation = feed_forward.intermediate_act_fn
        inner, outer = feed_forward.intermediate_dense, feed_forward.output_dense
        is_gelu = getattr(activation, "act", None) is F.gelu  # which `make_linear` fuses with the product
        self._norm_first = norm_first
        self._attention = Attention(block.attention)
        self._attention_norm, self._feed_forward_norm = block.layer_norm, block.final_layer_norm
        self._inner = make_linear(inner.weight, inner.bias, gelu=is_gelu)
        self._activation: Callable[[torch.Tensor], torch.Tensor] | None = None if is_gelu else activation
        self._outer = make_linear(outer.weight, outer.bias)
        self._adapter = getattr(block, "adapter_layer", None)  # only in some multilingual models

    def __call__(self, rows: torch.Tensor, groups: Sequence[Group], position_bias: torch.Tensor | None) -> torch.Tensor:
        """Compute the output of the block, (rows, width).

        Args:
            rows: packed frames of a batch, (rows, width).
            groups: the clips that the rows belong to.
            position_bias: WavLM's relative position bias; see `Attention`.
        """
        if not self._norm_first:
            rows = self._attention_norm(rows + self._attention(rows, groups, position_bias))
            return self._feed_forward_norm(rows + self._feed_forward(rows))
        rows = rows + self._attention(self._attention_norm(rows), groups, position_bias)
        rows = rows + self._feed_forward(self._feed_forward_norm(rows))
        return rows if self._adapter is None else rows + self._adapter(rows)

    def _feed_forward(self, rows: torch.Tensor) -> torch.Tensor:
        inner = self._inner(rows)
        return self._outer(inner if self._activation is None else self._activation(inner))
