"""Output adaptation of numbers: predictions rescaled to moments borrowed from similar speakers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_head.personalization.output_adaptation import borrowed_moments, moments, rescale

numbers = st.lists(st.floats(-100, 100), min_size=1, max_size=30).map(np.array)
# Values differ by more than rounding, so that their deviation is not 0.
spread_out = numbers.filter(lambda values: np.std(values) > 1e-3)


@given(numbers, st.booleans())
def test_a_speakers_own_moments_change_nothing(predictions, move_mean):
    moved = rescale(predictions, *moments(predictions), move_mean=move_mean)
    assert moved == pytest.approx(predictions, abs=1e-9)


@given(spread_out, st.floats(-10, 10), st.floats(0.1, 10))
def test_the_mean_stays_unless_it_is_asked_to_move(predictions, mean, deviation):
    stretched = moments(rescale(predictions, mean, deviation))
    assert stretched == pytest.approx((np.mean(predictions), deviation), abs=1e-8)
    assert moments(rescale(predictions, mean, deviation, move_mean=True)) == pytest.approx((mean, deviation), abs=1e-8)


@given(spread_out, st.floats(0.1, 10))
def test_ranks_stay(predictions, deviation):
    order = np.argsort(predictions, kind="stable")
    assert np.all(np.diff(rescale(predictions, 0.0, deviation)[order]) >= 0)


def test_moments_of_enrolled_clips_make_a_prediction_independent_of_those_beside_it():
    predictions, speaker_moments = np.array([0.2, 0.9, -0.4]), (0.1, 0.5)
    together = rescale(predictions, 0.3, 0.8, speaker_moments=speaker_moments)
    alone = [rescale(predictions[row : row + 1], 0.3, 0.8, speaker_moments=speaker_moments)[0] for row in range(3)]
    assert together == pytest.approx(alone)
    assert together == pytest.approx(0.1 + (predictions - 0.1) * 0.8 / 0.5)


def test_a_single_clip_has_no_deviation_to_stretch():
    assert rescale(np.array([0.7]), 0.0, 3.0).tolist() == [0.7]
    assert rescale(np.array([0.7]), 0.1, 3.0, move_mean=True) == pytest.approx([0.1])


def test_no_predictions_stay_none():
    assert rescale(np.zeros(0), 0.0, 1.0).shape == (0,)


def test_borrowed_moments_are_the_mean_over_the_nearest_speakers():
    borrowed = borrowed_moments(np.array([1.0, 2.0, 30.0]), np.array([0.5, 0.7, 9.0]), np.array([1, 0]))
    assert borrowed == pytest.approx((1.5, 0.6))


def test_moments_need_at_least_one_speaker_to_borrow_from():
    with pytest.raises(ValueError, match="at least one speaker"):
        borrowed_moments(np.ones(3), np.ones(3), np.zeros(0, np.int64))
