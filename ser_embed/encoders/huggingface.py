"""Loading a HuBERT, Wav2Vec2 or WavLM from a local folder or the Hub, through transformers.

Weights are read as safetensors only, never by pickle, and no code of a repository is ever run. A Hub repository that
has only a pickled checkpoint is served by the safetensors conversion the Hub keeps beside it.
"""

import contextlib
import hashlib
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from ser_embed.cli import note, quiet
from ser_embed.encoders.base import EncoderOptions
from ser_embed.encoders.transformer import TransformerEncoder
from ser_embed.errors import InputError

FAMILIES = ("hubert", "wav2vec2", "wavlm")


def load_transformer(source: str, name: str, options: EncoderOptions) -> TransformerEncoder:
    """Load an encoder.

    Args:
        source: a local folder or a Hub id.
        name: what its spec calls it: what loads the encoder again.
        options: layers, pooling, device and arithmetic.

    Raises:
        InputError: there is no such model, it is of another family, or its weights are missing or incomplete.
    """
    network, normalize, notes = load_network(source)
    revision = getattr(network.config, "_commit_hash", None) or ""
    encoder = TransformerEncoder(network, name, revision, weights_digest(network), normalize, options)
    encoder.notes = notes
    return encoder


def load_network(source: str) -> tuple[Any, bool, tuple[str, ...]]:
    """Load a transformers model.

    Args:
        source: a local folder or a Hub id; see `ser_embed.encoders.registry.source_of`.

    Returns:
        The HubertModel, Wav2Vec2Model or WavLMModel in float32, whether it expects waveforms of zero mean and unit
        variance, and a note if that is a guess.

    Raises:
        InputError: there is no such model, it is of another family, or its weights are missing or incomplete.
    """
    with quiet_transformers():
        cached_only = not Path(source).is_dir() and not _hub_answers(source)
        config = _load_config(source, cached_only)
        return _load_weights(source, config, cached_only), *_normalizes(source, config, cached_only)


def weights_digest(network: torch.nn.Module) -> str:
    """Return a hash of a network's weights by name, independent of how and where they are stored."""
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(network.state_dict().items()):
        if name != "masked_spec_embed":  # used in pre-training only, and absent from some checkpoints
            digest.update(name.encode())
            digest.update(tensor.detach().contiguous().cpu().numpy().data)
    return digest.hexdigest()


def _hub_answers(source: str) -> bool:
    """Ask the Hub once. Without a network transformers would ask for every file of a model, many times over."""
    import huggingface_hub

    try:
        huggingface_hub.HfApi().model_info(source, timeout=10)
    except huggingface_hub.errors.HfHubHTTPError:
        return True  # it answered, if only to say no; loading will say what
    except Exception:  # the HTTP library's own errors share no public base; each of them means no answer
        return False
    if not quiet():
        note(f"{source}: fetching what is not in the local cache from the Hub")
    return True


def _load_config(source: str, cached_only: bool) -> Any:
    from transformers import AutoConfig

    with _as_input_error(source, cached_only):
        config = AutoConfig.from_pretrained(source, local_files_only=cached_only)
    if config.model_type not in FAMILIES:
        raise InputError(f"expected a model of the families {', '.join(FAMILIES)}, but {source} is {config.model_type}")
    unsupported = [name for name in ("add_adapter", "conv_pos_batch_norm") if getattr(config, name, False)]
    if unsupported:
        raise InputError(f"{source} is a {config.model_type} with {unsupported[0]}, which is not supported")
    return config


def _load_weights(source: str, config: Any, cached_only: bool) -> torch.nn.Module:
    from transformers import AutoModel

    with _as_input_error(source, cached_only):
        network, found = AutoModel.from_pretrained(
            source,
            config=config,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
            local_files_only=cached_only,
        )
    missing = sorted(name for name in found["missing_keys"] if name != "masked_spec_embed")
    if missing:
        raise InputError(f"the weights in {source} are incomplete: {len(missing)} missing, first {missing[0]}")
    return network


def _normalizes(source: str, config: Any, cached_only: bool) -> tuple[bool, tuple[str, ...]]:
    """Return whether the model was trained on waveforms of zero mean and unit variance, and a note if it is a guess."""
    from transformers.utils import cached_file

    name = "preprocessor_config.json"
    path = cached_file(source, name, local_files_only=cached_only, _raise_exceptions_for_missing_entries=False)
    if path is not None:
        try:
            return bool(json.loads(Path(path).read_text(encoding="utf-8"))["do_normalize"]), ()
        except (ValueError, KeyError) as error:
            raise InputError(f"expected do_normalize in {path}, which cannot be read ({error!r})") from error
    # `save_pretrained` of a model alone writes no such file. Every published model of these families normalises, but
    # for the WavLM base models, whose group norm makes it indifferent.
    normalize = not (config.model_type == "wavlm" and config.feat_extract_norm == "group")
    return normalize, (f"{source} has no {name}: waveforms are {'' if normalize else 'not '}normalised",)


@contextlib.contextmanager
def _as_input_error(source: str, cached_only: bool) -> Iterator[None]:
    """Turn what transformers raises for a model that cannot be had into one line."""
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        if cached_only:
            raise InputError(
                f"{source} is not in the local cache and the Hub cannot be reached; "
                "without a network, give the folder of a saved model"
            ) from error
        raise InputError(f"no usable model in {source}: {_first_sentence(str(error))}") from error


def _first_sentence(text: str) -> str:
    return " ".join(text.split()).split(". ")[0][:200].rstrip(".")


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep transformers' own bars and warnings from the terminal; what matters is raised above."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import transformers

    before = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity(logging.CRITICAL)
    transformers.logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers.logging.set_verbosity(before)
        transformers.logging.enable_progress_bar()
