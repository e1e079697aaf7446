"""Checkpoints and finished models of a pre-training, as safetensors files.

A checkpoint holds the model's weights and the state of the optimiser in one file. Nothing else is needed to resume
exactly: batches follow from the number of the step, and so does the network's dropout. A finished model is a folder of
transformers, with the heads and the speakers in files of their own.
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

CHECKPOINT_FILE = "checkpoint.safetensors"
HEADS_FILE = "heads.safetensors"


def save_checkpoint(folder: Path, step: int, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Write a checkpoint, which replaces the last one only when it is complete.

    Args:
        folder: the folder of the run.
        step: number of steps done.
        model: the model.
        optimizer: its AdamW optimiser.
    """
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        state = optimizer.state.get(parameter, {})
        tensors.update({f"adam.{key}.{name}": tensor for key, tensor in state.items()})
    with atomic_write(folder / CHECKPOINT_FILE) as draft:
        save_file(_on_cpu(tensors), draft, {"step": str(step)})


def load_checkpoint(folder: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Restore model and optimiser from the checkpoint of a folder.

    Args:
        folder: the folder of the run.
        model: the model, on its device; its weights are replaced.
        optimizer: its AdamW optimiser; its state is replaced.

    Returns:
        The number of steps done; 0, and nothing is changed, if there is no checkpoint.
    """
    if not (folder / CHECKPOINT_FILE).is_file():
        return 0
    with safe_open(folder / CHECKPOINT_FILE, "pt") as file:
        names = set(file.keys())
        model.load_state_dict({name: file.get_tensor(f"model.{name}") for name in model.state_dict()})
        for name, parameter in model.named_parameters():
            state = {
                key: file.get_tensor(f"adam.{key}.{name}").to(device)
                for key, device in _adam_devices(parameter).items()
                if f"adam.{key}.{name}" in names
            }
            if state:
                optimizer.state[parameter] = state
        return int(file.metadata()["step"])


def save_model(
    model: MaskedPrediction, normalize: bool, speakers: Sequence[str], folder: Path, half: bool = False
) -> None:
    """Write the network, its heads, and the speakers if it has any.

    Args:
        model: the trained model.
        normalize: whether it expects waveforms of zero mean and unit variance.
        speakers: the names of the rows of the speaker table, from row 1 on.
        folder: the folder to write to.
        half: whether the network's weights, and they alone, are rounded to half precision.
    """
    from transformers import Wav2Vec2FeatureExtractor

    network = copy.deepcopy(model.network).half() if half else model.network
    use_attention_mask = model.network.config.feat_extract_norm == "layer"  # models with GroupNorm do not use one
    with quiet_transformers():
        Wav2Vec2FeatureExtractor(do_normalize=normalize, return_attention_mask=use_attention_mask).save_pretrained(
            folder
        )
        network.save_pretrained(folder)
    save_file(_on_cpu(model.heads.state_dict()), folder / HEADS_FILE)
    if model.speakers is not None:
        table, linear = model.speakers.table.weight, model.speakers.linear.weight
        tensors = {"table": table, "linear": linear, "vectors": table @ linear.T}
        save_file(_on_cpu(tensors), folder / SPEAKERS_FILE, {"speakers": json.dumps(list(speakers))})


def load_heads(model: MaskedPrediction, folder: Path) -> None:
    """Replace the heads of a model by those of an earlier pre-training.

    Raises:
        InputError: the saved heads are for other label sets.
    """
    saved = load_file(folder / HEADS_FILE)
    if _shapes(saved) != _shapes(model.heads.state_dict()):
        raise InputError(f"the heads in {folder / HEADS_FILE} are not those of its clusters")
    model.heads.load_state_dict(saved)


@torch.no_grad()
def load_speakers(embedding: SpeakerEmbedding, folder: Path) -> None:
    """Copy the rows of an earlier pre-training; rows of new speakers follow them and start at their mean."""
    with safe_open(folder / SPEAKERS_FILE, "pt") as file:
        table = file.get_tensor("table")
        embedding.linear.weight.copy_(file.get_tensor("linear"))
    embedding.table.weight[: len(table)] = table
    embedding.table.weight[len(table) :] = table[1:].mean(dim=0)


def _adam_devices(parameter: torch.nn.Parameter) -> dict[str, torch.device]:
    """Return the keys of Adam's state for a parameter, and their devices: the parameter's, but for the step count."""
    return {"step": torch.device("cpu"), "exp_avg": parameter.device, "exp_avg_sq": parameter.device}


def _on_cpu(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return tensors as safetensors can save them: detached, contiguous, on the processor."""
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _shapes(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in tensors.items()}
