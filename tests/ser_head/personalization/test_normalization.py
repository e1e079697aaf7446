"""Speaker statistics: neutral without clips, the speaker's own with very many, shrunk by the formula in between."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_head.personalization.normalization import KAPPA, shrinkage, speaker_statistics


def test_without_clips_nothing_is_moved():
    shift, scale = speaker_statistics(np.zeros((0, 2, 3), np.float32))
    assert shift.dtype == scale.dtype == np.float32
    assert np.array_equal(shift, np.zeros((2, 3)))
    assert np.array_equal(scale, np.ones((2, 3)))


@given(st.integers(1, 30), st.floats(0.1, 50), st.integers(0, 100))
def test_statistics_are_the_shrunken_ones(count, kappa, seed):
    enrolled = np.random.default_rng(seed).normal(2, 3, (count, 2, 4)).astype(np.float32)
    shift, scale = speaker_statistics(enrolled, kappa)
    mean, variance = enrolled.mean(axis=0, dtype=np.float64), enrolled.var(axis=0, dtype=np.float64)
    assert shift == pytest.approx(count * mean / (count + kappa), rel=1e-5)
    assert scale**2 == pytest.approx((count * variance + kappa) / (count + kappa), rel=1e-5)


def test_one_clip_has_no_variance_and_lowers_the_scale():
    _, scale = speaker_statistics(np.full((1, 1, 1), 9.0, np.float32), kappa=5.0)
    assert float(scale[0, 0]) == pytest.approx(np.sqrt(5 / 6))


def test_many_clips_are_standardised_to_mean_0_and_variance_1():
    enrolled = np.random.default_rng(0).normal(4, 0.1, (20_000, 1, 3)).astype(np.float32)
    shift, scale = speaker_statistics(enrolled)
    moved = (enrolled - shift) / scale
    assert moved.mean(axis=0) == pytest.approx(0, abs=0.02)
    assert moved.std(axis=0) == pytest.approx(1, abs=0.02)


def test_shrinkage_is_the_variance_within_speakers_over_that_between_them():
    random = np.random.default_rng(0)
    num_speakers, clips_per_speaker = 2000, 10
    speaker_means = random.normal(scale=[0.5, 2.0], size=(num_speakers, 1, 2))
    clips = speaker_means[:, None] + random.normal(size=(num_speakers, clips_per_speaker, 1, 2))
    counts = np.full(num_speakers, clips_per_speaker)
    kappa = shrinkage(clips.mean(axis=1), clips.var(axis=1, ddof=1), counts)
    assert kappa[0] == pytest.approx([1 / 0.5**2, 1 / 2.0**2], rel=0.15)


def test_shrinkage_is_the_default_where_it_cannot_be_estimated():
    one_speaker = np.ones((1, 2, 3))
    assert np.array_equal(shrinkage(one_speaker, one_speaker, np.array([4])), np.full((2, 3), KAPPA))
    constant = np.zeros((3, 1, 2))
    assert np.array_equal(shrinkage(constant, constant, np.array([4, 4, 4])), np.full((1, 2), KAPPA))
