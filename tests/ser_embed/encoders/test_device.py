"""Devices: the seconds of audio in a batch."""

from pathlib import Path

import pytest

from ser_embed.encoders.base import EncoderOptions
from ser_embed.encoders.device import AMX_BATCH_S, CPU_BATCH_S
from ser_embed.encoders.registry import load_encoder


@pytest.mark.parametrize(
    ("amx", "dtype", "seconds"),
    [
        (True, "bfloat16", AMX_BATCH_S),
        (True, "float32", CPU_BATCH_S),
        (False, "bfloat16", CPU_BATCH_S),
        (True, "auto", AMX_BATCH_S),
        (False, "auto", CPU_BATCH_S),
    ],
)
def test_batches_are_larger_with_amx(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch, amx: bool, dtype: str, seconds: float
) -> None:
    monkeypatch.setattr("ser_embed.encoders.device.has_amx", lambda: amx)
    encoder = load_encoder(str(models["hubert-large"]), EncoderOptions(device="cpu", dtype=dtype))
    assert encoder.batch_seconds == seconds
