"""Shrunken statistics: nobody's for no clips, the speaker's own for very many, and in between the formula."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_head.personalization.normalization import speaker_statistics


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


def test_one_clip_tells_nothing_of_the_spread_but_shrinks_it():
    _, scale = speaker_statistics(np.full((1, 1, 1), 9.0, np.float32), kappa=5.0)
    assert float(scale[0, 0]) == pytest.approx(np.sqrt(5 / 6))


def test_many_clips_are_standardised_to_mean_0_and_variance_1():
    enrolled = np.random.default_rng(0).normal(4, 0.1, (20_000, 1, 3)).astype(np.float32)
    shift, scale = speaker_statistics(enrolled)
    moved = (enrolled - shift) / scale
    assert moved.mean(axis=0) == pytest.approx(0, abs=0.02)
    assert moved.std(axis=0) == pytest.approx(1, abs=0.02)
