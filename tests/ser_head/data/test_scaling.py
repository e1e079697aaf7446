"""Scaling: equal to numpy in float64 whatever the windows, and harmless for constant dimensions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_embed.errors import InputError
from ser_head.data.scaling import fit_scaling


@given(st.lists(st.integers(1, 20), min_size=1, max_size=6), st.integers(0, 100))
def test_windows_give_the_same_as_numpy_on_all_vectors(sizes, seed):
    random = np.random.default_rng(seed)
    windows = [(1e4 + random.normal(size=(size, 2, 3))).astype(np.float32) for size in sizes]
    vectors = np.concatenate(windows).astype(np.float64)
    scaling = fit_scaling(windows)
    assert scaling.mean == pytest.approx(vectors.mean(axis=0), rel=1e-12)
    if sum(sizes) > 1:
        constant = vectors.std(axis=0) <= 1e-6 * np.abs(vectors.mean(axis=0))  # to the precision of float32
        assert scaling.variance == pytest.approx(np.where(constant, 1, vectors.var(axis=0)), rel=1e-6)


def test_standardised_training_vectors_have_mean_0_and_deviation_1():
    vectors = np.random.default_rng(0).normal(5, 3, size=(500, 2, 4)).astype(np.float32)
    scaled = fit_scaling([vectors]).apply(vectors)
    assert scaled.dtype == np.float32
    assert np.abs(scaled.mean(axis=0)).max() < 1e-5
    assert np.abs(scaled.std(axis=0) - 1).max() < 1e-5


def test_a_constant_dimension_becomes_0_and_is_not_amplified_in_a_new_clip():
    vectors = np.full((10, 1, 2), 0.1, np.float32)
    scaling = fit_scaling([vectors[:3], vectors[3:]])
    assert np.abs(scaling.apply(vectors)).max() < 1e-6
    assert scaling.apply(np.full((1, 1, 2), 0.2, np.float32)) == pytest.approx(0.1)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_vectors_that_are_not_finite_are_refused(bad):
    vectors = np.ones((4, 1, 2), np.float32)
    vectors[2, 0, 1] = bad
    with pytest.raises(InputError, match="finite numbers"):
        fit_scaling([vectors])
