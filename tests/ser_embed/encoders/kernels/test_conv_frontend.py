"""Convolutional front end, compared with transformers'."""

from pathlib import Path

import pytest
import torch
import transformers

from ser_embed.encoders.kernels.conv_frontend import ConvFrontend
from tests.ser_embed.conftest import tone

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("name", ["hubert-base", "hubert-large"])
@pytest.mark.parametrize("tile_frames", [1, 7, 10_000])
def test_the_front_end_equals_transformers_with_any_tiles(models: dict[str, Path], name: str, tile_frames: int) -> None:
    extractor = transformers.AutoModel.from_pretrained(models[name]).eval().feature_extractor
    waveform = torch.from_numpy(tone(12_345)) + 0.1  # an offset that group norm has to remove
    with torch.inference_mode():
        expected = extractor(waveform[None])[0].T
        frames = ConvFrontend(extractor, tile_frames)(waveform)
    torch.testing.assert_close(frames, expected, rtol=1e-5, atol=1e-5)
