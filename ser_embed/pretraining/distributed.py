"""Several devices: one process each, on its share of every batch, their gradients added up.

A batch is the same however many processes share it, so that the number of devices changes no result but by rounding
and by which crop meets which dropout.
"""

import dataclasses
import multiprocessing
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import distributed

from ser_embed.errors import SerError
from ser_embed.pretraining.batches import Batch
from ser_embed.pretraining.config import PretrainConfig
from ser_embed.spec import RATE_HZ


@dataclasses.dataclass(frozen=True)
class DeviceConfig:
    """Where and in what arithmetic to compute.

    Attributes:
        device: a torch device.
        dtype: bfloat16 for matrix products in it, by autocast; float32 for none.
        part_seconds: audio that goes through the network at once.
        workers: threads that cut batches.
        rank: which of several processes this is.
        world: how many there are.
    """

    device: str
    dtype: torch.dtype
    part_seconds: float
    workers: int
    rank: int = 0
    world: int = 1

    def autocast(self) -> torch.autocast:
        """Return the context of a forward pass."""
        return torch.autocast(self.device.partition(":")[0], torch.bfloat16, enabled=self.dtype == torch.bfloat16)

    def parts(self, batch: Batch) -> list[Batch]:
        """Return this process's share of a batch, in parts."""
        return list(self.cut(batch.share(self.rank, self.world)))

    def cut(self, batch: Batch) -> Iterator[Batch]:
        """Yield a batch in parts, whosever share they are."""
        return batch.parts(max(1, int(self.part_seconds * RATE_HZ / batch.waveforms.shape[1])))


Result = TypeVar("Result")
Work = Callable[[PretrainConfig, DeviceConfig], Result]


def on_all(work: Work[Result], settings: PretrainConfig, machines: Sequence[DeviceConfig]) -> Result:
    """Do `work` on every machine at once; return what it gives on the first, which is this process's.

    Raises:
        SerError: the process of another device failed.
    """
    if len(machines) == 1:
        return work(settings, machines[0])
    context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
    with tempfile.TemporaryDirectory() as meeting:
        place = (Path(meeting) / "meeting").as_uri()
        others = [
            context.Process(target=_join, args=(work, settings, machine, place), daemon=True)
            for machine in machines[1:]
        ]
        for process in others:
            process.start()
        result = _join(work, settings, machines[0], place)
        for machine, process in zip(machines[1:], others, strict=True):
            process.join()
            if process.exitcode:
                raise SerError(f"the process on {machine.device} failed with exit code {process.exitcode}")
    return result


def _join(work: Work[Result], settings: PretrainConfig, machine: DeviceConfig, place: str) -> Result:
    on_cuda = machine.device.startswith("cuda")
    if on_cuda:
        torch.cuda.set_device(machine.device)
    distributed.init_process_group(
        "nccl" if on_cuda else "gloo", init_method=place, rank=machine.rank, world_size=machine.world
    )
    try:
        return work(settings, machine)
    finally:
        distributed.destroy_process_group()


def add_up(tensors: Sequence[torch.Tensor]) -> None:
    """Replace each tensor by its sum over all processes; all go in one message, since most of them are small."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    carried = flat.cuda() if distributed.get_backend() == "nccl" else flat.cpu()
    distributed.all_reduce(carried)
    for tensor, total in zip(tensors, carried.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(total.view_as(tensor))
