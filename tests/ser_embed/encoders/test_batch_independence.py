"""Batch independence of a clip's vector, for models of published shapes and random weights (`make test-slow`)."""

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from ser_embed.encoders.base import Encoder, EncoderOptions
from ser_embed.encoders.registry import load_encoder
from tests.ser_embed.conftest import tone

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

LARGE = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "feat_extract_norm": "layer",
    "conv_bias": True,
    "do_stable_layer_norm": True,
}
SHAPES = {
    "hubert-base": ("Hubert", {}),
    "hubert-large": ("Hubert", LARGE),
    "wav2vec2-base": ("Wav2Vec2", {}),
    "wavlm-base": ("WavLM", {}),
}


def encode(encoder: Encoder, clips: list[np.ndarray], order: np.ndarray, size: int) -> np.ndarray:
    """Encode clips in batches of `size`, in `order`; return float32 (clips, layers, width) in the order of `clips`."""
    vectors: list[np.ndarray] = [np.empty(0)] * len(clips)
    for start in range(0, len(order), size):
        batch = order[start : start + size]
        for position, vector in zip(batch, encoder.encode([clips[i] for i in batch])(), strict=True):
            vectors[position] = vector
    return np.stack(vectors)


@pytest.mark.parametrize("name", SHAPES)
def test_sixty_four_clips_in_any_batch(name: str, tmp_path: Path) -> None:
    family, shape = SHAPES[name]
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**shape)
    getattr(transformers, f"{family}Model")(config).save_pretrained(tmp_path)
    encoder = load_encoder(str(tmp_path), EncoderOptions(dtype="float32"))
    rng = np.random.default_rng(0)
    clips = [tone(int(length), seed) for seed, length in enumerate(rng.integers(8_000, 192_000, 64))]
    alone = encode(encoder, clips, np.arange(64), 1)
    largest_difference = {}
    for description, order, size in (
        ("batches of 8", np.arange(64), 8),
        ("batches of 8 in another order", rng.permutation(64), 8),
        ("one batch", np.arange(64), 64),
    ):
        difference = np.linalg.norm(encode(encoder, clips, order, size) - alone, axis=-1)
        largest_difference[description] = float((difference / np.linalg.norm(alone, axis=-1)).max())
    print(name, {description: f"{value:.1e}" for description, value in largest_difference.items()})
    assert max(largest_difference.values()) <= 1e-5
