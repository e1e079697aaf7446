"""Blends: shares that add up, go to the likeliest voice, and to the unknown one where little is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_head.personalization.similarity import UNKNOWN_ROW, blend, most_similar, one_hot


def voices_of(speakers=4, seed=0):
    return np.random.default_rng(seed).normal(size=(speakers, 2, 8)).astype(np.float32)


@given(st.integers(0, 40), st.integers(0, 6), st.floats(0.01, 100), st.floats(0, 1000), st.integers(0, 50))
def test_weights_are_shares_and_row_0_has_what_little_is_known(count, speakers, kappa, sharpness, seed):
    enrolled = np.random.default_rng(seed).normal(size=(count, 2, 8)).astype(np.float32)
    weights = blend(enrolled, voices_of(speakers, seed + 1), kappa, sharpness)
    assert weights.dtype == np.float32
    assert weights.shape == (1 + speakers,)
    assert weights.min() >= 0
    assert weights.sum(dtype=np.float64) == pytest.approx(1, abs=1e-6)
    assert weights[UNKNOWN_ROW] == pytest.approx(kappa / (count + kappa) if speakers else 1, rel=1e-5)


def test_without_clips_row_0_stands_alone():
    assert blend(voices_of()[:0], voices_of(), 5.0, 10.0).tolist() == [1, 0, 0, 0, 0]


def test_shares_are_the_softmax_of_scaled_cosines():
    speaker_means, enrolled = voices_of(), np.random.default_rng(9).normal(size=(7, 2, 8))
    own = enrolled.mean(axis=0).ravel()
    cosines = np.array([voice.ravel() @ own / np.linalg.norm(voice) / np.linalg.norm(own) for voice in speaker_means])
    expected = np.exp(6 * cosines) / np.exp(6 * cosines).sum()
    assert blend(enrolled, speaker_means, kappa=5.0, sharpness=6.0)[1:] == pytest.approx(7 / 12 * expected, rel=1e-5)


@given(st.permutations(range(4)))
def test_the_order_of_the_voices_does_not_matter(order):
    enrolled = np.random.default_rng(9).normal(size=(7, 2, 8))
    weights, permuted = blend(enrolled, voices_of()), blend(enrolled, voices_of()[order])
    assert permuted[1:] == pytest.approx(weights[1:][order], rel=1e-5)


def test_a_sharp_blend_of_a_training_speakers_clips_is_its_own_row():
    speaker_means = voices_of()
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
    assert most_similar(voices_of()[:0], voices_of(), 3).tolist() == []


def test_one_hot_picks_rows():
    picked = one_hot(np.array([2, 0]), 3)
    assert picked.dtype == np.float32
    assert picked.tolist() == [[0, 0, 1], [1, 0, 0]]
