"""scikit-learn heads: accuracy, class weights, saved and loaded without change, and no foreign types loaded."""

import zipfile
from collections.abc import Iterator

import numpy as np
import pytest
import skops.io
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import FunctionTransformer

from ser_embed.errors import InputError
from ser_head.data.power_transform import fit_yeo_johnson
from ser_head.data.scaling import OUTLIER
from ser_head.heads.sklearn_heads import KINDS, SklearnHead

EVEN = np.ones(3, np.float32)
RIGHT = {
    "svm": 0.9,
    "lda": 0.85,
    "forest": 0.9,
}  # least accuracy; lda takes the mean of both layers, of which one is noise
SMALLEST = {"svm": 1e-5, "lda": 1e-9, "forest": 1e-5}  # probability of any class


@pytest.fixture(scope="module", autouse=True)
def _few_trees() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ser_head.heads.sklearn_heads.TREES", 30)
        yield


def clips(count: int = 120, classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return vectors of two layers, of which only the second depends on the class, and the classes."""
    random = np.random.default_rng(seed)
    targets = random.integers(classes, size=count)
    vectors = random.normal(size=(count, 2, 5))
    vectors[:, 1, :classes] += 3 * np.eye(classes)[targets]
    return vectors.astype(np.float32), targets


@pytest.fixture(scope="module", params=KINDS)
def head(request: pytest.FixtureRequest) -> SklearnHead:
    return SklearnHead(KINDS[request.param], seed=0).fit(*clips(), EVEN)


def test_it_learns_the_classes(head):
    vectors, targets = clips(seed=1)
    probabilities = head.probabilities(vectors)
    assert probabilities.dtype == np.float32
    assert probabilities.shape == (120, 3)
    assert probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert (probabilities.argmax(axis=1) == targets).mean() > RIGHT[head.kind.name]


@pytest.mark.parametrize("kind", KINDS)
def test_two_classes_have_two_probabilities_in_their_order(kind):
    vectors, targets = clips(classes=2)
    probabilities = SklearnHead(KINDS[kind], seed=0).fit(vectors, targets, EVEN[:2]).probabilities(vectors)
    assert probabilities.shape == (120, 2)
    assert (probabilities.argmax(axis=1) == targets).mean() > 0.9


def test_no_clips_have_no_probabilities(head):
    assert head.probabilities(clips()[0][:0]).shape == (0, 3)


def test_a_logarithm_of_any_probability_is_finite(head):
    far = np.full((2, 2, 5), 1e6, np.float32) * np.array([1, -1], np.float32)[:, None, None]
    assert np.isfinite(np.log(head.probabilities(far))).all()
    assert head.probabilities(clips()[0]).min() > SMALLEST[head.kind.name]


@pytest.mark.parametrize("kind", KINDS)
def test_a_heavier_class_is_answered_more_often(kind):
    vectors, targets = np.random.default_rng(3).normal(size=(200, 1, 4)).astype(np.float32), np.arange(200) % 2
    new = np.random.default_rng(4).normal(size=(200, 1, 4)).astype(np.float32)
    mean = [
        SklearnHead(KINDS[kind], seed=0).fit(vectors, targets, np.array(weights)).probabilities(new)[:, 1].mean()
        for weights in ([4.0, 1.0], [1.0, 1.0], [1.0, 4.0])
    ]
    assert mean[0] < mean[1] < mean[2]


def test_the_forest_is_drawn_by_its_seed():
    vectors, targets = clips()
    first, again, other_seed = (
        SklearnHead(KINDS["forest"], seed).fit(vectors, targets, EVEN).probabilities(vectors) for seed in (5, 5, 6)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other_seed)


def test_outliers_are_bounded(head):
    vectors = clips(count=4)[0]
    vectors[:, 0, 3] = 3
    bounded = head.probabilities(vectors)
    vectors[:, 0, 3] = 1000
    assert np.array_equal(head.probabilities(vectors), bounded)


def test_a_saved_head_scores_alike(head, tmp_path):
    head.save(tmp_path / "head.skops")
    loaded = SklearnHead.load(tmp_path / "head.skops")
    assert loaded.kind == head.kind
    assert np.array_equal(loaded.probabilities(clips()[0]), head.probabilities(clips()[0]))


def test_a_discriminant_analysis_takes_the_mean_of_the_power_transformed_layers(tmp_path):
    vectors, targets = clips()
    vectors = np.sinh(vectors)
    power, weights = fit_yeo_johnson(vectors), np.array([0.5, 1.0, 2.0])
    head = SklearnHead(KINDS["lda"], 0, power).fit(vectors, targets, weights)
    head.save(tmp_path / "head.skops")
    mean = np.clip(power.apply(vectors), -OUTLIER, OUTLIER).mean(axis=1)
    priors = np.bincount(targets) * weights / (np.bincount(targets) * weights).sum()
    expected = LinearDiscriminantAnalysis(solver="eigen", shrinkage="auto", priors=priors).fit(mean, targets)
    probabilities = SklearnHead.load(tmp_path / "head.skops").probabilities(vectors)
    assert probabilities == pytest.approx(expected.predict_proba(mean), abs=1e-4)
    plain = SklearnHead(KINDS["lda"], 0).fit(vectors, targets, weights).probabilities(vectors)
    assert np.abs(probabilities - plain).max() > 0.01


def test_a_dimension_that_does_not_vary_breaks_nothing():
    vectors, targets = clips()
    vectors[:, :, 4] = 0
    for kind in KINDS:
        head = SklearnHead(KINDS[kind], 0, fit_yeo_johnson(vectors)).fit(vectors, targets, EVEN)
        assert np.isfinite(head.probabilities(vectors)).all()


def test_a_head_saved_before_there_was_a_power_transform_is_read(tmp_path):
    head = SklearnHead(KINDS["svm"], seed=0).fit(*clips(), EVEN)
    skops.io.dump(head._estimator, tmp_path / "head.skops")
    loaded = SklearnHead.load(tmp_path / "head.skops")
    assert np.array_equal(loaded.probabilities(clips()[0]), head.probabilities(clips()[0]))


def test_an_untrained_head_cannot_score():
    with pytest.raises(ValueError, match="has to be trained"):
        SklearnHead(KINDS["svm"], seed=0).probabilities(clips()[0])


def test_a_file_that_would_run_code_is_refused(tmp_path):
    marker = tmp_path / "ran"
    skops.io.dump(FunctionTransformer(marker.touch), tmp_path / "head.skops")
    with pytest.raises(InputError, match="[Uu]ntrusted"):
        SklearnHead.load(tmp_path / "head.skops")
    assert not marker.exists()


def test_another_estimator_is_refused(tmp_path):
    skops.io.dump(LogisticRegression(), tmp_path / "head.skops")
    with pytest.raises(InputError, match="one of svm, lda, forest, not 'LogisticRegression'"):
        SklearnHead.load(tmp_path / "head.skops")


def test_an_untrained_estimator_is_refused(tmp_path):
    SklearnHead(KINDS["svm"], seed=0).save(tmp_path / "head.skops")
    with pytest.raises(InputError, match="one of svm, lda, forest, not 'NoneType'"):
        SklearnHead.load(tmp_path / "head.skops")


def test_damage_is_named_with_the_file(tmp_path):
    path = tmp_path / "head.skops"
    SklearnHead(KINDS["svm"], seed=0).fit(*clips(), EVEN).save(path)
    intact = path.read_bytes()
    random = np.random.default_rng(0)
    broken = [b"", b"text", intact[: len(intact) // 2], intact[100:]]
    for bit in random.integers(len(intact) * 8, size=30):
        flipped = bytearray(intact)
        flipped[bit // 8] ^= 1 << bit % 8
        broken.append(bytes(flipped))
    num_refused = 0
    for content in broken:
        path.write_bytes(content)
        try:
            SklearnHead.load(path)  # a flipped bit may lie in an unused part of the archive
        except InputError as error:
            num_refused += str(path) in str(error)
    assert num_refused >= 20


def test_a_missing_file_or_another_archive_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"gone\.skops cannot be read"):
        SklearnHead.load(tmp_path / "gone.skops")
    with zipfile.ZipFile(tmp_path / "other.skops", "w") as archive:
        archive.writestr("readme", "nothing")
    with pytest.raises(InputError, match=r"other\.skops cannot be read"):
        SklearnHead.load(tmp_path / "other.skops")
