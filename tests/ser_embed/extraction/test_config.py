"""Configuration of an extraction: types of its values."""

from pathlib import Path

import numpy as np
import pytest

import ser_embed
from ser_embed.encoders.training_clips import TRAINING_CLIPS_FILE
from ser_embed.errors import InputError
from ser_embed.extraction.config import ExtractConfig


@pytest.mark.parametrize(
    ("layers", "stored"), [(2, ("2",)), ([0, "2"], ("0", "2")), (np.arange(2), ("0", "1")), (("last",), ("final",))]
)
def test_layers_may_be_numbers(
    data: Path, tmp_path: Path, models: dict[str, Path], layers: object, stored: tuple[str, ...]
) -> None:
    model = str(models["hubert-large"])
    assert ser_embed.extract(model, data=data, store=tmp_path / "s.h5", layers=layers, limit=1).spec.layers == stored


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"limit": "5"}, "--limit has to be a whole number, not '5'"),
        ({"chunk": 2.5}, r"--chunk has to be a whole number, not 2\.5"),
        ({"chunk": None}, "--chunk has to be a whole number, not None"),
        ({"batch_seconds": "8"}, "--batch-seconds has to be a number, not '8'"),
        ({"trim_db": [30]}, r"--trim-db has to be a number, not \[30\]"),
        ({"layers": None}, "layers have to be all, last or among features, not 'None'"),
    ],
)
def test_a_value_of_the_wrong_type_is_bad_input(data: Path, tmp_path: Path, fields: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ser_embed.extract("mfcc", data=data, store=tmp_path / "s.h5", **fields)
    assert not (tmp_path / "s.h5").exists()


def test_the_store_of_a_tuned_model_is_named_after_its_run(tmp_path: Path) -> None:
    folder = tmp_path / "emodb" / "fold_2" / "model"
    folder.mkdir(parents=True)
    assert ExtractConfig(model=str(folder)).store_path == Path("embeddings/model.h5")
    (folder / TRAINING_CLIPS_FILE).touch()
    assert ExtractConfig(model=str(folder)).store_path == Path("embeddings/emodb-fold_2.h5")
