"""Linear layers with packed weights: weights stored in the layout that the processor's matrix products read.

For an ordinary linear layer oneDNN or MKL packs the weights into blocks at every call. Here they are packed once, and a
GELU that follows is computed on the blocks of the product while they are in the cache.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F

Linear = Callable[[torch.Tensor], torch.Tensor]
"""Maps (rows, in) to (rows, out). Rows may overlap in memory, as the windows of a longer row do."""

_oneDNN = torch.ops.mkldnn


def can_pack(device: str, dtype: torch.dtype) -> bool:
    """Return whether this torch and this processor support packed weights of a floating-point type."""
    if device != "cpu" or not torch.backends.mkldnn.is_available() or not hasattr(_oneDNN, "_linear_pointwise"):
        return False
    return dtype == torch.float32 or (dtype == torch.bfloat16 and _oneDNN._is_mkldnn_bf16_supported())


def make_linear(weight: torch.Tensor, bias: torch.Tensor | None, gelu: bool = False) -> Linear:
    """Return a function that computes x W' + b, and optionally its GELU, in the fastest way for the weights.

    The fastest way depends on the device and the type of the weights.

    Args:
        weight: (out, in), for inference only.
        bias: (out,) or None.
        gelu: whether a GELU follows.
    """
    weight = weight.detach()
    bias = None if bias is None else bias.detach()
    if can_pack(str(weight.device), weight.dtype):
        packed = _oneDNN._reorder_linear_weight(weight, None)
        activation = "gelu" if gelu else "none"
        return lambda rows: _oneDNN._linear_pointwise(rows, packed, bias, activation, [], "none")
    if gelu:
        return lambda rows: F.gelu(F.linear(rows, weight, bias))
    return lambda rows: F.linear(rows, weight, bias)
