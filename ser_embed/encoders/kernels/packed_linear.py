"""Linear layers whose weights lie in memory the way the processor's matrix products read them.

A plain linear layer has its weights put into blocks anew at every call, by oneDNN or MKL. Here that is done once, and a
GELU that follows is worked out on the product's blocks while they are in the cache.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F

Linear = Callable[[torch.Tensor], torch.Tensor]
"""(rows, in) to (rows, out). Rows may overlap in memory, as windows of a longer row do."""

_oneDNN = torch.ops.mkldnn


def can_pack(device: str, dtype: torch.dtype) -> bool:
    """Return whether this torch and this processor multiply packed weights of a type."""
    if device != "cpu" or not torch.backends.mkldnn.is_available() or not hasattr(_oneDNN, "_linear_pointwise"):
        return False
    return dtype == torch.float32 or (dtype == torch.bfloat16 and _oneDNN._is_mkldnn_bf16_supported())


def make_linear(weight: torch.Tensor, bias: torch.Tensor | None, gelu: bool = False) -> Linear:
    """Return x W' + b, and GELU of it if asked for, as the weights' device and type compute it fastest.

    Args:
        weight: (out, in), for inference only.
        bias: (out,) or None.
        gelu: whether GELU follows.
    """
    weight = weight.detach()
    bias = None if bias is None else bias.detach()
    if can_pack(str(weight.device), weight.dtype):
        packed = _oneDNN._reorder_linear_weight(weight, None)
        after = "gelu" if gelu else "none"
        return lambda rows: _oneDNN._linear_pointwise(rows, packed, bias, after, [], "none")
    if gelu:
        return lambda rows: F.gelu(F.linear(rows, weight, bias))
    return lambda rows: F.linear(rows, weight, bias)
