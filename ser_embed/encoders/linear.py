"""Linear layers whose weights lie in memory the way the processor's matrix products read them.

A plain linear layer has its weights put into blocks anew at every call, by oneDNN or MKL. Here that is done once, and a
GELU that follows is worked out on the product's blocks while they are in the cache.
"""

from typing import Any

import torch
import torch.nn.functional as F

_oneDNN = torch.ops.mkldnn


def can_pack(device: str, dtype: torch.dtype) -> bool:
    """Return whether this torch and this processor multiply packed weights of a type."""
    if device != "cpu" or not torch.backends.mkldnn.is_available() or not hasattr(_oneDNN, "_linear_pointwise"):
        return False
    return dtype == torch.float32 or (dtype == torch.bfloat16 and _oneDNN._is_mkldnn_bf16_supported())


def pack(block: Any) -> None:
    """Replace the linear layers of a transformer block, for inference; its numbers stay the same but for rounding.

    Args:
        block: a block of HuBERT, Wav2Vec2 or WavLM, its attention fused.
    """
    forward, attention = block.feed_forward, block.attention
    attention.joined = PackedLinear(attention.joined)
    attention.out_proj = PackedLinear(attention.out_proj)
    forward.output_dense = PackedLinear(forward.output_dense)
    fused = getattr(forward.intermediate_act_fn, "act", None) is F.gelu
    forward.intermediate_dense = PackedLinear(forward.intermediate_dense, gelu=fused)
    if fused:
        forward.intermediate_act_fn = torch.nn.Identity()


class PackedLinear(torch.nn.Module):
    """x W' + b, and GELU of it if asked for."""

    def __init__(self, linear: torch.nn.Linear, gelu: bool = False) -> None:
        """Take over the weights of a linear layer."""
        super().__init__()
        self._weight = _oneDNN._reorder_linear_weight(linear.weight.detach(), None)
        self._bias = linear.bias.detach()
        self._after = "gelu" if gelu else "none"

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Return (..., out) for (..., in)."""
        return _oneDNN._linear_pointwise(rows, self._weight, self._bias, self._after, [], "none")
