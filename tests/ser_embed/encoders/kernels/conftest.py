"""Fixtures of the kernel tests."""

import pytest
import torch

from ser_embed.encoders.kernels import packed_linear


@pytest.fixture(params=["packed", "plain"])
def linear_kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a test with packed weights, and with plain ones as on other devices."""
    if request.param == "plain":
        monkeypatch.setattr(packed_linear, "can_pack", lambda device, dtype: False)
    elif not packed_linear.can_pack("cpu", torch.float32):
        pytest.skip("this torch cannot pack weights")
    return request.param
