"""What several processes add up between them; one process alone adds nothing."""

from collections.abc import Sequence

import torch
from torch import distributed


def add_up(tensors: Sequence[torch.Tensor]) -> None:
    """Replace each tensor by its sum over all processes; all go in one message, since most of them are small."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    carried = flat.cuda() if distributed.get_backend() == "nccl" else flat.cpu()
    distributed.all_reduce(carried)
    for tensor, total in zip(tensors, carried.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(total.view_as(tensor))
