"""A transformer block of HuBERT, Wav2Vec2 or WavLM over the frames of several clips, end to end."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F

from ser_embed.encoders.kernels.attention import Attention
from ser_embed.encoders.kernels.packed_linear import make_linear
from ser_embed.encoders.kernels.ragged import Group


class Block:
    """Attention and feed-forward, each added to what came in.

    Models with stable layer norm (the large ones) normalise what goes into either; the others what comes out.
    """

    def __init__(self, block: Any, norm_first: bool) -> None:
        """Take over the weights of a block of a transformers encoder, for inference.

        Args:
            block: the module.
            norm_first: whether its model has stable layer norm.
        """
        forward = block.feed_forward
        fused = getattr(forward.intermediate_act_fn, "act", None) is F.gelu
        self._norm_first = norm_first
        self._attention = Attention(block.attention)
        self._attention_norm, self._forward_norm = block.layer_norm, block.final_layer_norm
        self._inner = make_linear(forward.intermediate_dense.weight, forward.intermediate_dense.bias, gelu=fused)
        self._activation: Callable[[torch.Tensor], torch.Tensor] | None = None if fused else forward.intermediate_act_fn
        self._outer = make_linear(forward.output_dense.weight, forward.output_dense.bias)
        self._adapter = getattr(block, "adapter_layer", None)  # of some multilingual models

    def __call__(self, rows: torch.Tensor, groups: Sequence[Group], distances: torch.Tensor | None) -> torch.Tensor:
        """Compute (rows, width) from (rows, width); see `Attention` for the rest."""
        if not self._norm_first:
            rows = self._attention_norm(rows + self._attention(rows, groups, distances))
            return self._forward_norm(rows + self._feed_forward(rows))
        rows = rows + self._attention(self._attention_norm(rows), groups, distances)
        rows = rows + self._feed_forward(self._forward_norm(rows))
        return rows if self._adapter is None else rows + self._adapter(rows)

    def _feed_forward(self, rows: torch.Tensor) -> torch.Tensor:
        inner = self._inner(rows)
        return self._outer(inner if self._activation is None else self._activation(inner))
