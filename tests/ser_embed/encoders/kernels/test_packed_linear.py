"""Packed linear layers, compared with torch's."""

import pytest
import torch

from ser_embed.encoders.kernels.packed_linear import can_pack, make_linear


@pytest.mark.parametrize("gelu", [False, True])
@pytest.mark.parametrize("rows", [1, 7, 300])
@pytest.mark.usefixtures("linear_kind")
def test_output_equals_that_of_the_plain_layer(gelu: bool, rows: int) -> None:
    torch.manual_seed(0)
    plain = torch.nn.Linear(40, 24).requires_grad_(False)
    inputs = torch.randn(rows, 40)
    expected = torch.nn.functional.gelu(plain(inputs)) if gelu else plain(inputs)
    with torch.inference_mode():
        assert torch.allclose(make_linear(plain.weight, plain.bias, gelu)(inputs), expected, atol=2e-6)


@pytest.mark.parametrize(("width", "step"), [(10, 5), (48, 32), (1536, 1024), (7, 1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.usefixtures("linear_kind")
def test_rows_may_overlap(width: int, step: int, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    samples, weight = torch.randn(3 + 98 * step + width).to(dtype), torch.randn(16, width).to(dtype)
    windows = samples.as_strided((99, width), (step, 1), 3)
    expected = windows.double() @ weight.double().T
    with torch.inference_mode():
        output = make_linear(weight, None)(windows).double()
    assert (output - expected).norm() / expected.norm() < (1e-6 if dtype == torch.float32 else 4e-3)


def test_weights_of_other_devices_and_types_are_not_packed() -> None:
    assert not can_pack("cuda:0", torch.bfloat16)
    assert not can_pack("cpu", torch.float16)
