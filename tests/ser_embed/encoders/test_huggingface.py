"""Hugging Face models: loading from a folder, and models that cannot be loaded."""

from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from ser_embed.encoders.base import EncoderOptions
from ser_embed.encoders.registry import load_encoder
from ser_embed.errors import InputError

FLOAT32 = EncoderOptions(dtype="float32")


def test_the_digest_depends_on_the_weights_and_not_on_the_folder(models: dict[str, Path], tmp_path: Path) -> None:
    spec = load_encoder(str(models["hubert-base"]), FLOAT32).spec
    network = transformers.AutoModel.from_pretrained(models["hubert-base"])
    network.save_pretrained(tmp_path / "copy", max_shard_size="20KB")
    assert load_encoder(str(tmp_path / "copy"), FLOAT32).spec.differences(spec) == {}
    with torch.no_grad():
        network.encoder.layers[0].layer_norm.bias[0] += 1e-3
    network.save_pretrained(tmp_path / "changed")
    assert "digest" in load_encoder(str(tmp_path / "changed"), FLOAT32).spec.differences(spec)


def test_the_preprocessor_config_of_a_folder_is_used(models: dict[str, Path], tmp_path: Path) -> None:
    network = transformers.AutoModel.from_pretrained(models["hubert-large"])
    network.save_pretrained(tmp_path)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=False).save_pretrained(tmp_path)
    assert load_encoder(str(tmp_path), FLOAT32).spec.normalization == "none"
    (tmp_path / "preprocessor_config.json").write_text("{}")
    with pytest.raises(InputError, match="do_normalize"):
        load_encoder(str(tmp_path), FLOAT32)


def test_a_model_that_cannot_be_loaded_gives_one_line(
    models: dict[str, Path], tmp_path: Path, caches: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="unknown model 'hubert-huge'; expected one of hubert-mini, hubert-base"):
        load_encoder("hubert-huge")
    with pytest.raises(InputError, match="not in the local cache and the Hub cannot be reached"):
        load_encoder("nobody/nothing-of-this-name")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no usable model in"):
        load_encoder(str(tmp_path / "empty"))
    transformers.BertConfig().save_pretrained(tmp_path)
    with pytest.raises(InputError, match="families hubert, wav2vec2, wavlm, but .* is bert"):
        load_encoder(str(tmp_path))
    transformers.AutoConfig.from_pretrained(models["hubert-base"]).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="no usable model in"):
        load_encoder(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(InputError, match="no usable model in .*header"):
        load_encoder(str(tmp_path))
    (tmp_path / "file.bin").write_bytes(b"")
    with pytest.raises(InputError, match="is a file"):
        load_encoder(str(tmp_path / "file.bin"))


def test_incomplete_weights_are_refused(models: dict[str, Path], tmp_path: Path) -> None:
    weights = load_file(models["hubert-base"] / "model.safetensors")
    weights.pop("encoder.layers.1.attention.k_proj.weight")
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "config.json").write_bytes((models["hubert-base"] / "config.json").read_bytes())
    with pytest.raises(InputError, match="incomplete: 1 missing, first encoder.layers.1.attention.k_proj.weight"):
        load_encoder(str(tmp_path))
