"""Embedding of new audio: files and waveforms, compared with a store."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

import ser_embed
from ser_embed.encoders.base import EncoderOptions
from ser_embed.encoders.embedder import Embedder
from ser_embed.errors import ClipError, InputError
from ser_embed.store.reader import Store
from tests.ser_embed.conftest import tone

FLOAT32 = EncoderOptions(dtype="float32")


def test_new_audio_gets_the_vectors_of_the_store(data: Path, models: dict[str, Path], tmp_path: Path) -> None:
    model = str(models["wav2vec2-large"])
    ser_embed.extract(model, data=data, store=tmp_path / "s.h5", dtype="float32", limit=5)
    with Store(tmp_path / "s.h5") as store:
        paths = [data / path for path in store.utterances["path"]]
        vectors = Embedder.of(store.spec).embed_files(paths)
        np.testing.assert_allclose(vectors, store.vectors[:], rtol=1e-5, atol=1e-6)


def test_files_and_waveforms_give_the_same_vectors(models: dict[str, Path], tmp_path: Path) -> None:
    model = str(models["hubert-base"])
    soundfile.write(tmp_path / "a.wav", tone(9_000), 16_000, subtype="FLOAT")
    from_file = ser_embed.embed([tmp_path / "a.wav"], model, FLOAT32)
    np.testing.assert_array_equal(from_file, ser_embed.embed([tone(9_000)], model, FLOAT32))
    assert from_file.shape == (1, 4, 32)


def test_unpooled_frames_are_one_array_per_clip(models: dict[str, Path]) -> None:
    options = EncoderOptions(pooling="frames", dtype="float32")
    frames = ser_embed.embed([tone(9_000), tone(4_000)], str(models["hubert-base"]), options)
    assert [clip.shape for clip in frames] == [(27, 4, 32), (12, 4, 32)]


def test_silent_waveforms_and_other_encoders_are_refused(models: dict[str, Path]) -> None:
    model = str(models["hubert-base"])
    with pytest.raises(ClipError, match="silent"):
        ser_embed.embed([np.zeros(8_000, np.float32)], model, FLOAT32)
    spec = Embedder(model, FLOAT32).spec
    with pytest.raises(InputError, match="the run holds vectors with model"):
        Embedder.of(spec, str(models["wav2vec2-base"]))
    with pytest.raises(InputError, match=r"the run needs vectors of .*hubert-base, and mfcc does not make them: "):
        Embedder.of(spec, "mfcc")
