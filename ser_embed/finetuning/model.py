"""Model of a fine-tuning: a transformers `*ForSequenceClassification` whose forward pass begins at its cached layer.

The network is projector, mean over the frames and classifier on top of the encoder's output, as transformers has it, so
that the saved folder opens without this library and gives the same logits. What is below the cached layer takes no part
in training; it is saved with the rest.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ser_embed.encoders.base import CONV
from ser_embed.encoders.huggingface import load_network, quiet_transformers
from ser_embed.encoders.registry import source_of
from ser_embed.errors import InputError
from ser_embed.finetuning.blocks import project_convolutions, run_blocks
from ser_embed.finetuning.unfreeze import Unfreeze

# Clips per forward pass outside training, and their frames with padding: 10 s each. Attention is quadratic in them.
_SCORED_AT_ONCE = 16
_FRAMES_AT_ONCE = 16 * 500
_BLOCK_DROPOUTS = ("hidden_dropout", "attention_dropout", "activation_dropout")


class TunedClassifier(torch.nn.Module):
    """An encoder with a classifier, computed from the frames of its cached layer.

    Attributes:
        network: the transformers model, all of it.
        labels: the classes.
        layer: name of the cached layer.
    """

    def __init__(self, network: Any, labels: Sequence[str], layer: str, dropout: float = 0.0) -> None:
        """Wrap a transformers model.

        Args:
            network: a HubertForSequenceClassification, or that of another family.
            labels: the classes, in the order of its logits.
            layer: name of the layer whose frames it is given.
            dropout: share of the inputs of projector and classifier left out in training.
        """
        super().__init__()
        self.network = network
        self.labels = tuple(labels)
        self.layer = layer
        self._dropout = torch.nn.Dropout(dropout)

    @property
    def base(self) -> Any:
        """The encoder: a HubertModel, Wav2Vec2Model or WavLMModel."""
        return getattr(self.network, self.network.base_model_prefix)

    def forward(self, frames: torch.Tensor, valid: torch.Tensor | None) -> torch.Tensor:
        """Compute logits.

        Args:
            frames: of the cached layer, (clips, frames, width).
            valid: bool (clips, frames), False where a frame is padding; None if there is none.

        Returns:
            (clips, classes).
        """
        base, first = self.base, 0
        if self.layer == CONV:
            frames = project_convolutions(base, frames, valid)
        else:
            blocks = len(base.encoder.layers)
            first = blocks if self.layer == "final" else int(self.layer)
        output = run_blocks(base, frames, valid, first)
        projected = self.network.projector(self._dropout(output))
        return self.network.classifier(self._dropout(_mean(projected, valid)))

    def parameter_groups(self) -> tuple[dict[str, torch.nn.Parameter], dict[str, torch.nn.Parameter]]:
        """Return the trained parameters by name: those of the encoder, then those of projector and classifier."""
        trained = {name: parameter for name, parameter in self.named_parameters() if parameter.requires_grad}
        inside = {id(parameter) for parameter in self.base.parameters()}
        return (
            {name: parameter for name, parameter in trained.items() if id(parameter) in inside},
            {name: parameter for name, parameter in trained.items() if id(parameter) not in inside},
        )

    def trained_state(self) -> dict[str, torch.Tensor]:
        """Return a copy of the weights that are trained, by name."""
        groups = self.parameter_groups()
        return {name: parameter.detach().clone() for group in groups for name, parameter in group.items()}

    @torch.no_grad()
    def load_trained(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Replace the weights that are trained by those of `trained_state`."""
        for group in self.parameter_groups():
            for name, parameter in group.items():
                parameter.copy_(weights[name])

    @torch.no_grad()
    def logits_by_clip(self, frames: torch.Tensor, valid: torch.Tensor, autocast: torch.autocast) -> torch.Tensor:
        """Compute the logits of many clips in evaluation mode, in parts of clips of like length.

        Args:
            frames: of the cached layer, (clips, frames, width), padded.
            valid: bool (clips, frames), False where a frame is padding.
            autocast: context of the forward pass.

        Returns:
            float32 (clips, classes) on the processor.
        """
        was_training = self.training
        self.eval()
        lengths = valid.sum(dim=1)
        logits = torch.zeros(len(frames), len(self.labels))
        device = next(self.network.parameters()).device
        for part in _parts_of_like_length(lengths):
            longest = int(lengths[part].max())
            part_valid = valid[part, :longest]
            mask = None if bool(part_valid.all()) else part_valid.to(device)
            with autocast:
                logits[part] = self(frames[part, :longest].to(device), mask).float().cpu()
        self.train(was_training)
        return logits


def build_classifier(
    model: str, labels: Sequence[str], unfreeze: Unfreeze, dropout: float, seed: int
) -> tuple[TunedClassifier, bool]:
    """Load an encoder, put a fresh classifier on it, and freeze what is not to be trained.

    Args:
        model: name, Hub id or folder of the encoder.
        labels: the classes.
        unfreeze: what is trained.
        dropout: in blocks, and in front of projector and classifier.
        seed: of the classifier's weights.

    Returns:
        The model, and whether it expects waveforms of zero mean and unit variance.

    Raises:
        InputError: there is no such model, or it has not as many blocks.
    """
    with torch.random.fork_rng(devices=[]):
        base, normalize, _ = load_network(source_of(model))
        layer = unfreeze.cached_layer(len(base.encoder.layers))
        torch.manual_seed(seed)
        network = _with_classifier(base, labels, dropout)
        network.requires_grad_(False)
        for part in _trained_parts(network, unfreeze):
            part.requires_grad_(True)
        if unfreeze.kind == "lora":
            _add_adapters(getattr(network, network.base_model_prefix), unfreeze.number)
    return TunedClassifier(network, labels, layer, dropout), normalize


def load_classifier(folder: Path, layer: str) -> TunedClassifier:
    """Load a fine-tuned model to score the frames of a layer with.

    Args:
        folder: written by `save_classifier`.
        layer: name of the layer.

    Raises:
        InputError: it cannot be read.
    """
    from transformers import AutoModelForAudioClassification

    try:
        with quiet_transformers():
            network, info = AutoModelForAudioClassification.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, dtype=torch.float32, output_loading_info=True
            )
    except Exception as error:  # transformers raises errors of many kinds for a damaged folder
        raise InputError(f"expected a fine-tuned model in {folder}, which cannot be read ({error!r})") from error
    if info["missing_keys"]:
        raise InputError(f"the weights in {folder} are incomplete: {min(info['missing_keys'])} is missing")
    labels = [network.config.id2label[index] for index in range(network.config.num_labels)]
    return TunedClassifier(network.eval().requires_grad_(False), labels, layer)


def save_classifier(model: TunedClassifier, normalize: bool, folder: Path) -> None:
    """Write a model as a folder of transformers, adapters merged into the weights they adapt.

    Args:
        model: after training; its adapters are gone when this returns.
        normalize: whether it expects waveforms of zero mean and unit variance.
        folder: to write to.
    """
    from transformers import Wav2Vec2FeatureExtractor

    network = model.network
    _merge_adapters(model.base)
    uses_mask = network.config.feat_extract_norm == "layer"  # models with GroupNorm do not use one
    with quiet_transformers():
        Wav2Vec2FeatureExtractor(do_normalize=normalize, return_attention_mask=uses_mask).save_pretrained(folder)
        network.save_pretrained(folder)


def _with_classifier(base: Any, labels: Sequence[str], dropout: float) -> Any:
    """Return a `*ForSequenceClassification` around an encoder, with fresh projector and classifier."""
    from transformers import AutoModelForAudioClassification

    config = base.config
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: index for index, label in enumerate(labels)}
    config.use_weighted_layer_sum = False
    config.layerdrop = 0.0
    config.apply_spec_augment = False
    for name in _BLOCK_DROPOUTS:
        setattr(config, name, dropout)
    with quiet_transformers():
        network = AutoModelForAudioClassification.from_config(config, dtype=torch.float32)
    getattr(network, network.base_model_prefix).load_state_dict(base.state_dict())
    return network


def _trained_parts(network: Any, unfreeze: Unfreeze) -> Iterator[Any]:
    """Yield the modules whose weights are trained, adapters aside."""
    yield from (network.projector, network.classifier)
    base = getattr(network, network.base_model_prefix)
    if unfreeze.kind == "all":
        yield from (base.feature_projection, base.encoder)
    if unfreeze.kind == "last":
        yield from base.encoder.layers[unfreeze.first_block(len(base.encoder.layers)) :]
        if base.config.do_stable_layer_norm:  # the LayerNorm after the last block
            yield base.encoder.layer_norm


def _add_adapters(base: Any, rank: int) -> None:
    """Put adapters on queries and values of all blocks of an encoder, in place."""
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise InputError("--unfreeze lora needs peft; install it with: pip install 'twostage-ser[lora]'") from error

    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=["q_proj", "v_proj"], task_type=None)
    inject_adapter_in_model(config, base)


def _merge_adapters(base: Any) -> None:
    """Merge adapters into the weights they adapt, and put the plain layers back."""
    for block in base.encoder.layers:
        for name in ("q_proj", "v_proj"):
            layer = getattr(block.attention, name)
            if hasattr(layer, "merge"):
                layer.merge()
                setattr(block.attention, name, layer.get_base_layer())


def _parts_of_like_length(lengths: torch.Tensor) -> Iterator[torch.Tensor]:
    """Yield the clips of each forward pass, longest first; a clip of any length may be alone.

    Args:
        lengths: number of frames of each clip, (clips,).
    """
    order = torch.argsort(lengths, stable=True)
    while len(order):
        num_clips = max(1, min(_SCORED_AT_ONCE, _FRAMES_AT_ONCE // int(lengths[order[-1]])))
        yield order[-num_clips:]
        order = order[:-num_clips]


def _mean(frames: torch.Tensor, valid: torch.Tensor | None) -> torch.Tensor:
    """Return the mean over the frames of each clip, (clips, width)."""
    if valid is None:
        return frames.mean(dim=1)
    weights = valid.unsqueeze(-1).to(frames.dtype)
    return (frames.masked_fill(~valid.unsqueeze(-1), 0.0)).sum(dim=1) / weights.sum(dim=1)
