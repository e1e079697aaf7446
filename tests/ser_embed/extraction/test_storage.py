"""Stores of half precision: half the size, the rounded vectors, one precision in a store."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

import ser_embed
from ser_embed.encoders.base import EncoderOptions
from ser_embed.encoders.embedder import Embedder
from ser_embed.encoders.rounding import with_storage
from ser_embed.errors import InputError
from ser_embed.extraction import pipeline
from ser_embed.store.reader import Store
from tests.ser_embed.extraction.conftest import NUM_CLIPS, Killed, killed_after, stub_encoder


@pytest.mark.parametrize("pooling", ["mean", "frames"])
def test_vectors_are_those_of_float32_rounded(
    data: Path, tmp_path: Path, models: dict[str, Path], pooling: str
) -> None:
    options = {"data": data, "limit": 7, "pooling": pooling}
    for storage in ("float32", "float16"):
        ser_embed.extract(
            str(models["hubert-base"]), store=tmp_path / f"{storage}.h5", storage=storage, chunk=3, **options
        )
    with Store(tmp_path / "float32.h5") as whole, Store(tmp_path / "float16.h5") as half:
        assert (whole.vectors.dtype, half.vectors.dtype) == (np.float32, np.float16)
        assert half.vectors.nbytes * 2 == whole.vectors.nbytes
        assert "storage" not in whole.spec.to_json()
        for row in range(7):
            expected = whole.read_clip(row).astype(np.float16).astype(np.float32)
            vectors = half.read_clip(row)
            assert vectors.dtype == np.float32
            np.testing.assert_array_equal(vectors, expected)
        if pooling == "mean":
            rows, layers = [5, 0, 1, 5], [2, 0]
            expected = whole.read(rows, layers).astype(np.float16).astype(np.float32)
            np.testing.assert_array_equal(half.read(rows, layers), expected)
            np.testing.assert_array_equal(half.read(range(7)), whole.read(range(7)).astype(np.float16))
    assert ser_embed.inspect(tmp_path / "float16.h5", verify=True)["disagreements"] == []


def test_damage_is_noticed(data: Path, tmp_path: Path) -> None:
    path = ser_embed.extract("mfcc", data=data, store=tmp_path / "s.h5", storage="float16").store
    with h5py.File(path, "r+") as file:
        file["vectors"][4, 0, 1] += 1
    with Store(path) as store, pytest.raises(InputError, match=r"tones/004 are not those that were written"):
        store.read(range(NUM_CLIPS))


def test_a_store_never_mixes_precisions(data: Path, tmp_path: Path) -> None:
    path = ser_embed.extract("mfcc", data=data, store=tmp_path / "s.h5", storage="float16", limit=3).store
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"s\.h5 holds vectors with storage 'float16', not 'float32'"):
        ser_embed.extract("mfcc", data=data, store=path)
    assert path.read_bytes() == before
    assert ser_embed.extract("mfcc", data=data, store=path, storage="float16").extracted == NUM_CLIPS - 3
    assert ser_embed.extract("mfcc", data=data, store=path, storage="float16").extracted == 0
    assert ser_embed.extract("mfcc", data=data, store=path, force=True).extracted == NUM_CLIPS


def test_a_killed_run_gives_the_store_of_an_unbroken_one(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"data": data, "chunk": 5, "storage": "float16", "pooling": "frames"}
    ser_embed.extract("mfcc", store=tmp_path / "whole.h5", **options)
    with killed_after(2, monkeypatch), pytest.raises(Killed):
        ser_embed.extract("mfcc", store=tmp_path / "resumed.h5", **options)
    ser_embed.extract("mfcc", store=tmp_path / "resumed.h5", **options)
    assert (tmp_path / "resumed.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()


def test_the_embedder_of_a_spec_rounds_as_its_store_does(data: Path, tmp_path: Path) -> None:
    path = ser_embed.extract("mfcc", data=data, store=tmp_path / "s.h5", storage="float16", limit=3).store
    with Store(path) as store:
        embedder = Embedder.of(store.spec)
        vectors = embedder.embed_files([data / name for name in store.utterances["path"]])
        np.testing.assert_array_equal(vectors, store.read(range(3)))


def test_numbers_too_large_for_half_precision_are_listed(
    data: Path, extract: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(model: str, options: EncoderOptions) -> object:
        encoder = stub_encoder(options)
        fetch = encoder.encode
        monkeypatch.setattr(encoder, "encode", lambda clips: lambda: [10 * vectors for vectors in fetch(clips)()])
        return with_storage(encoder, options.storage)

    monkeypatch.setattr(pipeline, "load_encoder", load)  # ten times the number of samples, from 4 000 to 9 654
    report = extract(data, storage="float16")
    assert report.clips < NUM_CLIPS
    assert {clip["reason"] for clip in report.unreadable} == {"the encoder gave numbers that are not finite"}
    assert report.clips + len(report.unreadable) == NUM_CLIPS


def test_options_and_specs_of_another_precision_are_refused() -> None:
    with pytest.raises(InputError, match="storage has to be one of float32, float16, not 'int8'"):
        EncoderOptions(storage="int8")
    spec = stub_encoder().spec
    text = dataclasses.replace(spec, storage="float16").to_json()
    assert type(spec).from_json(text).storage == "float16"
    with pytest.raises(InputError, match="expected an embedding spec"):
        type(spec).from_json(text.replace("float16", "int8"))
    assert type(spec).from_json(spec.to_json()) == spec
