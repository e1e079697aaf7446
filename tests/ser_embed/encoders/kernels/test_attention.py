"""Self-attention with keys and values padded to whole tiles."""

from pathlib import Path

import pytest
import torch
import transformers

from ser_embed.encoders.kernels.attention import TILE, Attention
from ser_embed.encoders.kernels.ragged import EQUAL_LENGTH, group_clips


@pytest.mark.parametrize("name", ["hubert-large", "wavlm-large"])
@pytest.mark.parametrize("min_length_ratio", [EQUAL_LENGTH, 0.0])
def test_attention_in_whole_tiles_is_unchanged(models: dict[str, Path], name: str, min_length_ratio: float) -> None:
    torch.manual_seed(0)
    model = transformers.AutoModel.from_pretrained(models[name]).eval().requires_grad_(False)
    counts = (70, 64, 33, 32, 3)
    groups, rows = group_clips(counts, min_length_ratio, "cpu"), torch.randn(sum(counts), model.config.hidden_size)
    attention = Attention(model.encoder.layers[0].attention)
    position_bias = torch.randn(attention._heads, 70, 70) if name == "wavlm-large" else None
    with torch.inference_mode():
        expected = attention(rows, groups, position_bias)
        attention._tile = TILE  # as in bfloat16
        assert torch.allclose(attention(rows, groups, position_bias), expected, atol=2e-6)
