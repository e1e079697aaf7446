"""Transformer blocks, compared with those of transformers."""

from pathlib import Path

import pytest
import torch
import transformers

from ser_embed.encoders.kernels.block import Block
from ser_embed.encoders.kernels.ragged import EQUAL_LENGTH, SIMILAR_LENGTH, group_clips


@pytest.mark.parametrize("activation", ["gelu", "relu", "gelu_new"])
@pytest.mark.parametrize("name", ["hubert-base", "hubert-large"])
@pytest.mark.parametrize("min_length_ratio", [EQUAL_LENGTH, SIMILAR_LENGTH, 0.0])
@pytest.mark.usefixtures("linear_kind")
def test_a_block_equals_that_of_transformers(
    models: dict[str, Path], name: str, activation: str, min_length_ratio: float
) -> None:
    torch.manual_seed(0)
    config = transformers.HubertConfig.from_pretrained(models[name], hidden_act=activation, adapter_attn_dim=8)
    block = transformers.HubertModel(config).eval().requires_grad_(False).encoder.layers[0]
    clips = [torch.randn(count, 32) for count in (9, 9, 7, 2)]
    groups = group_clips([len(clip) for clip in clips], min_length_ratio, "cpu")
    with torch.inference_mode():
        expected = torch.cat([block(clip[None])[0] for clip in clips])
        output = Block(block, config.do_stable_layer_norm)(torch.cat(clips), groups, None)
        assert torch.allclose(output, expected, atol=2e-6)
