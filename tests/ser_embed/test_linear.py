"""Packed linear layers against torch's own."""

from pathlib import Path

import pytest
import torch
import transformers

from ser_embed.encoders.attention import fuse
from ser_embed.encoders.linear import PackedLinear, can_pack, pack


@pytest.mark.skipif(not can_pack("cpu", torch.float32), reason="this torch cannot pack weights")
@pytest.mark.parametrize("gelu", [False, True])
@pytest.mark.parametrize("rows", [1, 7, 300])
def test_numbers_are_those_of_the_plain_layer(gelu: bool, rows: int) -> None:
    torch.manual_seed(0)
    plain = torch.nn.Linear(40, 24).requires_grad_(False)
    given = torch.randn(2, rows, 40)
    wanted = torch.nn.functional.gelu(plain(given)) if gelu else plain(given)
    with torch.inference_mode():
        assert torch.allclose(PackedLinear(plain, gelu)(given), wanted, atol=2e-6)


@pytest.mark.skipif(not can_pack("cpu", torch.float32), reason="this torch cannot pack weights")
@pytest.mark.parametrize("activation", ["gelu", "relu", "gelu_new"])
def test_a_block_keeps_its_numbers_whatever_its_activation(models: dict[str, Path], activation: str) -> None:
    torch.manual_seed(0)
    config = transformers.HubertConfig.from_pretrained(models["hubert-base"], hidden_act=activation)
    block = transformers.HubertModel(config).eval().requires_grad_(False).encoder.layers[0]
    given = torch.randn(2, 9, 32)
    with torch.inference_mode():
        wanted = block(given)
        fuse(block.attention)
        pack(block)
        assert torch.allclose(block(given), wanted, atol=2e-6)


def test_other_devices_and_types_are_left_alone() -> None:
    assert not can_pack("cuda:0", torch.bfloat16)
    assert not can_pack("cpu", torch.float16)
