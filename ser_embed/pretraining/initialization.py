"""Initial model of a pre-training: a network of random weights or a trained one, and heads for the label sets."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from ser_embed.encoders.huggingface import load_network
from ser_embed.encoders.registry import source_of
from ser_embed.encoders.speaker_embeddings import SPEAKERS_FILE
from ser_embed.encoders.training_clips import merge_training_clips, read_training_clips
from ser_embed.errors import InputError
from ser_embed.pretraining.checkpoint import HEADS_FILE, load_heads, load_speakers
from ser_embed.pretraining.config import AUTO, CONFIGS, PretrainConfig
from ser_embed.pretraining.fast_conv import speed_up
from ser_embed.pretraining.features.frames import check_frames
from ser_embed.pretraining.features.functionals import NUM_FUNCTIONALS
from ser_embed.pretraining.model import MaskedPrediction
from ser_embed.pretraining.pseudo_labels import CLUSTERS_FILE
from ser_embed.pretraining.targets import Target, loss_weights

logger = logging.getLogger(__name__)

_MASK_TIME_PROB = 0.05  # transformers' default; at 0 a saved model is loaded without its vector for masked frames


def build_model(
    config: PretrainConfig, targets: Sequence[Target], speakers: Sequence[str]
) -> tuple[MaskedPrediction, bool]:
    """Make the model to train.

    Args:
        config: the network to start from, and the seed of random weights.
        targets: the label sets.
        speakers: names of the rows of the speaker table; those of the model continued from come first.

    Returns:
        The model, and whether it expects waveforms of zero mean and unit variance.

    Raises:
        InputError: the model or its configuration is missing, or does not fit.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network, normalize = _load_hubert(config.model) if config.model else (_random_hubert(config.config), True)
        _prepare_network(network, without_layerdrop=config.functionals > 0)
        model = MaskedPrediction(
            network,
            clusters=[target.clusters for target in targets],
            speakers=len(speakers) if config.with_speakers else None,
            loss_weights=loss_weights(targets).tolist(),
            functionals=NUM_FUNCTIONALS if config.functionals else None,
        )
    if takes_saved_targets(config):
        load_heads(model, Path(str(config.model)))
    if model.speakers is not None and config.model and (Path(config.model) / SPEAKERS_FILE).is_file():
        load_speakers(model.speakers, Path(config.model))
    if config.speakers_only and model.speakers is not None:
        model.requires_grad_(False)
        model.speakers.table.requires_grad_(True)
    return model, normalize


def takes_saved_targets(config: PretrainConfig) -> bool:
    """Return whether the label sets, and heads, are those saved with the model continued from."""
    folder = Path(config.model or "")
    return config.targets == AUTO and all((folder / name).is_file() for name in (CLUSTERS_FILE, HEADS_FILE))


def inherited_training_clips(config: PretrainConfig, targets: Sequence[Target]) -> pd.DataFrame:
    """Return the clips that the models behind a pre-training were fine-tuned on with their labels.

    These are the model continued from, and the models whose layers were clustered: what such a model has learned of its
    training clips passes on to its clusters, and so to the network that predicts them.

    Args:
        config: the settings of the pre-training.
        targets: the label sets.

    Raises:
        InputError: the table of one of the models is damaged.
    """
    models = [config.model, *(target.model for target in targets)]
    return merge_training_clips(*(read_training_clips(Path(model)) for model in models if model))


def read_config(config: str) -> Any:
    """Return the HubertConfig of a name in `CONFIGS` or of a JSON file.

    Raises:
        InputError: it is neither.
    """
    from transformers import HubertConfig

    try:
        return HubertConfig(**(CONFIGS.get(config) or json.loads(Path(config).read_text("utf-8"))))
    except (OSError, ValueError, TypeError) as error:
        names = ", ".join(CONFIGS)
        raise InputError(
            f"config has to be {names} or a JSON file of a HubertConfig, not {config!r} ({error})"
        ) from error


def _load_hubert(model: str) -> tuple[Any, bool]:
    """Load the HubertModel to continue from, and whether it expects waveforms of zero mean and unit variance."""
    network, normalize, notes = load_network(source_of(model))
    for line in notes:
        logger.warning(line)
    if network.config.model_type != "hubert":
        raise InputError(f"expected a HuBERT to continue from, but {model} is {network.config.model_type}")
    return network, normalize


def _random_hubert(config: str) -> Any:
    """Make a HubertModel of random weights."""
    from transformers import HubertModel

    try:
        return HubertModel(read_config(config))
    except ValueError as error:  # such as a width that is no multiple of the number of attention heads
        raise InputError(f"no HuBERT can be made of {config}: {error}") from error


def _prepare_network(network: Any, without_layerdrop: bool) -> None:
    """Make a HubertModel ready for masked prediction."""
    model_config = network.config
    check_frames(model_config)
    model_config.apply_spec_augment = True
    if not hasattr(network, "masked_spec_embed"):
        model_config.mask_time_prob = _MASK_TIME_PROB
        network.masked_spec_embed = torch.nn.Parameter(torch.rand(model_config.hidden_size))
    speed_up(network.feature_extractor)
    if without_layerdrop:
        model_config.layerdrop = 0.0  # functionals need the output of every layer; the saved model keeps this value
