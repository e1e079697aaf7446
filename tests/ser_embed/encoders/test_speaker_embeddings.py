"""Speaker embeddings of a pre-trained model, from the model's folder into the store."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import ser_embed
from ser_embed.encoders.speaker_embeddings import SPEAKERS_FILE, stored_speakers
from ser_embed.store.reader import Store


def write_speakers(folder: Path, vectors: np.ndarray) -> None:
    names = [f"emodb/{index:02}" for index in range(len(vectors))]
    table = np.concatenate([np.zeros((1, vectors.shape[1]), np.float32), vectors.astype(np.float32)])
    save_file({"vectors": table}, folder / SPEAKERS_FILE, {"speakers": json.dumps(names)})


def test_e_s_moves_the_mean_of_the_output_alone(tmp_path: Path) -> None:
    write_speakers(tmp_path, np.arange(6.0).reshape(2, 3))
    additions = stored_speakers(tmp_path, ("0", "1", "final"), 6)
    assert list(additions) == ["emodb/00", "emodb/01"]
    np.testing.assert_array_equal(additions["emodb/01"], [[0] * 6, [0] * 6, [3, 4, 5, 0, 0, 0]])
    assert stored_speakers(tmp_path, ("0", "1"), 6) == {}
    assert stored_speakers(tmp_path / "hub/id", ("final",), 6) == {}


@pytest.mark.parametrize("pooling", ["mean", "mean+std"])
def test_a_store_takes_new_speakers_without_encoding_again(
    data: Path, models: dict[str, Path], tmp_path: Path, pooling: str
) -> None:
    folder, store = shutil.copytree(models["hubert-large"], tmp_path / "papt"), tmp_path / "s.h5"
    arguments = {"data": data, "store": store, "pooling": pooling}
    ser_embed.extract(str(folder), **arguments)
    width = json.loads((folder / "config.json").read_text())["hidden_size"]
    with Store(store) as stored:
        assert stored.speaker_vectors == {}
        vectors = stored.read(range(len(stored)))
    for shift in (1.0, 2.0):
        write_speakers(folder, np.full((3, width), shift))
        report = ser_embed.extract(str(folder), **arguments)
        assert (report.extracted, report.unchanged) == (0, len(vectors))
        with Store(store) as stored:
            assert list(stored.speaker_vectors) == ["emodb/00", "emodb/01", "emodb/02"]
            vector = stored.speaker_vectors["emodb/02"]
            assert vector[-1, :width].tolist() == [shift] * width
            assert not vector[:-1].any()
            assert not vector[-1, width:].any()
            np.testing.assert_array_equal(stored.read(range(len(stored))), vectors)
