"""Output adaptation of classes: what is borrowed from similar speakers, and whether."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax

from ser_head.personalization.output_adaptation import (
    GRID,
    PriorShift,
    ValidationSession,
    borrowed_prior,
    choose_prior_shift,
    prior_shift_bias,
)
from tests.ser_head.personalization.gaussians import Gaussians

quick = settings(max_examples=50, deadline=None)


class TestBorrowing:
    def test_the_prior_is_that_of_training_without_similar_speakers(self):
        train_prior = np.array([0.25, 0.75])
        nobody = np.zeros(0, np.int64)
        assert borrowed_prior(np.array([[3, 1]]), nobody, train_prior, 5.0) == pytest.approx(train_prior)

    def test_the_prior_is_the_lenders_where_training_is_not_trusted(self):
        counts, train_prior = np.array([[3, 1], [0, 4], [7, 7]]), np.array([0.25, 0.75])
        assert borrowed_prior(counts, np.array([0, 1]), train_prior, 1e-9) == pytest.approx([3 / 8, 5 / 8])

    @quick
    @given(st.integers(0, 100), st.floats(0.01, 1e4))
    def test_the_prior_adds_up_to_1(self, seed, alpha):
        random = np.random.default_rng(seed)
        counts, train_prior = random.integers(0, 50, (5, 4)), random.dirichlet(np.ones(4))
        prior = borrowed_prior(counts, np.array([3, 0]), train_prior, alpha)
        assert prior.sum() == pytest.approx(1)
        assert prior.min() > 0

    def test_only_the_nearest_speakers_count(self):
        counts = np.array([[90, 10], [10, 90], [50, 50]])
        train_prior, enrolled = np.array([0.5, 0.5]), np.zeros((1, 2))
        for order, likelier in (([0, 1, 2], 0), ([1, 0, 2], 1)):
            bias = prior_shift_bias(PriorShift(1, 1.0, np.inf), enrolled, np.array(order), counts, train_prior)
            assert bias.argmax() == likelier

    def test_without_a_prior_shift_the_bias_is_0(self):
        bias = prior_shift_bias(None, np.zeros((4, 2)), np.array([0]), np.array([[9, 1]]), np.array([0.5, 0.5]))
        assert bias.tolist() == [0, 0]


class TestChoice:
    """Two kinds of speakers with different label shares; a new speaker resembles those of its kind."""

    counts = np.array([[80, 10, 10], [75, 15, 10], [10, 10, 80], [10, 15, 75]])
    orders = (np.array([0, 1, 2, 3]), np.array([2, 3, 0, 1]))
    train_prior = counts.sum(axis=0) / counts.sum()

    def sessions(self, orders, lean=0.0, seed=0):
        random = np.random.default_rng(seed)
        return [self.session(kind, orders[kind], lean, random) for kind in (0, 1) * 10]

    def session(self, kind, order, lean, random):
        world = Gaussians()
        shares = self.counts[2 * kind] / self.counts[2 * kind].sum()
        targets = random.choice(3, 60, p=shares)
        clips = random.normal(world.means[targets], world.deviations[targets])
        logits = world.logits(clips, self.train_prior) + lean * random.normal(size=3)
        return ValidationSession(logits[:30], order, logits[30:], targets[30:])

    def test_borrowing_from_ones_own_kind_is_chosen(self):
        chosen = choose_prior_shift(self.sessions(self.orders), self.counts, self.train_prior)
        assert chosen is not None
        assert chosen.k == 1
        assert chosen.alpha < 1000  # trusts the lenders more than training

    def test_borrowing_from_the_other_kind_is_declined(self):
        assert choose_prior_shift(self.sessions(self.orders[::-1]), self.counts, self.train_prior) is None

    def test_heads_that_lean_are_matched_to_the_marginal(self):
        chosen = choose_prior_shift(self.sessions(self.orders, lean=2.0), self.counts, self.train_prior)
        assert chosen is not None
        assert chosen.tau <= 10

    def test_the_choice_has_the_least_log_loss(self):
        sessions = self.sessions(self.orders, lean=0.5, seed=1)

        def loss(calibration):
            losses = []
            for enrolled, order, scored, targets in sessions:
                bias = prior_shift_bias(calibration, enrolled, order, self.counts, self.train_prior)
                log_probabilities = log_softmax(scored + bias, axis=1)
                losses.append(-np.mean([row[target] for row, target in zip(log_probabilities, targets, strict=True)]))
            return np.mean(losses)

        chosen = choose_prior_shift(sessions, self.counts, self.train_prior)
        assert loss(chosen) == pytest.approx(min(loss(calibration) for calibration in (None, *GRID)))

    def test_without_sessions_it_declines(self):
        assert choose_prior_shift([], self.counts, self.train_prior) is None
