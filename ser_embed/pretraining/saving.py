"""What a finished pre-training leaves behind, and what a later one finds there.

The folder is one of transformers (`config.json`, `model.safetensors`, `preprocessor_config.json`), which
`HubertModel.from_pretrained` and `--model FOLDER` take. Beside the network lie what only pre-training needs:
`clusters.safetensors`, `heads.safetensors`, and with speaker embeddings `speakers.safetensors` (see `speakers`).
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
from ser_embed.pretraining.model import MaskedPrediction, SpeakerEmbedding

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
