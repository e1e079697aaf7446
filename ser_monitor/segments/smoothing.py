"""Smoothing of answers over time: exponential for probabilities, hysteresis for the label.

The weight of a new answer depends on the time since the last one, not on their number: 1 - exp(-dt / tau) (Brown,
"Smoothing, Forecasting and Prediction of Discrete Time Series", 1963). So it is the same at any hop, and after a pause
the past counts little.
"""

import math
from collections.abc import Sequence

import numpy as np

from ser_monitor.events import UNCERTAIN, UNFAMILIAR_ABOVE

MARGIN = 0.1  # by which another emotion has to lead before the label changes


class Smoother:
    """Answers of one session, smoothed.

    >>> smoother = Smoother(("happy", "sad"), tau_s=2.0)
    >>> smoother.update(np.array([0.9, 0.1]), 0.5, at_s=3.0)[1]
    'happy'
    >>> smoother.update(np.array([0.4, 0.6]), 0.5, at_s=4.0)[1]  # one window does not change it
    'happy'
    """

    def __init__(self, labels: Sequence[str], tau_s: float, min_confidence: float | None = None) -> None:
        """Begin without an answer.

        Args:
            labels: the classes.
            tau_s: time constant in seconds; 0 smooths nothing.
            min_confidence: as `ser_head.PredictConfig` has it: below it the label is uncertain; 0 takes every answer.
        """
        self._labels, self._tau_s, self._min_confidence = tuple(labels), tau_s, min_confidence
        self._probabilities: np.ndarray | None = None
        self._ood_score, self._at_s = 0.0, 0.0
        self._best = -1

    def update(self, probabilities: np.ndarray, ood_score: float, at_s: float) -> tuple[np.ndarray, str]:
        """Add an answer.

        Args:
            probabilities: of the classes, float64 (classes,).
            ood_score: out-of-domain score.
            at_s: end of its segment, in seconds.

        Returns:
            Smoothed probabilities, float64 (classes,), and the label.
        """
        if self._probabilities is None or self._tau_s == 0:
            self._probabilities, self._ood_score = probabilities, ood_score
        else:
            weight = 1 - math.exp(-max(at_s - self._at_s, 0.0) / self._tau_s)
            self._probabilities = self._probabilities + weight * (probabilities - self._probabilities)
            self._ood_score += weight * (ood_score - self._ood_score)
        self._at_s = at_s
        return self._probabilities, self._label()

    def _label(self) -> str:
        probabilities = self._probabilities
        if probabilities is None:
            return UNCERTAIN
        best = int(probabilities.argmax())
        margin = MARGIN if self._tau_s else 0.0
        if self._best < 0 or probabilities[best] > probabilities[self._best] + margin:
            self._best = best
        is_unfamiliar = self._min_confidence != 0 and self._ood_score > UNFAMILIAR_ABOVE
        is_weak = probabilities[best] < (self._min_confidence or 0)
        return UNCERTAIN if is_unfamiliar or is_weak else self._labels[self._best]
