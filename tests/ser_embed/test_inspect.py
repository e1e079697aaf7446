import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import soundfile

import ser_embed
from ser_embed.inspect import main
from ser_embed.store.seal import SEAL_BYTES
from tests.ser_embed.conftest import tone


@pytest.fixture
def store(data: Path, tmp_path: Path) -> Path:
    return ser_embed.extract("mfcc", data=data, store=tmp_path / "s.h5", limit=6).store


def test_a_store_is_described(store: Path, capsys: pytest.CaptureFixture) -> None:
    assert main([str(store)]) == 0
    text = capsys.readouterr().out
    assert "6 clips" in text
    assert "tones 6" in text
    assert main([str(store), "--json", "--verify"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["shape"] == [6, 1, 248]
    assert document["emotions"] == {"angry": 2, "happy": 2, "sad": 2}
    assert document["disagreements"] == []


def flip(name: str) -> Callable[[h5py.File, Path], None]:
    def change(file: h5py.File, _: Path) -> None:
        values = file[name][:]
        values.reshape(-1)[3] += 1
        file[name][...] = values

    return change


def poison(file: h5py.File, _: Path) -> None:
    file["vectors"][2, 0, 5] = np.nan


def rename(file: h5py.File, _: Path) -> None:
    file["utterances/utterance_id"][1] = "tones/000"


def repeat(file: h5py.File, data: Path) -> None:
    """Name two clips alike, as other software might, which writes no seal."""
    rename(file, data)
    file.close()
    path = data.parent / "s.h5"
    path.write_bytes(path.read_bytes()[SEAL_BYTES:])


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (flip("vectors"), "tones/000: its vectors are not those that were written (checksum)"),
        (poison, "tones/002: its vectors hold NaN or infinity"),
        (repeat, "tones/000: is in the store more than once"),
        (lambda _, data: (data / "tones/004.wav").unlink(), "004.wav is missing"),
        (lambda _, data: soundfile.write(data / "tones/005.wav", tone(4_000), 16_000), "005.wav has changed"),
    ],
)
def test_every_disagreement_is_named(
    store: Path, data: Path, capsys: pytest.CaptureFixture, change: Callable, expected: str
) -> None:
    with h5py.File(store, "r+") as file:
        change(file, data)
    assert main([str(store), "--verify"]) == 1
    assert expected in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (flip("checksums"), "not as it was written (checksum)"),
        (rename, "not as it was written (checksum)"),
        (lambda file, _: file["vectors"].resize(5, axis=0), "not as it was written (checksum)"),
    ],
)
def test_damaged_tables_are_one_line(
    store: Path, data: Path, capsys: pytest.CaptureFixture, change: Callable, expected: str
) -> None:
    with h5py.File(store, "r+") as file:
        change(file, data)
    assert main([str(store), "--verify"]) == 2
    assert expected in capsys.readouterr().err


def test_the_clips_may_have_moved(store: Path, data: Path) -> None:
    data.rename(data.with_name("elsewhere"))
    assert len(ser_embed.inspect(store, verify=True)["disagreements"]) == 6
    assert ser_embed.inspect(store, verify=True, data=data.with_name("elsewhere"))["disagreements"] == []


def test_what_is_no_store_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main([str(tmp_path / "none.h5")]) == 2
    assert capsys.readouterr().err.startswith("error: no store at")
