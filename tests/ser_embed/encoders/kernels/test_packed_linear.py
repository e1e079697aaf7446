"""Packed linear layers, and the blocks made of them, against torch's and transformers' own."""

from pathlib import Path

import pytest
import torch
import transformers

from ser_embed.encoders.kernels import packed_linear as linear
from ser_embed.encoders.kernels.attention import TILE, Attention
from ser_embed.encoders.kernels.block import Block
from ser_embed.encoders.kernels.packed_linear import can_pack, make_linear
from ser_embed.encoders.kernels.ragged import EQUAL_LENGTH, SIMILAR_LENGTH, group_clips


@pytest.fixture(params=["packed", "plain"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run with packed weights, and as another device would."""
    if request.param == "plain":
        monkeypatch.setattr(linear, "can_pack", lambda device, dtype: False)
    elif not can_pack("cpu", torch.float32):
        pytest.skip("this torch cannot pack weights")
    return request.param


@pytest.mark.parametrize("gelu", [False, True])
@pytest.mark.parametrize("rows", [1, 7, 300])
@pytest.mark.usefixtures("kind")
def test_numbers_are_those_of_the_plain_layer(gelu: bool, rows: int) -> None:
    torch.manual_seed(0)
    plain = torch.nn.Linear(40, 24).requires_grad_(False)
    given = torch.randn(rows, 40)
    wanted = torch.nn.functional.gelu(plain(given)) if gelu else plain(given)
    with torch.inference_mode():
        assert torch.allclose(make_linear(plain.weight, plain.bias, gelu)(given), wanted, atol=2e-6)


@pytest.mark.parametrize(("width", "step"), [(10, 5), (48, 32), (1536, 1024), (7, 1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.usefixtures("kind")
def test_rows_may_overlap(width: int, step: int, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    samples, weight = torch.randn(3 + 98 * step + width).to(dtype), torch.randn(16, width).to(dtype)
    windows = samples.as_strided((99, width), (step, 1), 3)
    wanted = windows.double() @ weight.double().T
    with torch.inference_mode():
        found = make_linear(weight, None)(windows).double()
    assert (found - wanted).norm() / wanted.norm() < (1e-6 if dtype == torch.float32 else 4e-3)


@pytest.mark.parametrize("activation", ["gelu", "relu", "gelu_new"])
@pytest.mark.parametrize("name", ["hubert-base", "hubert-large"])
@pytest.mark.parametrize("alike", [EQUAL_LENGTH, SIMILAR_LENGTH, 0.0])
@pytest.mark.usefixtures("kind")
def test_a_block_keeps_its_numbers(models: dict[str, Path], name: str, activation: str, alike: float) -> None:
    torch.manual_seed(0)
    config = transformers.HubertConfig.from_pretrained(models[name], hidden_act=activation, adapter_attn_dim=8)
    block = transformers.HubertModel(config).eval().requires_grad_(False).encoder.layers[0]
    clips = [torch.randn(count, 32) for count in (9, 9, 7, 2)]
    groups = group_clips([len(clip) for clip in clips], alike, "cpu")
    with torch.inference_mode():
        wanted = torch.cat([block(clip[None])[0] for clip in clips])
        found = Block(block, config.do_stable_layer_norm)(torch.cat(clips), groups, None)
        assert torch.allclose(found, wanted, atol=2e-6)


@pytest.mark.parametrize("name", ["hubert-large", "wavlm-large"])
@pytest.mark.parametrize("alike", [EQUAL_LENGTH, 0.0])
def test_attention_in_whole_tiles_keeps_its_numbers(models: dict[str, Path], name: str, alike: float) -> None:
    torch.manual_seed(0)
    model = transformers.AutoModel.from_pretrained(models[name]).eval().requires_grad_(False)
    counts = (70, 64, 33, 32, 3)
    groups, rows = group_clips(counts, alike, "cpu"), torch.randn(sum(counts), model.config.hidden_size)
    attention = Attention(model.encoder.layers[0].attention)
    distances = torch.randn(attention._heads, 70, 70) if name == "wavlm-large" else None
    with torch.inference_mode():
        wanted = attention(rows, groups, distances)
        attention._tile = TILE  # as in bfloat16
        assert torch.allclose(attention(rows, groups, distances), wanted, atol=2e-6)


def test_other_devices_and_types_are_left_alone() -> None:
    assert not can_pack("cuda:0", torch.bfloat16)
    assert not can_pack("cpu", torch.float16)
