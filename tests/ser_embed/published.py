"""Tiny models with the shapes, the key names and the files of the published ones."""

import functools
import io
import json
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import save as save_safetensors

from ser_embed.encoders.huggingface import weights_digest

TINY = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "conv_dim": [16] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "num_codevectors_per_group": 4,
    "codevector_dim": 8,
    "proj_codevector_dim": 8,
}
GROUP = {"feat_extract_norm": "group", "conv_bias": False, "do_stable_layer_norm": False}
LAYER = {"feat_extract_norm": "layer", "conv_bias": True, "do_stable_layer_norm": True}
# How each model was published: its class, its shape, whether its waveforms are normalised.
PUBLISHED: dict[str, tuple[str, dict[str, Any], bool]] = {
    "hubert-base": ("HubertModel", GROUP, True),
    "hubert-large": ("HubertModel", LAYER, True),
    "hubert-xlarge": ("HubertForCTC", LAYER, True),  # keys with the prefix that fine-tuned models have
    "wav2vec2-base": ("Wav2Vec2ForPreTraining", GROUP, True),
    "wav2vec2-large": ("Wav2Vec2ForPreTraining", GROUP, True),
    "wav2vec2-xlsr": ("Wav2Vec2ForPreTraining", LAYER, True),
    "wavlm-base-plus": ("WavLMModel", GROUP, False),
    "wavlm-large": ("WavLMModel", LAYER, True),
}
NO_MASK_EMBEDDING = {"hubert-large", "wavlm-base-plus", "wavlm-large"}
NEW_NAMES = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}


@functools.cache
def published_network(name: str, seed: int = 0) -> Any:
    """Return a tiny model of the class and the shape that a published model has; not to be changed."""
    class_name, shape, _ = PUBLISHED[name]
    model_class = getattr(transformers, class_name)
    torch.manual_seed(seed)
    return model_class(model_class.config_class(**TINY, **shape))


@functools.cache
def digest_of_published(name: str, seed: int = 0) -> str:
    """Return the digest of the network's weights, without those of pre-training."""
    network = published_network(name, seed)
    return weights_digest(getattr(network, network.base_model_prefix, network))


@functools.cache
def _published_tensors(name: str, seed: int = 0) -> tuple[dict[str, torch.Tensor], dict[str, bytes]]:
    class_name, _, normalize = PUBLISHED[name]
    network = published_network(name, seed)
    tensors = {}
    for key, tensor in network.state_dict().items():
        for new, old in NEW_NAMES.items():
            key = key.replace(new, old)
        if not (key.endswith("masked_spec_embed") and name in NO_MASK_EMBEDDING):
            tensors[key] = tensor.detach().clone()
    config = network.config.to_dict() | {"architectures": [class_name]}
    preprocessor = {"do_normalize": normalize, "feature_extractor_type": "Wav2Vec2FeatureExtractor"}
    return tensors, {"config.json": _json(config), "preprocessor_config.json": _json(preprocessor)}


def published_tensors(name: str, seed: int = 0) -> tuple[dict[str, torch.Tensor], dict[str, bytes]]:
    """Return a tiny model's weights under the published key names, and the files beside them."""
    tensors, files = _published_tensors(name, seed)
    return dict(tensors), dict(files)


def pickled(content: Any, legacy: bool = False) -> bytes:
    """Return what torch.save writes."""
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def published_files(name: str, weights: str = "bin", seed: int = 0) -> dict[str, bytes]:
    """Return the files of a repository: with weights as "bin", "legacy", "safetensors", or sharded as "...-shards"."""
    tensors, files = published_tensors(name, seed)
    kind, _, is_sharded = weights.partition("-")
    suffix, stem = (".safetensors", "model") if kind == "safetensors" else (".bin", "pytorch_model")

    def save(part: dict[str, torch.Tensor]) -> bytes:
        return save_safetensors(part, {"format": "pt"}) if kind == "safetensors" else pickled(part, kind == "legacy")

    if not is_sharded:
        return {**files, f"{stem}{suffix}": save(tensors)}
    names = sorted(tensors)
    parts = {f"{stem}-0000{1 + rest}-of-00002{suffix}": names[rest::2] for rest in (0, 1)}
    index = {"metadata": {}, "weight_map": {key: file for file, keys in parts.items() for key in keys}}
    shards = {file: save({key: tensors[key] for key in keys}) for file, keys in parts.items()}
    return {**files, **shards, f"{stem}{suffix}.index.json": _json(index)}


def write_files(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def _json(document: Any) -> bytes:
    return json.dumps(document).encode()
