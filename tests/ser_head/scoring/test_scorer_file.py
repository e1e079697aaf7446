"""File of a scorer: what does not fit its run's classes, layers and speakers is refused before it is used."""

import numpy as np
import pytest

from ser_embed.errors import InputError
from ser_head.data.scaling import Alignment, CorpusScaling
from ser_head.personalization.output_adaptation import OutputCalibration
from ser_head.personalization.personalizer import Personalizer
from ser_head.personalization.speakers import TrainingSpeakers
from ser_head.scoring.ood import KnnOodDetector
from ser_head.scoring.scorer import Scorer
from ser_head.scoring.scorer_file import ScorerShape, load_scorer, save_scorer

SHAPE = ScorerShape(layers=2, width=4, outputs=3)
VECTOR = (2, 4)


@pytest.fixture
def saved(tmp_path):
    """Return the file of a scorer with all arrays that there can be, and its entry in run.json."""
    random = np.random.default_rng(0)

    def positive(*shape):
        return random.uniform(1, 2, shape)

    turn = random.normal(size=(2, 4, 4)).astype(np.float32)
    corpora = {"demo": CorpusScaling(positive(*VECTOR), positive(*VECTOR), 9, False, turn)}
    speakers = TrainingSpeakers(
        ("a", "b"),
        positive(2, *VECTOR).astype(np.float32),
        positive(2, *VECTOR).astype(np.float32),
        np.ones((2, 3), np.int64),
        np.zeros((2, 2)),
    )
    scorer = Scorer(
        lambda inputs: inputs[0],
        Alignment(positive(*VECTOR), positive(*VECTOR), corpora),
        Personalizer(("papt",), speakers, 0, {"a": np.zeros(VECTOR, np.float32)}),
        OutputCalibration((1.5,), np.full(3, 1 / 3)),
        KnnOodDetector(positive(5, 4).astype(np.float32), 1.0),
    )
    path = tmp_path / "fold.npz"
    return path, save_scorer(scorer, path)


def load(path, fold, shape=SHAPE):
    return load_scorer(path, fold, shape, ("papt",), lambda inputs: inputs[0])


def names():
    scalings = ["mean", "variance", "mean@demo", "variance@demo", "turn@demo"]
    speakers = ["voice_means", "voice_variances", "voice_counts", "voice_numbers", "pretrained"]
    return [*scalings, *speakers, "prior", "familiarity_examples", "familiarity_threshold"]


def edited(path, name, change):
    with np.load(path) as file:
        arrays = dict(file)
    arrays[name] = change(arrays[name])
    np.savez(path, **{key: array for key, array in arrays.items() if array is not None})


CHANGES = {
    "nan": lambda array: array * np.nan,
    "infinite": lambda array: array + np.inf,
    "larger": lambda array: np.stack([array, array]),
    "flat": lambda array: array.ravel()[:-1],
    "objects": lambda array: array.astype(object),
    "complex": lambda array: array.astype(complex),
    "text": lambda array: array.astype(str),
}


def test_it_is_read_back(saved):
    assert load(*saved).temperature == 1.5


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", names())
def test_an_array_that_does_not_fit_is_refused(saved, name, change):
    path, fold = saved
    edited(path, name, CHANGES[change])
    with pytest.raises(InputError, match=r"the run is damaged: .*fold\.npz cannot be used"):
        load(path, fold)


@pytest.mark.parametrize("name", [name for name in names() if not name.startswith("turn")])
def test_an_array_that_is_missing_is_told(saved, name):
    path, fold = saved
    edited(path, name, lambda _: None)
    with pytest.raises(InputError, match=r"fold\.npz cannot be used"):
        load(path, fold)


@pytest.mark.parametrize("name", ["variance", "variance@demo", "prior", "voice_counts", "voice_variances"])
def test_what_has_to_be_positive_is(saved, name):
    path, fold = saved
    edited(path, name, lambda array: -array)
    with pytest.raises(InputError, match=r"fold\.npz cannot be used"):
        load(path, fold)


@pytest.mark.parametrize(
    "shape", [SHAPE._replace(layers=1), SHAPE._replace(width=5), SHAPE._replace(outputs=2), SHAPE._replace(outputs=1)]
)
def test_arrays_of_another_run_are_refused(saved, shape):
    with pytest.raises(InputError, match=r"expected .* of shape"):
        load(*saved, shape)


@pytest.mark.parametrize(
    "change",
    [{"known": ["a"]}, {"pretrained": []}, {"corpora": {}}, {"corpora": {"demo": {"clips": 8, "transductive": False}}}],
)
def test_an_entry_of_another_run_is_refused(saved, change):
    path, fold = saved
    with pytest.raises(InputError, match=r"fold\.npz cannot be used"):
        load(path, {**fold, **change})
