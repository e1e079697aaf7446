"""Training loop of a fine-tuning: steps, learning rates, averaged weights, validation, checkpoints.

The loop is this library's own rather than transformers' Trainer for four reasons: a checkpoint here is one safetensors
file that replaces the last in a rename, where the Trainer writes a folder of pickles piece by piece; what is validated
and kept is the moving average of the weights; a step is decided by its number alone, so that a resumed training gives
the same weights; and batches are frames of a cached layer, cut to clips of like length.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from ser_embed.encoders.device import choose_device, choose_dtype
from ser_embed.errors import InputError
from ser_embed.finetuning.batches import FRAMES_PER_S, Batch, ReadFrames, TrainingClips, TuningBatches
from ser_embed.finetuning.checkpoint import TuningState, adam_state, load_adam_state, load_state, save_state
from ser_embed.finetuning.config import RATE_PER_WIDTH, TuningConfig
from ser_embed.finetuning.model import TunedClassifier

BETAS = (0.9, 0.98)
EPSILON = 1e-6
_SAVE_EVERY_S = 120.0  # a killed training loses no more than this, or an epoch if that is shorter
_SEED_STRIDE = 10_000_000  # larger than any number of steps, so that no two seeds share the dropout of a step
_AVERAGE_WARMUP = 10  # steps after which the average remembers more than the first weights


@dataclass(frozen=True)
class TuningTask:
    """Clips to learn from, and what is known of them.

    Attributes:
        clips: the training clips.
        targets: class of every clip of the data, by position, int64.
        class_weights: weight of each class in the loss, float32 (classes,).
        validation: positions of the clips that choose the epoch; None to train to the end.
        epochs: passes over the clips, at most.
        stop_after: epochs after which training stops although learning rates were planned for `epochs`; None for none.
        checkpoint: file of the checkpoint; None for none.
    """

    clips: TrainingClips
    targets: np.ndarray
    class_weights: np.ndarray
    validation: np.ndarray | None
    epochs: int
    stop_after: int | None
    checkpoint: Path | None


class Tuner:
    """Trains a classifier on cached frames, and scores clips with it.

    Attributes:
        model: the classifier, on its device.
    """

    def __init__(self, model: TunedClassifier, config: TuningConfig, read: ReadFrames) -> None:
        """Take the model to its device.

        Args:
            model: of `build_classifier`.
            config: the settings.
            read: reads the frames of clips.
        """
        self._config, self._read = config, read
        self._device = choose_device(config.device)
        dtype = choose_dtype(config.dtype, self._device)
        self._autocast = torch.autocast(self._device.partition(":")[0], torch.bfloat16, enabled=dtype == torch.bfloat16)
        self.model = model.to(self._device)
        self._groups = self.model.parameter_groups()
        self._parameters = {**self._groups[0], **self._groups[1]}

    def train(
        self, task: TuningTask, on_epoch: Callable[[dict[str, float]], object], on_step: Callable[[float], object]
    ) -> TuningState:
        """Train from the checkpoint, or from the model as it is; the model then has the best averaged weights.

        Args:
            task: the clips.
            on_epoch: called after each epoch with its row of the history.
            on_step: called after each step with the share of an epoch it was.

        Returns:
            The state at the end.

        Raises:
            InputError: the loss is not a number.
        """
        batches = TuningBatches(self._read, task.clips, self._config.batch_size, self._config.seed)
        optimizer = self._make_optimizer()
        state = load_state(task.checkpoint) or TuningState(weights=self.model.trained_state())
        if not state.finished:
            self.model.load_trained(state.weights)
        load_adam_state(optimizer, self._parameters, state.adam)
        for row in state.history:
            on_epoch(row)
        cuda = [self._device] if self._device.startswith("cuda") else []
        with torch.random.fork_rng(cuda):
            while not state.finished:
                self._run_epoch(task, batches, optimizer, state, on_step)
                self._end_epoch(task, state)
                on_epoch(state.history[-1])
                self._save(task, optimizer, state)
        self.model.load_trained(state.best)
        return state

    def probabilities(self, frames: np.ndarray) -> np.ndarray:
        """Score clips.

        Args:
            frames: float32 (clips, frames, width), padded with NaN.

        Returns:
            float32 (clips, classes).
        """
        return frame_probabilities(self.model, frames, self._autocast)

    def _make_optimizer(self) -> torch.optim.AdamW:
        """Return AdamW with the peak rates of encoder and classifier; biases and norms do not decay."""
        config, width = self._config, self.model.base.config.hidden_size
        rates = config.learning_rate or RATE_PER_WIDTH / width, config.head_learning_rate
        groups = [
            {
                "params": [parameter for parameter in group.values() if (parameter.ndim > 1) == decays],
                "peak": rate,
                "weight_decay": config.weight_decay if decays else 0.0,
            }
            for group, rate in zip(self._groups, rates, strict=True)
            for decays in (True, False)
        ]
        return torch.optim.AdamW([group for group in groups if group["params"]], betas=BETAS, eps=EPSILON, fused=True)

    def _run_epoch(
        self,
        task: TuningTask,
        batches: TuningBatches,
        optimizer: torch.optim.Optimizer,
        state: TuningState,
        on_step: Callable[[float], object],
    ) -> None:
        """Do the steps that are left of the epoch in hand; see `train`."""
        steps_per_epoch = -(-batches.per_epoch // self._config.accumulation)
        epoch, first = divmod(state.step, steps_per_epoch)
        longest = round(self._config.crop_s * FRAMES_PER_S)
        positions = batches.positions(epoch, longest)
        decay = self._config.averaging ** (1 / steps_per_epoch) if self._config.averaging else 0.0
        saved = time.monotonic()
        self.model.train()
        for step in range(first, steps_per_epoch):
            start = step * self._config.accumulation
            parts = positions[start : start + self._config.accumulation]
            random = np.random.default_rng([self._config.seed, epoch, step])
            torch.manual_seed(self._config.seed * _SEED_STRIDE + state.step)
            _set_rates(optimizer, rate_factor(state.step, task.epochs * steps_per_epoch, self._config.warmup))
            read = [batches.read(clips, random, longest, self._config.time_mask) for clips in parts]
            self._step(task, read, optimizer, state)
            self._update_average(state, decay)
            state.step += 1
            on_step(1 / steps_per_epoch)
            if step + 1 < steps_per_epoch and time.monotonic() - saved > _SAVE_EVERY_S:
                self._save(task, optimizer, state)
                saved = time.monotonic()

    def _step(self, task: TuningTask, parts: list[Batch], optimizer: torch.optim.Optimizer, state: TuningState) -> None:
        """Update the weights on one or more batches, and add their loss and correct clips to the state."""
        total = sum(len(part.clips) for part in parts)
        optimizer.zero_grad(set_to_none=True)
        loss_sum, correct = state.sums
        for part in parts:
            targets = torch.from_numpy(task.targets[part.clips]).to(self._device)
            weights = torch.from_numpy(task.class_weights).to(self._device)[targets]
            valid = None if part.valid.all() else torch.from_numpy(part.valid).to(self._device)
            with self._autocast:
                logits = self.model(torch.from_numpy(part.frames).to(self._device), valid)
            losses = F.cross_entropy(
                logits.float(), targets, reduction="none", label_smoothing=self._config.label_smoothing
            )
            loss = (losses * weights).sum()
            (loss / total).backward()
            loss_sum += float(loss.detach())
            correct += float((logits.detach().argmax(dim=1) == targets).sum())
        if self._config.gradient_norm:
            torch.nn.utils.clip_grad_norm_(self._parameters.values(), self._config.gradient_norm)
        optimizer.step()
        state.sums = loss_sum, correct

    @torch.no_grad()
    def _update_average(self, state: TuningState, decay: float) -> None:
        """Take the present weights into their moving average."""
        if not state.average:
            state.average = self.model.trained_state()
            return
        kept = min(decay, (1 + state.step) / (_AVERAGE_WARMUP + state.step))
        for name, parameter in self._parameters.items():
            state.average[name] = state.average[name].to(parameter.device).lerp_(parameter, 1 - kept)

    def _end_epoch(self, task: TuningTask, state: TuningState) -> None:
        """Validate the averaged weights, add a row to the history, and decide whether that was the last epoch."""
        epoch = len(state.history) + 1
        num_clips = task.clips.num_recordings
        row = {"epoch": epoch, "loss": state.sums[0] / num_clips, "accuracy": state.sums[1] / num_clips}
        improved = True
        if task.validation is not None:
            row |= self._validate(task, task.validation, state)
            improved = row["val_loss"] < min((past["val_loss"] for past in state.history), default=np.inf)
        _require_finite(row, state.average)
        state.history.append(row)
        state.sums = (0.0, 0.0)
        if improved:
            state.best_epoch, state.best = epoch, {name: tensor.clone() for name, tensor in state.average.items()}
        stop_after = task.epochs if task.stop_after is None else task.stop_after
        state.finished = epoch >= stop_after or epoch - state.best_epoch >= self._config.patience

    def _validate(self, task: TuningTask, clips: np.ndarray, state: TuningState) -> dict[str, float]:
        """Return loss, accuracy and recall of the validation clips with the averaged weights."""
        present = self.model.trained_state()
        self.model.load_trained(state.average)
        parts = np.array_split(clips, -(-len(clips) // _READ_AT_ONCE))
        probabilities = np.concatenate([self.probabilities(self._read(part)) for part in parts])
        self.model.load_trained(present)
        targets = task.targets[clips]
        chosen = np.maximum(probabilities[np.arange(len(clips)), targets], _SMALLEST_PROBABILITY)
        is_right = probabilities.argmax(axis=1) == targets
        recalls = [is_right[targets == label].mean() for label in np.unique(targets)]
        return {
            "val_loss": float(np.average(-np.log(chosen), weights=task.class_weights[targets])),
            "val_accuracy": float(is_right.mean()),
            "val_uar": float(np.mean(recalls)),
        }

    def _save(self, task: TuningTask, optimizer: torch.optim.Optimizer, state: TuningState) -> None:
        if task.checkpoint is None:
            return
        state.weights = {} if state.finished else self.model.trained_state()
        state.adam = {} if state.finished else adam_state(optimizer, self._parameters)
        save_state(task.checkpoint, replace(state, average={}) if state.finished else state)


_READ_AT_ONCE = 64  # validation clips whose frames are in memory
_SMALLEST_PROBABILITY = 1e-7  # float32's resolution; keeps one confident mistake from making the loss infinite


def frame_probabilities(model: TunedClassifier, frames: np.ndarray, autocast: torch.autocast) -> np.ndarray:
    """Score clips.

    Args:
        model: the classifier.
        frames: float32 (clips, frames, width), padded with NaN.
        autocast: context of the forward pass.

    Returns:
        float32 (clips, classes).
    """
    if not len(frames):
        return np.zeros((0, len(model.labels)), np.float32)
    valid = ~np.isnan(frames[..., 0])
    rows = torch.from_numpy(np.nan_to_num(frames))
    return model.logits_by_clip(rows, torch.from_numpy(valid), autocast).softmax(dim=1).numpy()


def rate_factor(step: int, steps: int, warmup: float) -> float:
    """Return the share of its peak that a learning rate has: a rise over `warmup` of all steps, then a fall to zero.

    >>> [rate_factor(step, 10, 0.2) for step in (0, 1, 2, 6, 9)]
    [0.5, 1.0, 1.0, 0.5, 0.125]

    Args:
        step: number of steps done.
        steps: number of all steps.
        warmup: share of the steps in which the rate rises.
    """
    rising = max(1, round(warmup * steps))
    return min((step + 1) / rising, (steps - step) / max(1, steps - rising))


def _require_finite(row: Mapping[str, float], weights: Mapping[str, torch.Tensor]) -> None:
    """Check that training has not diverged, be it in the last step of an epoch, which only validation has seen.

    Args:
        row: the epoch's row of the history.
        weights: after the epoch.

    Raises:
        InputError: a loss or a weight is not a number.
    """
    for name, title in (("loss", "loss"), ("val_loss", "validation loss")):
        if not np.isfinite(row.get(name, 0.0)):
            raise InputError(f"training diverged: the {title} is {row[name]}; lower --learning-rate")
    if not all(bool(tensor.isfinite().all()) for tensor in weights.values()):
        raise InputError("training diverged: weights are no longer finite; lower --learning-rate")


def _set_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor
