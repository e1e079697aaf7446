"""Several devices: one process each, on its share of every batch, their gradients added up.

A batch is the same however many processes share it, so that the number of devices changes no result but by rounding
and by which crop meets which dropout.
"""

import multiprocessing
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import distributed

from ser_embed.errors import SerError
from ser_embed.pretraining.config import PretrainSettings
from ser_embed.pretraining.trainer import Machine

Result = TypeVar("Result")
Work = Callable[[PretrainSettings, Machine], Result]


def on_all(work: Work[Result], settings: PretrainSettings, machines: Sequence[Machine]) -> Result:
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


def _join(work: Work[Result], settings: PretrainSettings, machine: Machine, place: str) -> Result:
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
