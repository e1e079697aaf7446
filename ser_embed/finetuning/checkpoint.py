"""Checkpoints of a fine-tuning: weights, their average, the best of them and AdamW's state in one safetensors file.

A file replaces the last one only when it is complete and on disk, so that a training may be killed at any moment.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ser_embed.errors import InputError
from ser_embed.files import atomic_write

_ADAM = ("step", "exp_avg", "exp_avg_sq")


@dataclass
class TuningState:
    """State of a fine-tuning between two steps.

    Attributes:
        step: number of steps done.
        weights: the weights that are trained, by name.
        average: their moving average; empty before the first step.
        best: the average at the best epoch; empty before the first.
        adam: AdamW's state of each weight, by name and key.
        history: one row per epoch.
        best_epoch: number of the best epoch; 0 before the first.
        sums: loss and correct clips of the epoch in hand.
        finished: whether training is over.
    """

    step: int = 0
    weights: dict[str, torch.Tensor] = field(default_factory=dict)
    average: dict[str, torch.Tensor] = field(default_factory=dict)
    best: dict[str, torch.Tensor] = field(default_factory=dict)
    adam: dict[str, torch.Tensor] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    sums: tuple[float, float] = (0.0, 0.0)
    finished: bool = False


_GROUPS = ("weights", "average", "best", "adam")


def save_state(path: Path, state: TuningState) -> None:
    """Write a checkpoint."""
    tensors = {
        f"{group}/{name}": tensor.detach().cpu().contiguous()
        for group in _GROUPS
        for name, tensor in getattr(state, group).items()
    }
    facts = {
        "step": state.step,
        "history": state.history,
        "best_epoch": state.best_epoch,
        "sums": list(state.sums),
        "finished": state.finished,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as draft:
        save_file(tensors, draft, {"state": json.dumps(facts)})


def load_state(path: Path | None) -> TuningState | None:
    """Read a checkpoint; None if there is none.

    Raises:
        InputError: the file is no checkpoint, or damaged.
    """
    if path is None or not path.is_file():
        return None
    state = TuningState()
    try:
        with safe_open(path, "pt") as file:
            facts: dict[str, Any] = json.loads(file.metadata()["state"])
            for key in file.keys():  # noqa: SIM118 (not a dict)
                group, _, name = key.partition("/")
                getattr(state, group)[name] = file.get_tensor(key)
    except (SafetensorError, OSError, ValueError, KeyError, AttributeError) as error:
        raise InputError(
            f"the checkpoint {path} is damaged ({error!r}); remove it to begin this training anew"
        ) from error
    state.step, state.best_epoch, state.finished = facts["step"], facts["best_epoch"], facts["finished"]
    state.history, state.sums = facts["history"], (facts["sums"][0], facts["sums"][1])
    return state


def adam_state(
    optimizer: torch.optim.Optimizer, parameters: Mapping[str, torch.nn.Parameter]
) -> dict[str, torch.Tensor]:
    """Return AdamW's state of each parameter that has one, by key and name."""
    return {
        f"{key}/{name}": value.clone()
        for name, parameter in parameters.items()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def load_adam_state(
    optimizer: torch.optim.Optimizer, parameters: Mapping[str, torch.nn.Parameter], state: Mapping[str, torch.Tensor]
) -> None:
    """Give AdamW the state that `adam_state` returned."""
    for name, parameter in parameters.items():
        if f"{_ADAM[0]}/{name}" in state:
            optimizer.state[parameter] = {
                key: state[f"{key}/{name}"].to(parameter.device)  # the step too, where AdamW is one fused kernel
                for key in _ADAM
            }
