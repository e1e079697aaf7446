"""Hugging Face models: loading a HuBERT, Wav2Vec2 or WavLM from a local folder or the Hub, through transformers.

transformers reads local folders only, and weights only as safetensors; code in a repository is never run. Where the
files come from is in `hub.model_files`.
"""

import contextlib
import dataclasses
import hashlib
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from ser_embed.encoders.base import EncoderOptions
from ser_embed.encoders.hub.model_files import PREPROCESSOR, find_model
from ser_embed.encoders.training_clips import TRAINING_CLIPS_FILE, describe, read_training_clips
from ser_embed.encoders.transformer import TransformerEncoder
from ser_embed.errors import InputError

MODEL_TYPES = ("hubert", "wav2vec2", "wavlm")
_CLASSIFIER = "ForSequenceClassification"  # end of the names of architectures that were trained with labels of clips
_PRETRAINING_ONLY = "masked_spec_embed"  # a weight that inference does not use; some checkpoints do not have it


def load_transformer(source: str, name: str, options: EncoderOptions) -> TransformerEncoder:
    """Load an encoder.

    Args:
        source: a local folder or a Hub id.
        name: the name in its spec, by which the encoder can be loaded again.
        options: layers, pooling, preprocessing, device, dtype and revision.

    Raises:
        InputError: there is no such model, it is of another family, or its weights are missing or incomplete.
    """
    network, normalize, notes, commit = _load(source, options.revision)
    encoder = TransformerEncoder(network, name, commit, weights_digest(network), normalize, options)
    encoder.spec = dataclasses.replace(encoder.spec, tuned_on=describe(read_training_clips(Path(source))))
    encoder.notes = notes
    return encoder


def load_network(source: str) -> tuple[Any, bool, tuple[str, ...]]:
    """Load a transformers model.

    Args:
        source: a local folder or a Hub id; see `ser_embed.encoders.registry.source_of`.

    Returns:
        The HubertModel, Wav2Vec2Model or WavLMModel in float32; whether it expects waveforms of zero mean and unit
        variance; and notes, one if that had to be guessed.

    Raises:
        InputError: there is no such model, it is of another family, or its weights are missing or incomplete.
    """
    return _load(source)[:3]


def load_config(source: str) -> Any:
    """Load the configuration of a transformers model, without its weights.

    Args:
        source: a local folder or a Hub id; see `ser_embed.encoders.registry.source_of`.

    Raises:
        InputError: there is no such model, or it is of another family.
    """
    with quiet_transformers():
        return _load_config(source, find_model(source, None).folder)


def weights_digest(network: torch.nn.Module) -> str:
    """Return a hash of a network's weights and their names, independent of the files they are stored in."""
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(network.state_dict().items()):
        if name != _PRETRAINING_ONLY:
            digest.update(name.encode())
            digest.update(tensor.detach().contiguous().cpu().numpy().data)
    return digest.hexdigest()


def _load(source: str, revision: str | None = None) -> tuple[Any, bool, tuple[str, ...], str]:
    """Load a model and return what `load_network` does, and its commit, which is "" for a local folder.

    A model of another family is refused before its weights are downloaded.
    """
    with quiet_transformers():
        files = find_model(source, revision)
        config = _load_config(source, files.folder)
        normalize, notes = _expects_normalized(source, files.folder, config)
        notes += _note_unknown_training(source, config)
        return _load_weights(source, files.find_weights(), config), normalize, notes, files.revision


def _load_config(source: str, folder: Path) -> Any:
    from transformers import AutoConfig

    with _as_input_error(source):
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
    if config.model_type not in MODEL_TYPES:
        raise InputError(
            f"expected a model of the families {', '.join(MODEL_TYPES)}, but {source} is {config.model_type}"
        )
    unsupported = [name for name in ("add_adapter", "conv_pos_batch_norm") if getattr(config, name, False)]
    if unsupported:
        raise InputError(f"{source} is a {config.model_type} with {unsupported[0]}, which is not supported")
    return config


def _load_weights(source: str, folder: Path, config: Any) -> torch.nn.Module:
    from transformers import AutoModel

    with _as_input_error(source):
        network, loading_info = AutoModel.from_pretrained(
            folder,
            config=config,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
            local_files_only=True,
        )
    missing = sorted(name for name in loading_info["missing_keys"] if name != _PRETRAINING_ONLY)
    if missing:
        raise InputError(f"the weights in {source} are incomplete: {len(missing)} missing, first {missing[0]}")
    return network


def _expects_normalized(source: str, folder: Path, config: Any) -> tuple[bool, tuple[str, ...]]:
    """Return whether a model expects waveforms of zero mean and unit variance, and a note if that is a guess."""
    path = folder / PREPROCESSOR
    if path.is_file():
        try:
            return bool(json.loads(path.read_text(encoding="utf-8"))["do_normalize"]), ()
        except (ValueError, KeyError) as error:
            raise InputError(f"expected do_normalize in {path}, which cannot be read ({error!r})") from error
    # `save_pretrained` of a model alone does not write this file. All published models of these families expect
    # normalised waveforms, except the WavLM base models, whose group norm gives the same output with and without.
    normalize = not (config.model_type == "wavlm" and config.feat_extract_norm == "group")
    return normalize, (f"{source} has no {PREPROCESSOR}: waveforms are {'' if normalize else 'not '}normalised",)


def _note_unknown_training(source: str, config: Any) -> tuple[str, ...]:
    """Return a note if a model was fine-tuned with labels, and does not say on which clips."""
    is_classifier = any(str(name).endswith(_CLASSIFIER) for name in getattr(config, "architectures", None) or ())
    if not is_classifier or (Path(source) / TRAINING_CLIPS_FILE).exists():
        return ()
    return (
        f"{source} was fine-tuned with labels, and has no {TRAINING_CLIPS_FILE}: whether it learned from clips that a "
        "head is tested on cannot be checked",
    )


@contextlib.contextmanager
def _as_input_error(source: str) -> Iterator[None]:
    """Convert the errors that transformers and safetensors raise for a model that cannot be loaded into one line."""
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise InputError(f"no usable model in {source}: {_first_sentence(str(error))}") from error


def _first_sentence(text: str) -> str:
    return " ".join(text.split()).split(". ")[0][:200].rstrip(".")


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Hide the progress bars and warnings of transformers; the problems that matter are raised as errors here."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import transformers

    previous_verbosity = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity(logging.CRITICAL)
    transformers.logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers.logging.set_verbosity(previous_verbosity)
        transformers.logging.enable_progress_bar()
