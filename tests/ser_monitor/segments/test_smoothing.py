"""Smoothing: by time and not by count, label with hysteresis, uncertain where the answer is."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_head.inference import prediction_table
from ser_monitor.events import UNCERTAIN, UNFAMILIAR_ABOVE
from ser_monitor.segments.smoothing import MARGIN, Smoother

LABELS = ("angry", "sad")


def share(value: float) -> np.ndarray:
    return np.array([value, 1 - value])


def test_words_are_those_of_predict() -> None:
    assert UNCERTAIN == prediction_table.UNCERTAIN
    assert UNFAMILIAR_ABOVE == prediction_table.OOD_THRESHOLD


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.floats(0.2, 5), st.floats(0.5, 10))
def test_it_is_the_exponential_average_over_time(values: list[float], step_s: float, tau_s: float) -> None:
    smoother = Smoother(LABELS, tau_s)
    for index, value in enumerate(values):
        smoothed, _ = smoother.update(share(value), 0.0, 3 + index * step_s)
    decay = math.exp(-step_s / tau_s)
    weights = [decay ** (len(values) - 1)] + [
        (1 - decay) * decay ** (len(values) - 1 - index) for index in range(1, len(values))
    ]
    assert smoothed[0] == pytest.approx(np.dot(weights, values), abs=1e-9)
    assert smoothed.sum() == pytest.approx(1)


def test_twice_as_many_answers_of_the_same_time_weigh_the_same() -> None:
    sparse, dense = Smoother(LABELS, 2.0), Smoother(LABELS, 2.0)
    for smoother, times in [(sparse, [0, 1, 2]), (dense, [0, 0.5, 1, 1.5, 2])]:
        for at_s in times:
            smoothed, _ = smoother.update(share(1.0 if at_s == 0 else 0.2), 0.0, at_s)
    assert sparse.update(share(0.2), 0, 2)[0] == pytest.approx(dense.update(share(0.2), 0, 2)[0])
    assert smoothed[0] == pytest.approx(0.2 + 0.8 * math.exp(-1))


def test_a_label_changes_only_with_a_lead() -> None:
    smoother = Smoother(LABELS, 1e-6)  # all weight on the last answer
    assert smoother.update(share(0.6), 0, 1)[1] == "angry"
    assert smoother.update(share(0.5 - MARGIN / 2 + 0.001), 0, 2)[1] == "angry"
    assert smoother.update(share(0.5 - MARGIN / 2 - 0.001), 0, 3)[1] == "sad"
    assert smoother.update(share(0.5 + MARGIN / 2 - 0.001), 0, 4)[1] == "sad"


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 2)), min_size=1, max_size=6))
def test_without_smoothing_every_answer_stands_for_itself(answers: list[tuple[float, float]]) -> None:
    smoother = Smoother(LABELS, 0.0, 0.7)
    for at_s, (value, ood_score) in enumerate(answers):
        smoothed, label = smoother.update(share(value), ood_score, at_s)
        expected = prediction_table.emotions_of(share(value)[None], LABELS, np.array([ood_score]), 0.7)[0]
        assert np.array_equal(smoothed, share(value))
        assert label == expected or share(value)[0] == share(value)[1]


def test_any_answer_is_taken_if_asked_for() -> None:
    assert Smoother(LABELS, 2.0, 0).update(share(0.6), 9.0, 1)[1] == "angry"
    assert Smoother(LABELS, 2.0).update(share(0.6), 9.0, 1)[1] == UNCERTAIN
