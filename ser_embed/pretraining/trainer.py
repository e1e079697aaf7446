"""Training loop: steps, learning rates, validation, checkpoints.

The batch of a step goes through the network in parts, whose gradients add up to those of the whole batch, since the
loss is a sum over masked frames divided by their number in the batch. Small parts stay in a processor's cache.
"""

import dataclasses
import time

import numpy as np
import torch
from tqdm import tqdm

from ser_embed.cli import quiet
from ser_embed.pretraining.batches import Batch, Batches
from ser_embed.pretraining.checkpoint import load_checkpoint, save_checkpoint
from ser_embed.pretraining.distributed import DeviceConfig, sum_over_processes
from ser_embed.pretraining.model import MaskedPrediction
from ser_embed.pretraining.training_log import Log, Validation

BETAS = (0.9, 0.98)
EPSILON = 1e-6
WEIGHT_DECAY = 0.01
GRADIENT_NORM = 1.0
_SCALING_BATCHES = 24  # batches that the scaling of the functionals head is fitted on
_SEED_STRIDE = 10_000_000  # larger than any number of steps, so that no two seeds share the dropout of a step


@dataclasses.dataclass(frozen=True)
class Schedule:
    """Length of a training, and its learning rates.

    Attributes:
        steps: number of steps.
        warmup: number of steps in which learning rates rise; after them they fall linearly to zero.
        network_rate: peak learning rate of the network.
        head_rate: peak learning rate of label vectors, speaker table and functionals head.
        validate_every: steps from one validation to the next.
        save_every: steps from one checkpoint to the next.
    """

    steps: int
    warmup: int
    network_rate: float
    head_rate: float
    validate_every: int
    save_every: int

    def rate_factor(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0, as a share of the peak."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        return (self.steps - step) / max(1, self.steps - self.warmup)


@dataclasses.dataclass(frozen=True)
class BatchSplit:
    """Batches for training and for validation.

    Attributes:
        training: the batches of the training clips.
        held_out: the batches of the held-out clips; None if there are none.
    """

    training: Batches
    held_out: Batches | None


def train(
    model: MaskedPrediction, batches: BatchSplit, schedule: Schedule, device_config: DeviceConfig, log: Log
) -> None:
    """Train to the end of the schedule, from the checkpoint in the log's folder if there is one.

    Args:
        model: the model, on its device.
        batches: the batches for training and validation.
        schedule: number of steps and learning rates.
        device_config: device and arithmetic.
        log: records steps and validations; its folder is that of the checkpoints.
    """
    optimizer = make_optimizer(model, schedule)
    first = load_checkpoint(log.folder, model, optimizer)
    log.resume(first)
    training = batches.training
    cuda_devices = [device_config.device] if device_config.device.startswith("cuda") else []
    with torch.random.fork_rng(cuda_devices), _progress_bar(schedule.steps, first, device_config) as bar:
        if not first:
            _fit_functionals_scaling(model, training, device_config)
        _set_training_mode(model)
        for step, batch in enumerate(training.prefetch(first, schedule.steps, device_config.workers), start=first):
            start = time.perf_counter()
            _set_learning_rates(optimizer, schedule.rate_factor(step))
            torch.manual_seed((training.seed * _SEED_STRIDE + step) * device_config.world_size + device_config.rank)
            loss = _train_step(model, optimizer, batch, device_config)
            rate = schedule.network_rate * schedule.rate_factor(step)
            log.add_step(step + 1, step / training.per_epoch, rate, loss, time.perf_counter() - start)
            bar.set_postfix_str(f"loss {loss:.3f}, rate {rate:.1e}", refresh=False)
            bar.update()
            is_last = step + 1 == schedule.steps
            if is_last or (step + 1) % schedule.validate_every == 0:
                log.add_validation(validate(model, batches.held_out, device_config))
            if device_config.rank == 0 and (is_last or (step + 1) % schedule.save_every == 0):
                log.write()
                save_checkpoint(log.folder, step + 1, model, optimizer)


def make_optimizer(model: MaskedPrediction, schedule: Schedule) -> torch.optim.Optimizer:
    """Return AdamW over the trainable parameters, with learning rates for the network and for heads and speakers.

    Heads and speakers are trained from scratch, while the network may be a trained one.
    """
    network = set(model.network.parameters())
    table = set() if model.speakers is None else {model.speakers.table.weight}
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    heads = [parameter for parameter in trainable if parameter not in network and parameter not in table]
    groups = [
        ([parameter for parameter in trainable if parameter in network], schedule.network_rate, WEIGHT_DECAY),
        (heads, schedule.head_rate, WEIGHT_DECAY),
        # Without decay, which would shrink the rows of speakers that are not in the batch.
        ([parameter for parameter in trainable if parameter in table], schedule.head_rate, 0.0),
    ]
    return torch.optim.AdamW(
        [
            {"params": parameters, "lr": rate, "peak": rate, "weight_decay": decay}
            for parameters, rate, decay in groups
            if parameters
        ],
        betas=BETAS,
        eps=EPSILON,
        fused=True,  # one pass over all weights, where the plain one is a tenth of a small network's step
    )


def _progress_bar(steps: int, first: int, device_config: DeviceConfig) -> tqdm:
    """Return a bar that starts at step `first`; of several processes only the first one shows it."""
    disable = quiet() or device_config.rank > 0
    return tqdm(total=steps, initial=first, desc="pre-training", unit="step", disable=disable)


def _fit_functionals_scaling(model: MaskedPrediction, training: Batches, device_config: DeviceConfig) -> None:
    """Fit the scaling of the functionals head on the first batches, which are the same in every process."""
    with device_config.autocast():
        model.fit_functionals_scaling(
            part for step in range(_SCALING_BATCHES) for part in device_config.all_parts(training[step])
        )


def _set_learning_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor


def _set_training_mode(model: MaskedPrediction) -> None:
    """Switch dropout on, except in a frozen network."""
    model.train()
    model.network.train(any(parameter.requires_grad for parameter in model.network.parameters()))


def _train_step(
    model: MaskedPrediction, optimizer: torch.optim.Optimizer, batch: Batch, device_config: DeviceConfig
) -> float:
    """Update the model on a batch; return the loss of the whole batch."""
    optimizer.zero_grad()
    masked_frames, unmasked_crops = int(batch.mask.sum()), int(batch.unmasked.sum())
    total = torch.zeros((), device=device_config.device)
    for part in device_config.rank_parts(batch):
        with device_config.autocast():
            loss = model.total_loss(model(part), masked_frames, unmasked_crops)
        loss.backward()
        total += loss.detach()
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for parameter in parameters:
        if parameter.grad is None:  # all processes have to send the same tensors
            parameter.grad = torch.zeros_like(parameter)
    sum_over_processes([total, *(parameter.grad for parameter in parameters if parameter.grad is not None)])
    torch.nn.utils.clip_grad_norm_(parameters, GRADIENT_NORM)
    optimizer.step()
    return float(total)


@torch.no_grad()
def validate(model: MaskedPrediction, held_out: Batches | None, device_config: DeviceConfig) -> Validation:
    """Evaluate a model on held-out clips, and set it to training mode again.

    Args:
        model: the model, on its device.
        held_out: the batches of the held-out clips; None if there are none.
        device_config: device and arithmetic.

    Returns:
        Means over all processes, NaN where there is nothing to average.
    """
    sums = torch.zeros(2, len(model.heads), dtype=torch.float64)  # loss and correct frames of each label set
    error = torch.zeros((), dtype=torch.float64)
    masked_frames, unmasked_crops = 0, 0
    model.eval()
    for batch in held_out.validation_batches() if held_out else ():
        masked_frames += int(batch.mask.sum())
        unmasked_crops += int(batch.unmasked.sum())
        for part in device_config.rank_parts(batch):
            with device_config.autocast():
                output = model(part)
            sums += torch.stack([output.loss, output.correct]).double().cpu()
            error += output.error.double().cpu()
    _set_training_mode(model)
    sum_over_processes([sums, error])
    loss, accuracy = (sums / masked_frames).numpy() if masked_frames else np.full(sums.shape, np.nan)
    return Validation(loss, accuracy, float(error) / unmasked_crops if unmasked_crops else np.nan)
