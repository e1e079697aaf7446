"""Unweighted average recall: equal to scikit-learn's balanced accuracy, for one set of clips and for resamples."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score

from ser_head.evaluation.recall import count_by_speaker, unweighted_average_recall

NAMES = np.array(["sad", "angry", "happy", "neutral"], dtype=object)


def classes_of(seed, num_clips):
    random = np.random.default_rng(seed)
    return random.integers(0, 4, num_clips), random.integers(0, 4, num_clips)


@given(st.integers(0, 1000), st.integers(1, 60))
def test_it_equals_scikit_learn_for_numbers_and_for_names(seed, num_clips):
    targets, predictions = classes_of(seed, num_clips)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about classes that were predicted but never occur
        expected = pytest.approx(balanced_accuracy_score(targets, predictions))
    assert unweighted_average_recall(targets, predictions) == expected
    assert unweighted_average_recall(NAMES[targets], NAMES[predictions]) == expected


def test_a_prediction_that_is_no_class_of_the_targets_is_an_error_like_any_other():
    assert unweighted_average_recall(np.array(["a", "a", "b"]), np.array(["a", "z", "b"])) == 0.75


@given(st.integers(0, 1000), st.integers(2, 60))
def test_the_counts_of_a_resample_are_those_of_its_copied_clips(seed, num_clips):
    targets, predictions = classes_of(seed, num_clips)
    random = np.random.default_rng(seed)
    speakers = random.integers(0, 3, num_clips)
    counts = count_by_speaker(speakers, targets, targets == predictions, (3, 4))
    assert counts.totals.sum() == num_clips
    drawn = [random.choice(np.unique(speakers), 3) for _ in range(5)]
    resampled = counts.resample(np.array([np.bincount(draw, minlength=3) for draw in drawn]))
    for draw, uar, accuracy in zip(drawn, resampled.uar(), resampled.accuracy(), strict=True):
        clips = np.concatenate([np.flatnonzero(speakers == speaker) for speaker in draw])
        assert uar == pytest.approx(unweighted_average_recall(targets[clips], predictions[clips]))
        assert accuracy == pytest.approx((targets[clips] == predictions[clips]).mean())
