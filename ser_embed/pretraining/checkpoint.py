"""Where a training stands: weights and the optimiser's memory, in one safetensors file.

Nothing else is needed to go on exactly: batches follow from the step's number, and so does the network's dropout.
"""

import copy
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from ser_embed.encoders.huggingface import quiet_transformers
from ser_embed.encoders.speaker_embeddings import SPEAKERS_FILE
from ser_embed.errors import InputError
from ser_embed.files import atomic_write
from ser_embed.pretraining.model import MaskedPrediction, SpeakerEmbedding

FILE = "checkpoint.safetensors"


def save_checkpoint(folder: Path, step: int, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Write a checkpoint after `step` steps; it replaces the last one only when it is whole."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        memory = optimizer.state.get(parameter, {})
        tensors.update({f"adam.{kind}.{name}": tensor for kind, tensor in memory.items()})
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_write(folder / FILE) as draft:
        save_file(contiguous, draft, {"step": str(step)})


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


HEADS_FILE = "heads.safetensors"


def save_model(
    model: MaskedPrediction, normalize: bool, speakers: Sequence[str], folder: Path, half: bool = False
) -> None:
    """Write the network, its heads, and the speakers if it has any.

    Args:
        model: what was trained.
        normalize: whether it expects waveforms of zero mean and unit variance.
        speakers: the names of the rows of the speaker table, from row 1 on.
        folder: where to.
        half: whether the network's weights, and they alone, are rounded to half precision.
    """
    from transformers import Wav2Vec2FeatureExtractor

    network = copy.deepcopy(model.network).half() if half else model.network

    masked = model.network.config.feat_extract_norm == "layer"  # the other kind has no use for an attention mask
    with quiet_transformers():
        Wav2Vec2FeatureExtractor(do_normalize=normalize, return_attention_mask=masked).save_pretrained(folder)
        network.save_pretrained(folder)
    save_file(_tensors(model.heads), folder / HEADS_FILE)
    if model.speakers is not None:
        table, linear = model.speakers.table.weight, model.speakers.linear.weight
        tensors = {"table": table, "linear": linear, "vectors": table @ linear.T}
        contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        save_file(contiguous, folder / SPEAKERS_FILE, {"speakers": json.dumps(list(speakers))})


def load_heads(model: MaskedPrediction, folder: Path) -> None:
    """Take over the heads of an earlier pre-training.

    Raises:
        InputError: they are for other label sets.
    """
    found = load_file(folder / HEADS_FILE)
    if {name: tensor.shape for name, tensor in found.items()} != _shapes(model.heads):
        raise InputError(f"the heads in {folder / HEADS_FILE} are not those of its clusters")
    model.heads.load_state_dict(found)


@torch.no_grad()
def load_speakers(embedding: SpeakerEmbedding, folder: Path) -> None:
    """Take over the rows of an earlier pre-training; the new ones after them begin at the mean of those."""
    with safe_open(folder / SPEAKERS_FILE, "pt") as file:
        table = file.get_tensor("table")
        embedding.linear.weight.copy_(file.get_tensor("linear"))
    embedding.table.weight[: len(table)] = table
    embedding.table.weight[len(table) :] = table[1:].mean(dim=0)


def _tensors(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}


def _shapes(module: torch.nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in module.state_dict().items()}
