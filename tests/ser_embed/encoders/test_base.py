"""Encoder interface: options and the choice of layers."""

from pathlib import Path

import pytest

from ser_embed.encoders.base import EncoderOptions, choose_layers
from ser_embed.encoders.registry import load_encoder
from ser_embed.errors import InputError


def test_layers_are_chosen_in_the_models_order() -> None:
    assert choose_layers("6, 0,6", ["0", "6", "final"], "final") == ("0", "6")
    assert choose_layers("last", ["0", "6", "final"], "final") == ("final",)


def test_options_that_do_not_fit_are_refused(models: dict[str, Path]) -> None:
    model = str(models["hubert-base"])
    with pytest.raises(InputError, match="among 0, 1, 2, 3, not '9'"):
        load_encoder(model, EncoderOptions(layers="0,9"))
    with pytest.raises(InputError, match="pooling has to be one of"):
        EncoderOptions(pooling="max")
    with pytest.raises(InputError, match="dtype has to be one of"):
        EncoderOptions(dtype="int8")
    with pytest.raises(InputError, match="device has to be"):
        load_encoder(model, EncoderOptions(device="tpu"))
    with pytest.raises(InputError, match="not on this machine"):
        load_encoder(model, EncoderOptions(device="cuda:99"))
    with pytest.raises(InputError, match="mfcc runs on the cpu"):
        load_encoder("mfcc", EncoderOptions(device="cuda"))
    with pytest.raises(InputError, match="does not apply"):
        load_encoder("egemaps", EncoderOptions(pooling="frames"))
