"""The training loop: steps, learning rates, validation, checkpoints.

A step's batch goes through the network in parts, whose gradients add up to exactly those of the whole batch, since the
loss is a sum over hidden frames divided by their number in the batch. Small parts stay in a processor's cache.
"""

import dataclasses
import time

import numpy as np
import torch
from tqdm import tqdm

from ser_embed.cli import quiet
from ser_embed.pretraining.batches import Batch, Batches
from ser_embed.pretraining.checkpoint import load_checkpoint, save_checkpoint
from ser_embed.pretraining.distributed import DeviceConfig, add_up
from ser_embed.pretraining.model import MaskedPrediction
from ser_embed.pretraining.training_log import Log, Validation

BETAS = (0.9, 0.98)
EPSILON = 1e-6
WEIGHT_DECAY = 0.01
GRADIENT_NORM = 1.0
_MEASURED = 24  # batches the readout looks at first
_SEED_STRIDE = 10_000_000  # more steps than anyone takes, so that no two seeds share a step's dropout


@dataclasses.dataclass(frozen=True)
class Schedule:
    """How long to train, and how fast.

    Attributes:
        steps: in all.
        warmup: steps in which learning rates rise; then they fall to zero in a straight line.
        network_rate: the network's peak.
        head_rate: the peak of label vectors, speaker table and readout.
        validate_every: steps.
        save_every: steps.
    """

    steps: int
    warmup: int
    network_rate: float
    head_rate: float
    validate_every: int
    save_every: int

    def share(self, step: int) -> float:
        """Return the share of the peak rate at a step, counted from 0."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        return (self.steps - step) / max(1, self.steps - self.warmup)


@dataclasses.dataclass(frozen=True)
class Data:
    """What is learnt from.

    Attributes:
        training: the batches of the training clips.
        held_out: those of the clips held out; None if there are none.
    """

    training: Batches
    held_out: Batches | None


def make_optimizer(model: MaskedPrediction, schedule: Schedule) -> torch.optim.Optimizer:
    """Return AdamW over what is to be learnt: the network, and what stands on it, which begins from nothing."""
    network = set(model.network.parameters())
    table = set() if model.speakers is None else {model.speakers.table.weight}
    wanted = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        ([each for each in wanted if each in network], schedule.network_rate, WEIGHT_DECAY),
        ([each for each in wanted if each not in network and each not in table], schedule.head_rate, WEIGHT_DECAY),
        # Decay would wear away the rows of speakers who are not heard.
        ([each for each in wanted if each in table], schedule.head_rate, 0.0),
    ]
    return torch.optim.AdamW(
        [{"params": each, "lr": rate, "peak": rate, "weight_decay": decay} for each, rate, decay in groups if each],
        betas=BETAS,
        eps=EPSILON,
        fused=True,  # one pass over all weights, where the plain one is a tenth of a small network's step
    )


def train(model: MaskedPrediction, data: Data, schedule: Schedule, machine: DeviceConfig, log: Log) -> None:
    """Train to the schedule's end, going on from the checkpoint beside the log if there is one.

    Args:
        model: what learns, on its device.
        data: what from.
        schedule: how long and how fast.
        machine: where.
        log: what is written down, and in which folder.
    """
    optimizer = make_optimizer(model, schedule)
    first = load_checkpoint(log.folder, model, optimizer)
    log.begin(first)
    devices = [machine.device] if machine.device.startswith("cuda") else []
    with (
        torch.random.fork_rng(devices),
        tqdm(
            total=schedule.steps, initial=first, desc="pre-training", unit="step", disable=quiet() or machine.rank > 0
        ) as bar,
    ):
        if not first:
            with machine.autocast():
                model.measure(part for step in range(_MEASURED) for part in machine.cut(data.training[step]))
        _begin(model)
        for step, batch in enumerate(data.training.ahead(first, schedule.steps, machine.workers), start=first):
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * schedule.share(step)
            began = time.perf_counter()
            torch.manual_seed((data.training.seed * _SEED_STRIDE + step) * machine.world + machine.rank)
            loss = _step(model, optimizer, batch, machine)
            rate = schedule.network_rate * schedule.share(step)
            log.add(step + 1, step / data.training.per_epoch, rate, loss, time.perf_counter() - began)
            bar.set_postfix_str(f"loss {loss:.3f}, rate {rate:.1e}", refresh=False)
            bar.update()
            last = step + 1 == schedule.steps
            if last or (step + 1) % schedule.validate_every == 0:
                log.validated(validate(model, data.held_out, machine))
            if machine.rank == 0 and (last or (step + 1) % schedule.save_every == 0):
                log.write()
                save_checkpoint(log.folder, step + 1, model, optimizer)


@torch.no_grad()
def validate(model: MaskedPrediction, held_out: Batches | None, machine: DeviceConfig) -> Validation:
    """Score what is held out."""
    sums = torch.zeros(2, len(model.heads), dtype=torch.float64)
    error = torch.zeros((), dtype=torch.float64)
    frames, crops = 0, 0
    model.eval()
    for batch in held_out.held_out() if held_out else ():
        frames += int(batch.mask.sum())
        crops += int(batch.heard.sum())
        for part in machine.parts(batch):
            with machine.autocast():
                outcome = model(part)
            sums += torch.stack([outcome.loss, outcome.correct]).double().cpu()
            error += outcome.error.double().cpu()
    _begin(model)
    add_up([sums, error])
    loss, accuracy = (sums / frames).numpy() if frames else np.full(sums.shape, np.nan)
    return Validation(loss, accuracy, float(error) / crops if crops else np.nan)


def _begin(model: MaskedPrediction) -> None:
    """Switch dropout on, but in a network that does not learn."""
    model.train()
    model.network.train(any(parameter.requires_grad for parameter in model.network.parameters()))


def _step(model: MaskedPrediction, optimizer: torch.optim.Optimizer, batch: Batch, machine: DeviceConfig) -> float:
    """Learn from a batch; return its loss."""
    optimizer.zero_grad()
    hidden, heard = int(batch.mask.sum()), int(batch.heard.sum())
    total = torch.zeros((), device=machine.device)
    for part in machine.parts(batch):
        with machine.autocast():
            loss = model.total(model(part), hidden, heard)
        loss.backward()
        total += loss.detach()
    learning = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for parameter in learning:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    add_up([total, *(parameter.grad for parameter in learning if parameter.grad is not None)])
    torch.nn.utils.clip_grad_norm_(learning, GRADIENT_NORM)
    optimizer.step()
    return float(total)
