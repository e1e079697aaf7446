"""Shipping of a run: a small copy that scores as the run does, signed, without paths of the machine."""

import json
from pathlib import Path

import numpy as np
import pytest

import ser_head
from ser_embed.errors import InputError
from ser_embed.store.reader import Store
from ser_head.runs.run import Run
from ser_head.runs.shipping import ship_run
from tests.ser_head.conftest import Recipe, write_store

SETTINGS = {"head": "lda", "personalized": "normalize", "protocol": "kfold:3"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("store") / "tiny.h5", Recipe(voice=1.0))


@pytest.fixture(scope="module")
def run(store: Path) -> Path:
    return ser_head.train(store=store, refit="whole", out=store.parent / "run", **SETTINGS).run


def test_the_copy_has_only_what_scores_and_explains(run: Path, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("a model card")
    written = ship_run(run, tmp_path)
    assert sorted(path.name for path in written) == ["fold.npz", "head.skops", "metrics.json", "run.json"]
    assert sorted(tmp_path.iterdir()) == sorted([*written, tmp_path / "README.md"])
    assert str(run.parent) not in (tmp_path / "run.json").read_text()
    about = json.loads((tmp_path / "run.json").read_text())
    assert set(about["digests"]) == {"fold.npz", "head.skops", "metrics.json"}


def test_the_copy_answers_as_the_run_does(run: Path, store: Path, tmp_path: Path) -> None:
    ship_run(run, tmp_path)
    original, copy = Run.load(run), Run.load(tmp_path)
    with Store(store) as opened:
        vectors = opened.read(range(20))
    unlike = np.concatenate([vectors, 3 * vectors])
    enrolled = {"new": vectors[10:]}
    for speakers in (None, ["new"] * len(unlike)):
        answers = (loaded.probabilities(unlike, speakers, enrolled=enrolled) for loaded in (original, copy))
        np.testing.assert_array_equal(*answers)
    np.testing.assert_allclose(copy.ood_score(unlike), original.ood_score(unlike), rtol=1e-2)
    assert copy.file("metrics.json").read_bytes() == original.file("metrics.json").read_bytes()


def test_an_edited_copy_is_refused(run: Path, tmp_path: Path) -> None:
    ship_run(run, tmp_path)
    (tmp_path / "metrics.json").write_text("{}")
    with pytest.raises(InputError, match=r"metrics\.json is not what its digest"):
        Run.load(tmp_path).file("metrics.json")


def test_a_run_of_several_heads_is_refused(store: Path, tmp_path: Path) -> None:
    several = ser_head.train(store=store, out=tmp_path / "several", **SETTINGS).run
    with pytest.raises(InputError, match="expected a run with one head, as --refit whole trains"):
        ship_run(several, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
