"""What several processes add up between them; one process alone adds nothing."""

from collections.abc import Sequence

import torch
from torch import distributed


def add_up(tensors: Sequence[torch.Tensor]) -> None:
    """Replace each tensor by its sum over all processes."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return
    on_device = distributed.get_backend() == "nccl"
    for tensor in tensors:
        carried = tensor.cuda() if on_device else tensor.cpu()
        distributed.all_reduce(carried)
        if carried is not tensor:
            tensor.copy_(carried)
