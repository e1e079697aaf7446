"""Prior bias: it is stationary, has the right limits, and agrees with Bayes' rule."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax

from ser_head.personalization.prior_bias import find_bias, shift
from tests.ser_head.personalization.gaussians import Gaussians

quick = settings(max_examples=50, deadline=None)
TAUS = st.sampled_from([0.0, 1e-9, 1e-3, 0.1, 1.0, 30.0, 1e6])


@st.composite
def problems(draw, largest=30.0):
    """Draw logits of some clips, a prior and the prior of training."""
    clips, classes = draw(st.integers(1, 12)), draw(st.integers(2, 6))
    logits = draw(arrays(np.float64, (clips, classes), elements=st.floats(-largest, largest)))
    weights = draw(arrays(np.float64, (2, classes), elements=st.floats(1e-4, 1)))
    prior, train_prior = weights / weights.sum(axis=1, keepdims=True)
    return logits, prior, train_prior


def residual(bias, logits, prior, train_prior, tau):
    """Return the gradient of the objective, by its definition."""
    pull = tau * (bias - np.log(prior / train_prior))
    return len(logits) * prior - softmax(logits + bias, axis=1).sum(axis=0) - pull


class TestBias:
    @quick
    @given(problems(), TAUS)
    def test_it_is_stationary(self, problem, tau):
        assert residual(find_bias(*problem, tau), *problem, tau) == pytest.approx(0, abs=1e-6)

    @quick
    @given(problems(largest=1e5), TAUS)
    def test_it_is_stationary_for_extreme_logits(self, problem, tau):
        assert residual(find_bias(*problem, tau), *problem, tau) == pytest.approx(0, abs=1e-6)

    def test_a_step_between_two_saturated_answers_is_cut(self):
        problem = np.array([[11.0, 1.0, 0.0, 1.0]]), np.array([2, 1, 2, 2]) / 7, np.full(4, 0.25)
        assert residual(find_bias(*problem, 0.0), *problem, 0.0) == pytest.approx(0, abs=1e-6)

    @quick
    @given(problems(), TAUS)
    def test_its_mean_is_that_of_the_prior_correction(self, problem, tau):
        _, prior, train_prior = problem
        assert find_bias(*problem, tau).mean() == pytest.approx(np.log(prior / train_prior).mean(), abs=1e-6)

    @quick
    @given(problems(largest=8.0), st.sampled_from([1e-2, 1.0, 10.0]))
    def test_it_equals_a_general_optimiser(self, problem, tau):
        logits, prior, train_prior = problem
        anchor = np.log(prior / train_prior)

        def loss(bias):
            gain = len(logits) * prior @ bias - logsumexp(logits + bias, axis=1).sum()
            return -gain + tau / 2 * np.sum((bias - anchor) ** 2)

        minimum = minimize(
            loss, anchor, jac=lambda bias: -residual(bias, *problem, tau), method="BFGS", options={"gtol": 1e-7}
        )
        assert loss(find_bias(*problem, tau)) <= minimum.fun + 1e-9
        assert find_bias(*problem, tau) == pytest.approx(minimum.x, abs=1e-3)

    @quick
    @given(problems())
    def test_without_penalty_the_marginal_is_matched(self, problem):
        logits, prior, _ = problem
        assert shift(logits, find_bias(*problem, 0.0)).mean(axis=0) == pytest.approx(prior, abs=1e-6)

    @quick
    @given(problems())
    def test_with_a_vanishing_penalty_the_marginal_is_nearly_matched(self, problem):
        logits, prior, _ = problem
        assert shift(logits, find_bias(*problem, 1e-7)).mean(axis=0) == pytest.approx(prior, abs=2e-5)

    @quick
    @given(problems())
    def test_a_growing_penalty_leads_to_the_prior_correction(self, problem):
        _, prior, train_prior = problem
        assert find_bias(*problem, np.inf) == pytest.approx(np.log(prior / train_prior))
        assert find_bias(*problem, 1e9) == pytest.approx(np.log(prior / train_prior), abs=1e-6)

    @quick
    @given(problems())
    def test_the_prior_of_training_changes_nothing_where_the_penalty_is_infinite(self, problem):
        logits, prior, _ = problem
        bias = find_bias(logits, prior, prior, np.inf)
        assert np.array_equal(bias, np.zeros(len(prior)))
        assert shift(logits, bias) == pytest.approx(softmax(logits, axis=1), abs=1e-6)

    @quick
    @given(problems(), TAUS, st.randoms(use_true_random=False))
    def test_it_follows_the_order_of_the_classes(self, problem, tau, random):
        logits, prior, train_prior = problem
        order = random.sample(range(len(prior)), len(prior))
        permuted = find_bias(logits[:, order], prior[order], train_prior[order], tau)
        shifted = shift(logits[:, order], permuted)
        assert shifted == pytest.approx(shift(logits, find_bias(*problem, tau))[:, order], abs=1e-4)

    @quick
    @given(problems(), TAUS, st.floats(-20, 20))
    def test_a_constant_per_clip_changes_nothing(self, problem, tau, constant):
        logits, *priors = problem
        moved = shift(logits, find_bias(logits + constant, *priors, tau))
        assert moved == pytest.approx(shift(logits, find_bias(*problem, tau)), abs=1e-4)

    def test_priors_in_float32_are_taken_relative_to_their_sum(self):
        random = np.random.default_rng(0)
        prior, train_prior = random.dirichlet(np.ones(6), 2).astype(np.float32)
        logits = random.normal(size=(300, 6)).astype(np.float32)
        bias = find_bias(logits, prior * np.float32(1.001), train_prior, 0.0)
        assert shift(logits, bias).mean(axis=0) == pytest.approx(prior, abs=1e-6)

    @pytest.mark.parametrize("tau", [0.0, 1.0, np.inf])
    def test_without_clips_nothing_is_borrowed(self, tau):
        assert find_bias(np.zeros((0, 2)), np.array([0.9, 0.1]), np.array([0.5, 0.5]), tau).tolist() == [0, 0]

    @pytest.mark.parametrize(
        ("logits", "prior", "train_prior", "tau"),
        [
            ([[0.0, 0.0]], [1.0, 0.0], [0.5, 0.5], 1.0),
            ([[0.0, 0.0]], [0.5, 0.5], [1.0, 0.0], 1.0),
            ([[0.0, -np.inf]], [0.5, 0.5], [0.5, 0.5], 1.0),
            ([[0.0, 0.0]], [0.5, 0.5], [0.5, 0.5], -1.0),
            ([[0.0, 0.0]], [0.5, 0.5], [0.5, 0.5], np.nan),
        ],
    )
    def test_what_has_no_solution_is_refused(self, logits, prior, train_prior, tau):
        with pytest.raises(ValueError, match="have to be above 0"):
            find_bias(np.array(logits), np.array(prior), np.array(train_prior), tau)


class TestGaussians:
    def test_the_prior_correction_is_bayes_answer_under_the_new_prior(self):
        world = Gaussians()
        clips, _ = world.draw(200)
        logits = world.logits(clips, world.train_prior)
        bias = find_bias(logits, world.prior, world.train_prior, np.inf)
        assert shift(logits, bias) == pytest.approx(np.exp(world.logits(clips, world.prior)), abs=1e-6)

    def test_matching_the_marginal_of_very_many_clips_is_too(self):
        world = Gaussians()
        clips, _ = world.draw(20_000)
        logits = world.logits(clips, world.train_prior)
        shifted = shift(logits, find_bias(logits, world.prior, world.train_prior, 0.0))
        assert shifted == pytest.approx(np.exp(world.logits(clips, world.prior)), abs=0.03)

    def test_the_marginal_makes_up_for_a_head_that_leans_to_a_class(self):
        """The prior correction cannot: it does not depend on the clips."""
        world = Gaussians()
        clips, _ = world.draw(20_000)
        leaning = world.logits(clips, world.train_prior) + np.array([0.0, 1.5, -1.0])
        truth = np.exp(world.logits(clips, world.prior))
        matched = shift(leaning, find_bias(leaning, world.prior, world.train_prior, 0.0))
        corrected = shift(leaning, find_bias(leaning, world.prior, world.train_prior, np.inf))
        assert np.abs(matched - truth).max() < 0.05
        assert np.abs(corrected - truth).max() > 0.3
