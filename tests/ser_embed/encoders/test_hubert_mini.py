"""Shipped encoder hubert-mini: its size, its spec and its model card."""

import re
from pathlib import Path

import numpy as np
import transformers
from safetensors import safe_open

from ser_embed.encoders.base import EncoderOptions
from ser_embed.encoders.registry import SHIPPED, load_encoder
from tests.ser_embed.conftest import tone

FOLDER = SHIPPED["hubert-mini"]


def test_it_is_small_and_in_half_precision() -> None:
    weights = FOLDER / "model.safetensors"
    assert weights.stat().st_size <= 10_000_000
    with safe_open(weights, "np") as file:
        assert {file.get_slice(name).get_dtype() for name in file.keys()} == {"F16"}  # noqa: SIM118


def test_it_is_known_by_name_and_pools_mean_and_deviation() -> None:
    encoder = load_encoder("hubert-mini", EncoderOptions(dtype="float32"))
    assert (encoder.spec.model, encoder.spec.pooling, encoder.spec.width) == ("hubert-mini", "mean+std", 512)
    assert encoder.spec.layers == ("0", "1", "2", "3", "4", "5", "6", "final")
    means = load_encoder("hubert-mini", EncoderOptions(pooling="mean", dtype="float32"))
    np.testing.assert_allclose(encoder.encode([tone(9_000)])()[0][:, :256], means.encode([tone(9_000)])()[0], atol=1e-5)


def test_a_copy_of_it_elsewhere_is_the_same_encoder(tmp_path: Path) -> None:
    transformers.HubertModel.from_pretrained(FOLDER, dtype="float32").save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text((FOLDER / "preprocessor_config.json").read_text())
    options = EncoderOptions(pooling="mean+std", dtype="float32")
    assert not load_encoder("hubert-mini", options).spec.differences(load_encoder(str(tmp_path), options).spec)


def test_its_card_describes_data_recipe_and_scores() -> None:
    card = (FOLDER / "README.md").read_text("utf-8")
    for text in ("## Data", "## Recipe", "## Figures", "speechocean762", "LibriSpeech", "EmoGator", "make hubert-mini"):
        assert text in card
    assert "@" not in card  # a placeholder that was not filled in
    assert re.search(r"`hubert-mini`, all layers \| 0\.\d{3} \(0\.\d{3} to 0\.\d{3}\)", card)
