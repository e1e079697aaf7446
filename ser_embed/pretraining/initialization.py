"""What a pre-training begins with: a network of random weights or a trained one, and heads for the label sets."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ser_embed.cli import note
from ser_embed.encoders.huggingface import load_network
from ser_embed.encoders.registry import source_of
from ser_embed.encoders.speaker_embeddings import SPEAKERS_FILE
from ser_embed.errors import InputError
from ser_embed.pretraining.checkpoint import HEADS_FILE, load_heads, load_speakers
from ser_embed.pretraining.config import AUTO, CONFIGS, PretrainConfig
from ser_embed.pretraining.fast_conv import speed_up
from ser_embed.pretraining.features.frames import check_frames
from ser_embed.pretraining.features.functionals import COUNT
from ser_embed.pretraining.model import MaskedPrediction
from ser_embed.pretraining.pseudo_labels import CLUSTERS_FILE
from ser_embed.pretraining.targets import Target, shares

_SPEC_AUGMENT = 0.05  # transformers' own default, without which a model has no vector for masked frames


def build_model(
    settings: PretrainConfig, targets: Sequence[Target], speakers: Sequence[str]
) -> tuple[MaskedPrediction, bool]:
    """Make the model that learns.

    Args:
        settings: say from what, and their seed decides the random weights.
        targets: the label sets.
        speakers: names of the rows of the speaker table; those of the model continued from come first.

    Returns:
        The model, and whether it expects waveforms of zero mean and unit variance.

    Raises:
        InputError: the model or configuration is not there, or does not fit.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        network, normalize = _continued(settings.model) if settings.model else (_from_scratch(settings.config), True)
        check_frames(network.config)
        network.config.apply_spec_augment = True
        if not hasattr(network, "masked_spec_embed"):
            network.config.mask_time_prob = _SPEC_AUGMENT
            network.masked_spec_embed = torch.nn.Parameter(torch.rand(network.config.hidden_size))
        speed_up(network.feature_extractor)
        if settings.functionals:
            network.config.layerdrop = 0.0  # a layer that is passed over tells nothing; it stays so in the saved model
        clusters = [target.clusters for target in targets]
        rows = len(speakers) if settings.with_speakers else None
        told = COUNT if settings.functionals else None
        model = MaskedPrediction(network, clusters, rows, shares(targets).tolist(), told)
    if takes_saved_targets(settings):
        load_heads(model, Path(str(settings.model)))
    if model.speakers is not None and settings.model and (Path(settings.model) / SPEAKERS_FILE).is_file():
        load_speakers(model.speakers, Path(settings.model))
    if settings.speakers_only and model.speakers is not None:
        model.requires_grad_(False)
        model.speakers.table.requires_grad_(True)
    return model, normalize


def takes_saved_targets(settings: PretrainConfig) -> bool:
    """Return whether the label sets, and heads, are those saved with the model continued from."""
    folder = Path(settings.model or "")
    return settings.targets == AUTO and all((folder / name).is_file() for name in (CLUSTERS_FILE, HEADS_FILE))


def _continued(model: str) -> tuple[Any, bool]:
    network, normalize, notes = load_network(source_of(model))
    for line in notes:
        note(line)
    if network.config.model_type != "hubert":
        raise InputError(f"expected a HuBERT to continue from, but {model} is {network.config.model_type}")
    return network, normalize


def read_config(config: str) -> Any:
    """Return the HubertConfig of a name in `CONFIGS` or of a JSON file.

    Raises:
        InputError: it is neither.
    """
    from transformers import HubertConfig

    try:
        return HubertConfig(**(CONFIGS.get(config) or json.loads(Path(config).read_text("utf-8"))))
    except (OSError, ValueError, TypeError) as error:
        known = ", ".join(CONFIGS)
        raise InputError(
            f"config has to be {known} or a JSON file of a HubertConfig, not {config!r} ({error})"
        ) from error


def _from_scratch(config: str) -> Any:
    from transformers import HubertModel

    try:
        return HubertModel(read_config(config))
    except ValueError as error:  # such as a width that the heads do not divide
        raise InputError(f"no HuBERT can be made of {config}: {error}") from error
