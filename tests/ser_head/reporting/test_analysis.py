"""Analysis of predictions and vectors: equal to scikit-learn, sorted, and defined only where the data allow it."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.metrics import average_precision_score, roc_auc_score

from ser_embed.store.reader import Store
from ser_head.reporting.analysis import Confusion, frequent_confusions, one_vs_rest, project, speaker_accuracy
from ser_head.runs.results import RunResults
from tests.ser_head.fabricated import LABELS, SPEC, fabricate


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """Return a run and its store, which tests must not change."""
    return fabricate(tmp_path_factory.mktemp("example"))


def test_one_vs_rest_curves_equal_scikit_learn(example):
    tested = RunResults.load(example[0]).tested
    curves = one_vs_rest(tested, LABELS)
    probabilities = tested[[f"p_{label}" for label in LABELS]].to_numpy()
    expected = roc_auc_score(tested["label"], probabilities, multi_class="ovr", average=None, labels=LABELS)
    assert [curve.label for curve in curves] == list(LABELS)
    np.testing.assert_allclose([curve.auc for curve in curves], expected)
    np.testing.assert_allclose([np.trapezoid(curve.roc[1], curve.roc[0]) for curve in curves], expected)
    steps = [-np.sum(np.diff(curve.recall_precision[0]) * curve.recall_precision[1][:-1]) for curve in curves]
    precisions = [average_precision_score(tested["label"] == label, tested[f"p_{label}"]) for label in LABELS]
    np.testing.assert_allclose([curve.average_precision for curve in curves], precisions)
    np.testing.assert_allclose(steps, precisions, atol=0.01)  # drawn without the points that change the curve little


def test_speaker_accuracy_is_sorted_and_has_the_overall_accuracy_as_mean(example):
    tested = RunResults.load(example[0]).tested
    accuracy = speaker_accuracy(tested)
    assert accuracy.is_monotonic_increasing
    assert accuracy.mean() == pytest.approx(
        (tested["label"] == tested["prediction"]).mean()
    )  # speakers have equally many clips


def test_the_most_frequent_confusions_come_first():
    counts = np.array([[6, 4, 0], [1, 19, 0], [10, 10, 80]])
    assert frequent_confusions(counts, "xyz") == [
        Confusion("x", "y", 0.4),
        Confusion("z", "x", 0.1),
        Confusion("z", "y", 0.1),
    ]
    assert frequent_confusions(np.diag([5, 0]), "xy") == []


def test_projection_is_the_pca_of_standardised_vectors(example):
    with Store(example[1]) as store:
        rows = np.arange(5, 60)
        projection = project(store, rows, 1)
        vectors = store.read(rows, [1])[:, 0].astype(float)
        np.testing.assert_array_equal(projection.speakers, store.utterances["speaker"].iloc[rows])
    vectors = (vectors - vectors.mean(axis=0)) / vectors.std(axis=0)
    expected = PCA(svd_solver="full").fit(vectors)
    assert projection.layer == "1"
    np.testing.assert_allclose(projection.explained, expected.explained_variance_ratio_[:2], rtol=1e-6)
    np.testing.assert_allclose(np.abs(projection.points), np.abs(expected.transform(vectors)[:, :2]), atol=1e-6)


def test_vectors_without_variance_have_no_projection(tmp_path):
    _, path = fabricate(tmp_path, spec=replace(SPEC, width=1))
    with Store(path) as store:
        assert project(store, np.arange(20), 0) is None
        assert project(store, np.arange(1), 0) is None


def test_projection_of_frames_is_that_of_their_means(tmp_path):
    _, clips = fabricate(tmp_path / "a")
    _, frames = fabricate(tmp_path / "b", spec=replace(SPEC, pooling="frames"))
    rows = np.arange(40)
    with Store(clips) as clip_store, Store(frames) as frame_store:
        expected = project(clip_store, rows, 2).points
        np.testing.assert_allclose(project(frame_store, rows, 2).points, expected, atol=1e-5)
