"""Activation: a share of the probabilities of both halves of the circumplex, whatever the order of the classes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ser_head
from ser_embed.manifest import EMOTIONS
from ser_head.scoring.activation import HIGH, LOW

WEIGHTS = st.lists(st.floats(0.01, 1), min_size=len(EMOTIONS), max_size=len(EMOTIONS))


@given(WEIGHTS, st.permutations(EMOTIONS))
def test_it_is_the_share_of_high_emotions_and_depends_on_no_order(weights, order):
    probabilities = dict(zip(order, np.array(weights) / sum(weights), strict=True))
    high = sum(probabilities[name] for name in HIGH)
    low = sum(probabilities[name] for name in LOW)
    scored = ser_head.activation(np.array([list(probabilities.values())]), order)
    assert scored == pytest.approx([high / (high + low)])


def test_every_emotion_but_disgust_is_on_one_side():
    assert sorted((*HIGH, *LOW, "disgust")) == sorted(EMOTIONS)


@given(WEIGHTS, st.floats(0, 0.99))
def test_disgust_takes_from_both_sides_alike(weights, disgust):
    others = [name for name in EMOTIONS if name != "disgust"]
    shares = np.array(weights[: len(others)]) / sum(weights[: len(others)])
    diluted = np.array([[*((1 - disgust) * shares), disgust]])
    assert ser_head.activation(diluted, [*others, "disgust"]) == pytest.approx(
        ser_head.activation(shares[None], others)
    )


def test_silence_has_no_activation_and_certain_disgust_says_nothing():
    probabilities = np.array([[np.nan] * 3, [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    scored = ser_head.activation(probabilities, ("angry", "disgust", "sad"))
    np.testing.assert_array_equal(scored, [np.nan, 0.5, 1.0])


@pytest.mark.parametrize("labels", [("angry", "disgust"), ("sad", "calm"), ("laughter", "sad"), ()])
def test_classes_of_one_side_have_none(labels):
    assert ser_head.activation(np.ones((2, len(labels))), labels) is None
