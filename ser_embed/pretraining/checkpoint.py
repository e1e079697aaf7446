"""Where a training stands: weights and the optimiser's memory, in one safetensors file.

Nothing else is needed to go on exactly: batches follow from the step's number, and so does the network's dropout.
"""

from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from ser_embed.store.writer import flush_to_disk

FILE = "checkpoint.safetensors"


def save_checkpoint(folder: Path, step: int, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Write a checkpoint after `step` steps; it replaces the last one only when it is whole."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        memory = optimizer.state.get(parameter, {})
        tensors.update({f"adam.{kind}.{name}": tensor for kind, tensor in memory.items()})
    draft = folder / f"{FILE}.draft"
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(contiguous, draft, {"step": str(step)})
    flush_to_disk(draft)
    draft.replace(folder / FILE)
    flush_to_disk(folder)


def load_checkpoint(folder: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Bring model and optimiser to where the folder's checkpoint was written.

    Returns:
        The number of steps done; 0, and nothing is changed, if there is no checkpoint.
    """
    if not (folder / FILE).is_file():
        return 0
    with safe_open(folder / FILE, "pt") as file:
        names = set(file.keys())
        model.load_state_dict({name: file.get_tensor(f"model.{name}") for name in model.state_dict()})
        for name, parameter in model.named_parameters():
            memory = {
                kind: file.get_tensor(f"adam.{kind}.{name}").to(device)
                for kind, device in _kinds(parameter).items()
                if f"adam.{kind}.{name}" in names
            }
            if memory:
                optimizer.state[parameter] = memory
        return int(file.metadata()["step"])


def _kinds(parameter: torch.nn.Parameter) -> dict[str, torch.device]:
    """Say what Adam remembers of a parameter, and where: all beside it but the number of steps."""
    return {"step": torch.device("cpu"), "exp_avg": parameter.device, "exp_avg_sq": parameter.device}
