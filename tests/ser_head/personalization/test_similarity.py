"""Speaker similarity: cosines, and blends that weigh similar speakers, or the unknown row with few clips."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics.pairwise import cosine_similarity

from ser_head.personalization.similarity import UNKNOWN_ROW, blend, most_similar, one_hot


def random_means(speakers=4, seed=0):
    """Return random mean vectors, float32 (speakers, 2, 8)."""
    return np.random.default_rng(seed).normal(size=(speakers, 2, 8)).astype(np.float32)


@given(st.integers(0, 40), st.integers(0, 6), st.floats(0.01, 100), st.floats(0, 1000), st.integers(0, 50))
def test_weights_add_up_and_row_0_has_its_share(count, speakers, kappa, sharpness, seed):
    enrolled = np.random.default_rng(seed).normal(size=(count, 2, 8)).astype(np.float32)
    weights = blend(enrolled, random_means(speakers, seed + 1), kappa, sharpness)
    assert weights.dtype == np.float32
    assert weights.shape == (1 + speakers,)
    assert weights.min() >= 0
    assert weights.sum(dtype=np.float64) == pytest.approx(1, abs=1e-6)
    assert weights[UNKNOWN_ROW] == pytest.approx(kappa / (count + kappa) if speakers else 1, rel=1e-5)


def test_without_clips_row_0_has_all_the_weight():
    assert blend(random_means()[:0], random_means(), 5.0, 10.0).tolist() == [1, 0, 0, 0, 0]


def test_shares_are_the_softmax_of_scaled_cosines():
    speaker_means, enrolled = random_means(), np.random.default_rng(9).normal(size=(7, 2, 8))
    flat_means, flat_mean = speaker_means.reshape(4, -1), enrolled.mean(axis=0).reshape(1, -1)
    cosines = cosine_similarity(flat_means, flat_mean)[:, 0]
    expected = np.exp(6 * cosines) / np.exp(6 * cosines).sum()
    assert blend(enrolled, speaker_means, kappa=5.0, sharpness=6.0)[1:] == pytest.approx(7 / 12 * expected, rel=1e-5)


@given(st.permutations(range(4)))
def test_the_order_of_the_speakers_does_not_matter(order):
    enrolled = np.random.default_rng(9).normal(size=(7, 2, 8))
    weights, permuted = blend(enrolled, random_means()), blend(enrolled, random_means()[order])
    assert permuted[1:] == pytest.approx(weights[1:][order], rel=1e-5)


def test_a_sharp_blend_of_a_training_speakers_clips_is_its_own_row():
    speaker_means = random_means()
    clips = speaker_means[2] + np.random.default_rng(1).normal(scale=0.1, size=(1000, 2, 8))
    weights = blend(clips, speaker_means, kappa=1e-6, sharpness=1e4)
    assert weights == pytest.approx(one_hot(np.array([3]), 5)[0], abs=1e-6)


def test_the_most_similar_speaker_comes_first():
    speaker_means = np.array([[[1.0, 0.0]], [[-1.0, 0.1]], [[5.0, 5.0]], [[0.0, 0.0]]])
    enrolled = np.array([[[2.0, 0.1]], [[2.0, -0.1]]])
    assert most_similar(enrolled, speaker_means, 4).tolist() == [0, 2, 3, 1]  # cosines 1, 0.7, 0 (no direction), -1
    assert most_similar(enrolled, speaker_means, 2).tolist() == [0, 2]
    assert most_similar(enrolled, speaker_means, 9).tolist() == [0, 2, 3, 1]


def test_without_clips_nobody_is_similar():
    assert most_similar(random_means()[:0], random_means(), 3).tolist() == []


def test_one_hot_picks_rows():
    picked = one_hot(np.array([2, 0]), 3)
    assert picked.dtype == np.float32
    assert picked.tolist() == [[0, 0, 1], [1, 0, 0]]
