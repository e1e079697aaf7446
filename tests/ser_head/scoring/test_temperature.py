"""Temperature scaling: recovers a simulated temperature, has the lowest log-loss, never changes the predicted class."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from ser_head.scoring.temperature import COLDEST, HOTTEST, apply_temperature, fit_temperature, safe_log


def simulated(temperature: float, clips: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities, and classes drawn from these probabilities at a temperature, which calibrates them."""
    random = np.random.default_rng(7)
    logits = random.normal(scale=3, size=(clips, 5))
    calibrated = softmax(logits / temperature, axis=1)
    targets = (random.random((clips, 1)) > calibrated.cumsum(axis=1)).sum(axis=1).clip(max=4)
    return softmax(logits, axis=1), targets


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_a_simulated_temperature_is_recovered(temperature):
    assert fit_temperature(*simulated(temperature)) == pytest.approx(temperature, rel=0.03)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(2, 8), st.floats(0.1, 3))
def test_no_temperature_of_a_grid_is_better(seed, clips, classes, spread):
    random = np.random.default_rng(seed)
    probabilities = softmax(random.normal(scale=spread, size=(clips, classes)), axis=1)
    targets = random.integers(classes, size=clips)
    fitted = fit_temperature(probabilities, targets)
    assert COLDEST <= fitted <= HOTTEST

    def loss(temperature: float) -> float:
        powers = probabilities ** (1 / temperature)
        return float(-np.log((powers / powers.sum(axis=1, keepdims=True))[np.arange(clips), targets]).mean())

    assert loss(fitted) <= min(map(loss, np.geomspace(COLDEST, HOTTEST, 200))) + 1e-6


@given(st.integers(0, 10_000), st.floats(COLDEST, HOTTEST))
def test_the_likeliest_class_stays(seed, temperature):
    probabilities = np.random.default_rng(seed).dirichlet(np.ones(6), size=20).astype(np.float32)
    scaled = apply_temperature(probabilities, temperature)
    assert scaled.dtype == np.float32
    assert scaled.sum(axis=1) == pytest.approx(1, abs=1e-5)
    best = probabilities.argmax(axis=1)
    assert (scaled[np.arange(20), best] == scaled.max(axis=1)).all()


def test_a_temperature_of_1_changes_nothing():
    probabilities = np.random.default_rng(0).dirichlet(np.ones(6), size=50).astype(np.float32)
    assert apply_temperature(probabilities, 1.0) == pytest.approx(probabilities, rel=1e-5)


def test_a_high_temperature_lowers_confidence_and_a_low_one_raises_it():
    probabilities = np.array([[0.7, 0.2, 0.1]])
    assert apply_temperature(probabilities, 2.0).max() < 0.7 < apply_temperature(probabilities, 0.5).max()


@pytest.mark.parametrize("targets", [[0], [1], [0, 0, 0], [1, 0, 1]])
def test_one_clip_or_a_head_that_is_always_right_or_wrong_gives_a_finite_loss(targets):
    probabilities = np.tile(np.array([[1.0, 0.0]]), (len(targets), 1))
    temperature = fit_temperature(probabilities, np.array(targets))
    assert COLDEST <= temperature <= HOTTEST
    log_probabilities = [safe_log(apply_temperature(probabilities, value)) for value in (temperature, 1.0)]
    losses = [-values[np.arange(len(targets)), targets].mean() for values in log_probabilities]
    assert np.isfinite(losses[0])
    assert losses[0] <= losses[1] + 1e-6


def test_no_clips_leave_the_probabilities_alone():
    assert fit_temperature(np.empty((0, 3)), np.empty(0, int)) == 1.0
