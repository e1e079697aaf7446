"""Output adaptation: a speaker's predictions moved to the label statistics of similar training speakers (PLDC).

Tran, Yin and Soleymani, "Personalized Adaptation with Pre-trained Speech Encoders for Continuous Emotion Recognition",
2023, move a new speaker's *numeric* predictions to the mean and deviation of the labels of similar training speakers.
There, moving the deviation alone helped and moving the mean did harm; so `rescale` keeps the mean unless asked.

For *classes* the statistic is a prior over the labels, borrowed from similar training speakers, and what moves is a
bias, one number per class, added to the logits: see `ser_head.personalization.prior_bias`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
from scipy.special import log_softmax

from ser_head.personalization.prior_bias import find_bias, shift
from ser_head.personalization.similarity import most_similar
from ser_head.personalization.speakers import TrainingSpeakers

LENDERS = 5  # similar training speakers that a new speaker borrows the deviation of its numbers from


class PriorShift(NamedTuple):
    """Strength of the adaptation of class probabilities.

    Attributes:
        k: number of similar training speakers borrowed from.
        alpha: number of clips that the prior of training counts as.
        tau: penalty on deviating from the correction of the prior alone.
    """

    k: int
    alpha: float
    tau: float


GRID = tuple(PriorShift(*values) for values in product((1, 5, 20), (10.0, 100.0, 1000.0), (1.0, 10.0, 100.0, np.inf)))


@dataclass(frozen=True)
class OutputCalibration:
    """What is done to the outputs of a fold's head.

    Attributes:
        parameters: of the calibrator; that of temperature scaling divides the logits.
        prior: effective share of each class in training, (classes,): with weighted classes, not that of the clips.
        prior_shift: how label shares are borrowed from similar speakers; None where that does not help.
        numbers: mean and deviation of the training labels, for a head that answers with a number; then nothing else
            applies.
        calibrator: entry of `ser_head.scoring.calibrators.CALIBRATORS`.
    """

    parameters: tuple[float, ...]
    prior: np.ndarray
    prior_shift: PriorShift | None = None
    numbers: tuple[float, float] | None = None
    calibrator: str = "temperature"


class ValidationSession(NamedTuple):
    """A session of a speaker who was held out of training.

    Attributes:
        enrolled: log-probabilities of the enrolled clips, (n, classes).
        order: positions of the training speakers, the most similar first.
        scored: log-probabilities of the scored clips, (clips, classes).
        targets: class of each scored clip, int (clips,).
    """

    enrolled: np.ndarray
    order: np.ndarray
    scored: np.ndarray
    targets: np.ndarray


def adapt_probabilities(
    log_probabilities: np.ndarray,
    enrolled_log_probabilities: np.ndarray,
    enrolled: np.ndarray,
    row: int,
    training_speakers: TrainingSpeakers,
    calibration: OutputCalibration,
) -> np.ndarray | None:
    """Move class probabilities to the label shares of similar training speakers, or of the training speaker itself.

    Args:
        log_probabilities: of the clips to score, (clips, classes).
        enrolled_log_probabilities: of the enrolled clips, (n, classes).
        enrolled: standardised vectors of the enrolled clips, float32 (n, layers, width).
        row: the speaker's row of the speaker table, counted from 1; 0 for a speaker who was not in training.
        training_speakers: the speakers of the fold's training clips.
        calibration: of the fold's outputs.

    Returns:
        float32 (clips, classes), or None where nothing is borrowed.
    """
    prior_shift, prior = calibration.prior_shift, calibration.prior
    if prior_shift is None:
        return None
    if row:
        speaker_prior = borrowed_prior(training_speakers.counts, np.array([row - 1]), prior, prior_shift.alpha)
        return shift(log_probabilities, np.log(speaker_prior) - np.log(prior))
    if not len(enrolled) or not len(log_probabilities):
        return None
    nearest = most_similar(enrolled, training_speakers.means, prior_shift.k)
    bias = prior_shift_bias(prior_shift, enrolled_log_probabilities, nearest, training_speakers.counts, prior)
    return shift(log_probabilities, bias)


def adapt_numbers(
    numbers: np.ndarray,
    enrolled_numbers: np.ndarray,
    enrolled: np.ndarray,
    row: int,
    training_speakers: TrainingSpeakers,
    calibration: OutputCalibration,
) -> np.ndarray | None:
    """Stretch numeric predictions to the deviation of similar training speakers, as measured on the enrolled clips.

    Args:
        numbers: predictions of the clips to score, float32 (clips, 1).
        enrolled_numbers: predictions of the enrolled clips, float32 (n, 1).
        enrolled: standardised vectors of the enrolled clips, float32 (n, layers, width).
        row: not used: training speakers are stretched like any other.
        training_speakers: the speakers of the fold's training clips.
        calibration: not used.

    Returns:
        float32 (clips, 1), or None with fewer than two enrolled clips, which have no deviation.
    """
    if len(enrolled_numbers) < 2 or not len(numbers):
        return None
    nearest = most_similar(enrolled, training_speakers.means, LENDERS)
    mean, deviation = borrowed_moments(training_speakers.numbers[:, 0], training_speakers.numbers[:, 1], nearest)
    stretched = rescale(numbers[:, 0], mean, deviation, speaker_moments=moments(enrolled_numbers))
    return stretched.astype(np.float32)[:, np.newaxis]


def borrowed_prior(counts: np.ndarray, nearest: np.ndarray, train_prior: np.ndarray, alpha: float) -> np.ndarray:
    """Return the prior (alpha pi_train + sum of the borrowed counts) / (alpha + their number), float64 (classes,).

    >>> borrowed_prior(np.array([[3, 1], [9, 9]]), np.array([0]), np.array([0.5, 0.5]), alpha=4.0).tolist()
    [0.625, 0.375]

    Args:
        counts: clips of each training speaker by class, (speakers, classes).
        nearest: positions of the speakers borrowed from.
        train_prior: share of each class in training, (classes,).
        alpha: number of clips that `train_prior` counts as, above 0.
    """
    borrowed = counts[nearest].sum(axis=0)
    return (alpha * train_prior + borrowed) / (alpha + borrowed.sum())


def prior_shift_bias(
    prior_shift: PriorShift | None,
    enrolled: np.ndarray,
    order: np.ndarray,
    counts: np.ndarray,
    train_prior: np.ndarray,
) -> np.ndarray:
    """Return the bias of a speaker.

    Args:
        prior_shift: how to borrow; None for not at all.
        enrolled: log-probabilities of the speaker's enrolled clips, (n, classes).
        order: positions of the training speakers, the most similar first.
        counts: clips of each training speaker by class, (speakers, classes).
        train_prior: share of each class in training, (classes,), all above 0.

    Returns:
        float64 (classes,); 0 without a prior shift or without enrolled clips.
    """
    if prior_shift is None:
        return np.zeros(len(train_prior))
    prior = borrowed_prior(counts, order[: prior_shift.k], train_prior, prior_shift.alpha)
    return find_bias(enrolled, prior, train_prior, prior_shift.tau)


def choose_prior_shift(
    held_out: Sequence[ValidationSession],
    counts: np.ndarray,
    train_prior: np.ndarray,
    grid: Sequence[PriorShift] = GRID,
) -> PriorShift | None:
    """Choose the prior shift with the least log-loss, averaged over sessions of speakers held out of training.

    Args:
        held_out: the sessions.
        counts: clips of each training speaker by class, (speakers, classes).
        train_prior: share of each class in training, (classes,), all above 0.
        grid: the candidates.

    Returns:
        The best; None where none is better than no shift at all, or where there are no sessions.
    """

    def loss(prior_shift: PriorShift | None) -> float:
        return sum(
            _log_loss(session, prior_shift_bias(prior_shift, session.enrolled, session.order, counts, train_prior))
            for session in held_out
        )

    return min([None, *grid], key=loss)  # of equals the first


def _log_loss(session: ValidationSession, bias: np.ndarray) -> float:
    """Return the mean log-loss of the scored clips."""
    log_probabilities = log_softmax(session.scored + bias, axis=1)
    return -float(log_probabilities[np.arange(len(log_probabilities)), session.targets].mean())


def moments(values: np.ndarray) -> tuple[float, float]:
    """Return mean and (population) standard deviation of some numbers, at least one."""
    return float(np.mean(values, dtype=np.float64)), float(np.std(values, dtype=np.float64))


def borrowed_moments(means: np.ndarray, deviations: np.ndarray, nearest: np.ndarray) -> tuple[float, float]:
    """Return the average label mean and the average label deviation of the speakers borrowed from.

    Args:
        means: mean label of each training speaker, (speakers,).
        deviations: standard deviation of each one's labels, (speakers,).
        nearest: positions of the speakers borrowed from, at least one.

    Raises:
        ValueError: `nearest` is empty.
    """
    if not len(nearest):
        raise ValueError("moments are borrowed from at least one speaker, but none was given")
    return float(np.mean(means[nearest])), float(np.mean(deviations[nearest]))


def rescale(
    predictions: np.ndarray,
    mean: float,
    deviation: float,
    *,
    move_mean: bool = False,
    speaker_moments: tuple[float, float] | None = None,
) -> np.ndarray:
    """Stretch a speaker's predictions about their mean to a borrowed deviation.

    >>> rescale(np.array([1.0, 3.0]), mean=5.0, deviation=2.0).tolist()
    [0.0, 4.0]
    >>> rescale(np.array([1.0, 3.0]), mean=5.0, deviation=2.0, move_mean=True).tolist()
    [3.0, 7.0]

    Args:
        predictions: the speaker's, (clips,).
        mean: borrowed mean, used with `move_mean` alone.
        deviation: borrowed standard deviation.
        move_mean: move the mean too.
        speaker_moments: mean and deviation of the speaker's predictions, as `moments` measured them on enrolled clips;
            None measures `predictions` themselves, which is transductive.

    Returns:
        float64 (clips,). Where the speaker's deviation is 0, as on a single clip, nothing is stretched.
    """
    if not len(predictions):
        return np.zeros(0)
    speaker_mean, speaker_deviation = speaker_moments or moments(predictions)
    stretch = deviation / speaker_deviation if speaker_deviation > 0 else 1.0
    return (mean if move_mean else speaker_mean) + stretch * (predictions.astype(np.float64) - speaker_mean)
