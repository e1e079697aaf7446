"""Pickled checkpoints: published key names in every format, conversion in the cache, files that are refused."""

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ser_embed.encoders.base import EncoderOptions
from ser_embed.encoders.hub.checkpoints import SAFETENSORS, as_safetensors, cache_folder
from ser_embed.encoders.registry import load_encoder
from ser_embed.errors import InputError
from tests.ser_embed.conftest import tone
from tests.ser_embed.published import (
    PUBLISHED,
    digest_of_published,
    pickled,
    published_files,
    published_tensors,
    write_files,
)

FLOAT32 = EncoderOptions(dtype="float32")
PICKLED = "pytorch_model.bin"


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_published_key_names_load_exactly_in_both_formats(
    name: str, caches: Path, tmp_path: Path, one_thread: None
) -> None:
    encoders = [
        load_encoder(str(write_files(tmp_path / weights, published_files(name, weights))), FLOAT32)
        for weights in ("safetensors", "bin")
    ]
    for encoder in encoders:
        assert encoder.spec.digest == digest_of_published(name)
        assert encoder.spec.normalization == ("zero-mean-unit-variance" if PUBLISHED[name][2] else "none")
    from_safetensors, from_pickle = (encoder.encode([tone(8_000)])()[0] for encoder in encoders)
    np.testing.assert_array_equal(from_pickle, from_safetensors)


@pytest.mark.parametrize("weights", ["legacy", "bin-shards", "legacy-shards", "safetensors-shards"])
def test_old_and_sharded_files_load_exactly(weights: str, caches: Path, tmp_path: Path, one_thread: None) -> None:
    folder = write_files(tmp_path, published_files("wav2vec2-base", weights))
    assert load_encoder(str(folder), FLOAT32).spec.digest == digest_of_published("wav2vec2-base")


def test_a_folder_with_a_pickled_checkpoint_is_converted_once_and_left_as_it_is(caches: Path, tmp_path: Path) -> None:
    folder = write_files(tmp_path / "model", published_files("hubert-base"))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    folder.chmod(0o500)
    load_encoder(str(folder), FLOAT32)
    (converted,) = caches.glob(f"own/converted/*/{SAFETENSORS}")
    assert converted.parent.name == hashlib.sha256(before[PICKLED]).hexdigest()
    written = converted.stat()
    load_encoder(str(folder), FLOAT32)
    assert converted.stat() == written
    folder.chmod(0o700)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    write_files(folder, published_files("hubert-base", seed=1))  # the same name, other weights
    assert load_encoder(str(folder), FLOAT32).spec.digest == digest_of_published("hubert-base", seed=1)


@pytest.mark.parametrize("damage", ["changed", "truncated", "removed", "no digest"])
def test_a_damaged_conversion_is_made_again(damage: str, caches: Path, tmp_path: Path) -> None:
    checkpoint = write_files(tmp_path, published_files("wavlm-large")) / PICKLED
    converted = as_safetensors([checkpoint]) / SAFETENSORS
    content = converted.read_bytes()
    if damage == "changed":
        converted.write_bytes(content[:-3] + b"abc")
    elif damage == "truncated":
        converted.write_bytes(content[:-100])
    elif damage == "removed":
        converted.unlink()
    else:
        (converted.parent / "digest").unlink()
    assert as_safetensors([checkpoint]) == converted.parent
    assert converted.read_bytes() == content


def test_tensors_keep_their_values_types_and_ties(caches: Path, tmp_path: Path) -> None:
    table = torch.arange(12.0).reshape(3, 4)
    tensors = {
        "tied": table,
        "tied too": table,
        "transposed": table.T,
        "part": table[1],
        "half": table.half(),
        "brain": table.bfloat16(),
        "parameter": torch.nn.Parameter(table + 1),
        "whole": torch.tensor([3]),
        "empty": torch.zeros(0),
        "scalar": torch.tensor(2.5),
    }
    for legacy in (False, True):
        write_files(tmp_path, {PICKLED: pickled(tensors, legacy)})
        converted = load_file(as_safetensors([tmp_path / PICKLED]) / SAFETENSORS)
        assert converted.keys() == tensors.keys()
        for name, tensor in tensors.items():
            assert converted[name].dtype == tensor.dtype
            assert torch.equal(converted[name], tensor), name


class Harmful:
    """Runs a command when it is unpickled without care."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        return os.system, (self.command,)


@pytest.mark.parametrize("legacy", [False, True])
def test_code_in_a_checkpoint_does_not_run(legacy: bool, caches: Path, tmp_path: Path) -> None:
    trace = tmp_path / "it ran"
    files = published_files("hubert-base") | {PICKLED: pickled({"weight": Harmful(f"touch '{trace}'")}, legacy)}
    folder = write_files(tmp_path / "model", files)
    with pytest.raises(InputError, match=r"pytorch_model\.bin holds more than tensors \(\w+\.system\)") as raised:
        load_encoder(str(folder))
    assert "\n" not in str(raised.value)
    assert not trace.exists()
    assert not list(caches.rglob(SAFETENSORS))
    torch.load(folder / PICKLED, weights_only=False)
    assert trace.exists()  # so it would have run


def test_a_checkpoint_that_cannot_be_read_is_one_line(caches: Path, tmp_path: Path) -> None:
    files = published_files("hubert-base")
    legacy = published_files("hubert-base", "legacy")[PICKLED]
    for content, expected in [
        (files[PICKLED][:-1_000], "is damaged or is no checkpoint of torch"),
        (files[PICKLED][: len(files[PICKLED]) // 2], "is damaged or is no checkpoint of torch"),
        (legacy[: len(legacy) // 2], "is damaged or is no checkpoint of torch"),
        (b"", "is damaged or is no checkpoint of torch"),
        (b"<html>Not found</html>", "is damaged or is no checkpoint of torch"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "run `git lfs pull`"),
        (pickled([torch.ones(2)]), "expected dense tensors by name"),
        (pickled({"model": {"weight": torch.ones(2)}}), "expected dense tensors by name"),
        (pickled({}), "expected dense tensors by name"),
        (pickled({"sparse": torch.eye(3).to_sparse()}), "expected dense tensors by name"),
    ]:
        folder = write_files(tmp_path / "model", files | {PICKLED: content})
        with pytest.raises(InputError, match=expected) as raised:
            load_encoder(str(folder))
        assert PICKLED in str(raised.value)
        assert "\n" not in str(raised.value)
    assert not list(caches.rglob(SAFETENSORS))


def test_incomplete_weights_of_a_checkpoint_are_refused(caches: Path, tmp_path: Path) -> None:
    tensors, files = published_tensors("hubert-large")
    del tensors["encoder.layers.1.attention.k_proj.weight"]
    folder = write_files(tmp_path / "model", files | {PICKLED: pickled(tensors)})
    with pytest.raises(InputError, match="incomplete: 1 missing, first encoder.layers.1.attention.k_proj.weight"):
        load_encoder(str(folder))


def test_the_index_of_shards_cannot_lead_out_of_the_folder(caches: Path, tmp_path: Path) -> None:
    files = published_files("hubert-base", "bin-shards")
    folder = write_files(tmp_path / "model", files)
    index = folder / "pytorch_model.bin.index.json"
    for text, expected in [
        ('{"weight_map": {"a": "../../outside.bin"}}', r"expected names of files in .*, found '\.\./\.\./outside"),
        ('{"weight_map": {"a": 3}}', "expected names of files"),
        ('{"weight_map": []}', "expected a weight_map"),
        ("{", "expected a weight_map"),
    ]:
        index.write_text(text)
        with pytest.raises(InputError, match=expected):
            load_encoder(str(folder))
    index.write_bytes(files[index.name])
    (folder / "pytorch_model-00002-of-00002.bin").unlink()
    with pytest.raises(InputError, match="cannot read .*pytorch_model-00002-of-00002.bin"):
        load_encoder(str(folder))


def test_a_cache_that_cannot_be_written_to_is_one_line(
    caches: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = write_files(tmp_path / "model", published_files("hubert-base")) / PICKLED
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SER_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match="cannot write in .*file"):
        as_safetensors([checkpoint])
    monkeypatch.setenv("SER_CACHE", str(caches))
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1_000})())
    with pytest.raises(InputError, match="cannot write 0 MB to .*, which has 0 MB left"):
        as_safetensors([checkpoint])


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SER_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "twostage-ser"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "twostage-ser"
    monkeypatch.setenv("SER_CACHE", "~/elsewhere")
    assert cache_folder() == tmp_path / "elsewhere"
