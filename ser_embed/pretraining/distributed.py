"""Training on several devices: one process per device, each with its share of every batch, gradients summed.

A batch is the same for any number of processes. The number of devices therefore changes the results only by rounding,
and by which crop is computed with which dropout.
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
    """Device and arithmetic of one process.

    Attributes:
        device: a torch device.
        dtype: bfloat16 for matrix products in bfloat16, by autocast; float32 for no autocast.
        part_seconds: seconds of audio that go through the network at once.
        workers: threads that prepare batches.
        rank: number of this process, from 0.
        world_size: number of processes.
    """

    device: str
    dtype: torch.dtype
    part_seconds: float
    workers: int
    rank: int = 0
    world_size: int = 1

    def autocast(self) -> torch.autocast:
        """Return the context of a forward pass."""
        return torch.autocast(self.device.partition(":")[0], torch.bfloat16, enabled=self.dtype == torch.bfloat16)

    def rank_parts(self, batch: Batch) -> list[Batch]:
        """Return this process's share of a batch, in parts of at most `part_seconds`."""
        return list(self.all_parts(batch.share(self.rank, self.world_size)))

    def all_parts(self, batch: Batch) -> Iterator[Batch]:
        """Yield a whole batch in parts of at most `part_seconds`, but of at least one crop."""
        return batch.parts(max(1, int(self.part_seconds * RATE_HZ / batch.waveforms.shape[1])))


Result = TypeVar("Result")
Work = Callable[[PretrainConfig, DeviceConfig], Result]


def run_on_devices(work: Work[Result], config: PretrainConfig, device_configs: Sequence[DeviceConfig]) -> Result:
    """Do `work` on every device at once, in one process each.

    Args:
        work: a function that can be pickled.
        config: what `work` is called with.
        device_configs: one per process, in order of rank; the first is this process's.

    Returns:
        The result of `work` in this process.

    Raises:
        SerError: the process of another device failed.
    """
    if len(device_configs) == 1:
        return work(config, device_configs[0])
    context = multiprocessing.get_context("spawn")  # CUDA cannot be used in a forked process
    with tempfile.TemporaryDirectory() as folder:
        rendezvous = (Path(folder) / "meeting").as_uri()
        processes = [
            context.Process(target=_work_in_group, args=(work, config, device_config, rendezvous), daemon=True)
            for device_config in device_configs[1:]
        ]
        for process in processes:
            process.start()
        result = _work_in_group(work, config, device_configs[0], rendezvous)
        for device_config, process in zip(device_configs[1:], processes, strict=True):
            process.join()
            if process.exitcode:
                raise SerError(f"the process on {device_config.device} failed with exit code {process.exitcode}")
    return result


def sum_over_processes(tensors: Sequence[torch.Tensor]) -> None:
    """Replace each tensor by its sum over all processes; all are sent as one, since most of them are small."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    message = flat.cuda() if distributed.get_backend() == "nccl" else flat.cpu()
    distributed.all_reduce(message)
    for tensor, total in zip(tensors, message.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(total.view_as(tensor))


def _work_in_group(work: Work[Result], config: PretrainConfig, device_config: DeviceConfig, rendezvous: str) -> Result:
    """Join the process group at the `rendezvous` URL, and do `work` in it."""
    on_cuda = device_config.device.startswith("cuda")
    if on_cuda:
        torch.cuda.set_device(device_config.device)
    distributed.init_process_group(
        "nccl" if on_cuda else "gloo",
        init_method=rendezvous,
        rank=device_config.rank,
        world_size=device_config.world_size,
    )
    try:
        return work(config, device_config)
    finally:
        distributed.destroy_process_group()
