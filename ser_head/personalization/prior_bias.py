"""Prior bias: the numbers added to a speaker's logits so that predictions fit the speaker's label shares.

For n clips with calibrated logits z_i (log-probabilities will do: a constant per clip changes nothing) and a prior pi
over the labels, the bias b has one number per class. Derivation:

- If the speaker's prior were known to be pi, and nothing else differed from training, Bayes' rule would give
  p(y | x) ~ p_train(y | x) pi(y) / pi_train(y): the bias b0 = log(pi / pi_train).
- If pi were known to be the share of each class among these n clips, the predictions should have it as their mean:
  n pi = sum_i softmax(z_i + b). That is where the gradient of n <pi, b> - sum_i logsumexp(z_i + b) is zero.
- Between the two lies b* = argmax n <pi, b> - sum_i logsumexp(z_i + b) - (tau / 2) |b - b0|^2: tau to infinity gives
  b0, tau to 0 the matched marginal, and the more clips there are, the more the marginal counts.

logsumexp is convex, so the objective is concave, and strictly so for tau > 0. A constant added to b changes the penalty
alone; so b* has the mean of b0 for every tau > 0, and for tau = 0, where any constant would do, it is given the same.
The maximum is found by Newton's method, written here because it reaches a residual of 1e-6 from any starting point;
scipy's general optimisers stop earlier where all predictions are near 0 or 1.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax

# Largest component of the gradient: the target, an allowance per clip for rounding, and the guaranteed bound.
_TOLERANCE, _TOLERANCE_PER_CLIP, _PROMISE = 1e-9, 1e-10, 1e-6
_ITERATIONS = 200  # of Newton's method, which needs about ten
_TRIALS = 100  # of a step's length
# Of a clip's logits, in nats; beyond it predictions are so close to 0 or 1 that the objective has corners.
_EASY_SPREAD = 50.0


def find_bias(log_probabilities: np.ndarray, prior: np.ndarray, train_prior: np.ndarray, tau: float) -> np.ndarray:
    """Find the bias b* of a speaker; see the module's derivation.

    Args:
        log_probabilities: of the speaker's clips, (n, classes), finite.
        prior: pi, (classes,), all above 0; taken relative to its sum.
        train_prior: pi_train, (classes,), all above 0; taken relative to its sum.
        tau: 0 matches the marginal, infinity corrects the prior alone.

    Returns:
        Bias, float64 (classes,), at which no component of the gradient exceeds 1e-6 (1e-10 n for over 10 000 clips); 0
        where no clips are given, since then nothing is borrowed.

    Raises:
        ValueError: a prior is not above 0, a logarithm not finite, or tau negative.
    """
    if np.min(prior) <= 0 or np.min(train_prior) <= 0 or not np.isfinite(log_probabilities).all() or not tau >= 0:
        raise ValueError("priors have to be above 0, log-probabilities finite and tau at least 0")
    if not len(log_probabilities):
        return np.zeros(len(prior))
    prior, train_prior = (
        np.asarray(values, np.float64) / np.sum(values, dtype=np.float64) for values in (prior, train_prior)
    )
    anchor = np.log(prior) - np.log(train_prior)
    if np.isinf(tau):
        return anchor
    logits = log_probabilities + anchor
    smoothing = max(1.0, float(np.ptp(logits, axis=1).max()) / _EASY_SPREAD)
    offset = np.zeros(len(prior))  # b - b0
    while smoothing > 1:
        offset = _maximise(_Objective(logits, prior, tau, smoothing), offset)
        smoothing /= 2
    return anchor + _maximise(_Objective(logits, prior, tau), offset)


def shift(log_probabilities: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Return the probabilities softmax(log_probabilities + bias), float32 (clips, classes)."""
    return np.exp(log_softmax(log_probabilities + bias, axis=1)).astype(np.float32)


@dataclass(frozen=True)
class _Objective:
    """The objective of `find_bias`, a function of b - b0, with s logsumexp(z / s) in place of logsumexp(z).

    The solution for a smoothing s is a good start for s / 2, and so leads to that for s = 1 from any distance.
    """

    logits: np.ndarray
    prior: np.ndarray
    tau: float
    smoothing: float = 1.0

    def predictions(self, offset: np.ndarray) -> np.ndarray:
        return np.exp(log_softmax((self.logits + offset) / self.smoothing, axis=1))

    def gradient(self, offset: np.ndarray) -> np.ndarray:
        return len(self.logits) * self.prior - self.predictions(offset).sum(axis=0) - self.tau * offset

    def curvature(self, offset: np.ndarray) -> np.ndarray:
        """Return minus the Hessian, (classes, classes)."""
        predictions = self.predictions(offset)
        spread = np.diag(predictions.sum(axis=0)) - predictions.T @ predictions
        return spread / self.smoothing + self.tau * np.eye(len(offset))


def _maximise(objective: _Objective, start: np.ndarray) -> np.ndarray:
    """Climb by Newton's method, with a search for each step's length, to where the gradient is 0."""
    offset, tolerance = start, _TOLERANCE + _TOLERANCE_PER_CLIP * len(objective.logits)
    for _ in range(_ITERATIONS):
        gradient = objective.gradient(offset)
        steepest = float(np.abs(gradient).max())
        if steepest < tolerance:
            break
        # Where all predictions are 0 or 1 the curvature is 0 in floating point; a ridge that vanishes towards the
        # solution keeps the step defined and does not slow the last steps.
        ridge = 1e-3 * steepest / objective.smoothing * np.eye(len(offset))
        step = np.linalg.solve(objective.curvature(offset) + ridge, gradient)
        step -= step.mean()  # 0 but for rounding
        offset = offset + _length(objective, offset, step) * step
    if steepest > max(_PROMISE, tolerance):
        raise ArithmeticError(f"no bias found in {_ITERATIONS} steps; the gradient is still {steepest:.1e}")
    return offset


def _length(objective: _Objective, offset: np.ndarray, step: np.ndarray) -> float:
    """Return how far to go along a step: to where the slope has halved, but not so far that the gain is lost again.

    The slope only falls on the way, so the gain is at least length / 2 times the sum of the slopes midway and at the
    end. (The objective's own values are too large to tell small gains.)
    """

    def slope(length: float) -> float:
        return float(objective.gradient(offset + length * step) @ step)

    steepness = slope(0.0)
    low, high, length = 0.0, np.inf, 1.0
    for _ in range(_TRIALS):
        if slope(length) > steepness / 2:
            low, length = length, 2 * length if np.isinf(high) else (length + high) / 2
        elif slope(length / 2) + slope(length) < steepness / 10:
            high, length = length, (low + length) / 2
        else:
            break
    return length
