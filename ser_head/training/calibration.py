"""Calibration of a trained head: its scorer, fitted on clips that the head has not learned from.

A fold's head is calibrated on the fold's validation clips. A head trained on all clips has none left: it is calibrated
on what the heads of the folds answered for their test clips, each of which was scored by a head that has never heard
its speaker. Its temperature, its out-of-domain threshold and the statistics of methods that adapt outputs therefore
hold for speakers who are new to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ser_head.data.dataset import Dataset
from ser_head.data.frames import clip_means
from ser_head.evaluation.predictions import VALIDATION, prediction_rows
from ser_head.personalization.enrollment import SIZES, enrollment_sessions
from ser_head.personalization.methods import METHODS
from ser_head.personalization.output_adaptation import OutputCalibration, ValidationSession
from ser_head.personalization.similarity import most_similar
from ser_head.personalization.speakers import TrainingSpeakers
from ser_head.scoring.calibrators import CALIBRATORS, DEFAULT_CALIBRATOR
from ser_head.scoring.ood import KnnOodDetector, draw_examples, fit_ood_detector, ood_threshold
from ser_head.scoring.scorer import Scorer, ScoringRequest
from ser_head.scoring.temperature import safe_log
from ser_head.training.base import Trainer
from ser_head.training.conditions import ENROLLMENT_DRAWS
from ser_head.training.fold import Fold
from ser_head.training.inputs import validation_inputs

_OOD_CLIPS = 2000  # clips of a part that the out-of-domain detector is fitted on, at most


@dataclass(frozen=True)
class HeldOutAnswers:
    """What a head answered for clips of speakers it has never heard.

    Attributes:
        outputs: before calibration, with each number of enrolled clips, float32 (variants, clips, outputs).
        targets: class of each clip, int64 (clips,).
        sessions: for methods that adapt outputs, calibrated; none where no method does.
        training_speakers: the speakers whose positions the sessions give.
        ood_distances: distances from the training clips, float64 (some of the clips,).
    """

    outputs: np.ndarray
    targets: np.ndarray
    sessions: tuple[ValidationSession, ...]
    training_speakers: tuple[str, ...]
    ood_distances: np.ndarray


def calibrate(data: Dataset, trainer: Trainer, fold: Fold) -> tuple[Scorer, pd.DataFrame]:
    """Make a scorer of a fold's head, by the validation clips.

    Args:
        data: the clips of all folds.
        trainer: of the head.
        fold: the fold.

    Returns:
        The scorer, and predictions of the validation clips.
    """
    clips = fold.split.validation
    outputs, targets = _outputs(data, trainer, fold), data.targets[clips]
    scorer = _scorer(data, trainer, fold, outputs, targets)
    if _adapting(fold):
        _adapt(scorer, fold, _sessions(data, fold, scorer))
    random = fold.generator(ENROLLMENT_DRAWS)
    scorer.ood_detector = fit_ood_detector(
        *(_some_scaled(data, fold, part, random) for part in (fold.split.train, clips))
    )
    unknown = scorer.calibrated(outputs[0])
    return scorer, prediction_rows(data, clips, unknown, fold.split.fold, VALIDATION, scorer.temperature)


def answer_held_out(data: Dataset, trainer: Trainer, fold: Fold, scorer: Scorer) -> HeldOutAnswers:
    """Let a fold's head answer for the fold's test clips, in the way `calibrate` does for its validation clips.

    Args:
        data: the clips of all folds.
        trainer: of the head.
        fold: the fold; none of its test speakers is in training or validation.
        scorer: of the head.
    """
    clips = fold.split.test
    tested = replace(fold, split=replace(fold.split, validation=clips))
    sessions: list[ValidationSession] = []
    if _adapting(fold):
        calibration = replace(scorer.output_calibration, prior_shift=None)
        sessions = _sessions(data, tested, Scorer(trainer.predict, fold.scaling, fold.personalizer, calibration))
    distances = np.zeros(0)
    if scorer.ood_detector is not None:
        distances = scorer.ood_detector.score(_some_scaled(data, fold, clips, fold.generator(ENROLLMENT_DRAWS)))
    names = fold.personalizer.training_speakers.names
    return HeldOutAnswers(_outputs(data, trainer, tested), data.targets[clips], tuple(sessions), names, distances)


def calibrate_whole(data: Dataset, trainer: Trainer, fold: Fold, answers: Sequence[HeldOutAnswers]) -> Scorer:
    """Make a scorer of a head trained on all clips.

    Args:
        data: the clips.
        trainer: of the head.
        fold: all clips as training clips.
        answers: of the heads of the folds, for speakers that were new to them.
    """
    outputs = np.concatenate([part.outputs for part in answers], axis=1)
    scorer = _scorer(data, trainer, fold, outputs, np.concatenate([part.targets for part in answers]))
    if _adapting(fold):
        speakers = fold.personalizer.training_speakers
        _adapt(scorer, fold, [session for part in answers for session in sessions_among(speakers, part)])
    examples = draw_examples(_some_scaled(data, fold, fold.split.train, fold.generator(ENROLLMENT_DRAWS)))
    distances = np.concatenate([part.ood_distances for part in answers])
    scorer.ood_detector = KnnOodDetector(examples, ood_threshold(distances))
    return scorer


def sessions_among(speakers: TrainingSpeakers, answers: HeldOutAnswers) -> list[ValidationSession]:
    """Return the sessions of a fold with the positions that its training speakers have among others.

    Args:
        speakers: training speakers of the head trained on all clips.
        answers: of the fold's head.
    """
    positions = np.array([speakers.names.index(name) for name in answers.training_speakers])
    return [session._replace(order=positions[session.order]) for session in answers.sessions]


def _outputs(data: Dataset, trainer: Trainer, fold: Fold) -> np.ndarray:
    """Return a head's answers for the validation clips with each number of enrolled clips: HeldOutAnswers.outputs."""
    builders = validation_inputs(data, fold, fold.personalizer, fold.generator(ENROLLMENT_DRAWS))
    return np.stack([builder.outputs(trainer.predict, fold.split.validation) for builder in builders])


def _scorer(data: Dataset, trainer: Trainer, fold: Fold, outputs: np.ndarray, targets: np.ndarray) -> Scorer:
    """Return a scorer whose calibrator is fitted on a head's answers, without out-of-domain detector.

    Args:
        data: the clips of all folds.
        trainer: of the head.
        fold: what the head was trained on.
        outputs: before calibration, float32 (variants, clips, outputs).
        targets: class of each clip, int64 (clips,).
    """
    name = DEFAULT_CALIBRATOR
    parameters: tuple[float, ...] = (1.0,)
    if fold.numbers is None:
        name = trainer.config.calibration
        all_targets = np.tile(targets, len(outputs))
        parameters = tuple(CALIBRATORS[name].fit(np.concatenate(outputs), all_targets))
    calibration = OutputCalibration(parameters, _effective_prior(fold, data), numbers=fold.numbers, calibrator=name)
    return Scorer(trainer.predict, fold.scaling, fold.personalizer, calibration)


def _adapting(fold: Fold) -> list[str]:
    """Return the methods that adapt class probabilities."""
    return [name for name in fold.personalizer.methods if METHODS[name].adapts_outputs and fold.numbers is None]


def _adapt(scorer: Scorer, fold: Fold, sessions: Sequence[ValidationSession]) -> None:
    """Let the methods that adapt outputs learn from the sessions of speakers who were held out."""
    calibration, training_speakers = scorer.output_calibration, fold.personalizer.training_speakers
    for name in _adapting(fold):
        prior_shift = METHODS[name].fit_output(sessions, training_speakers, calibration.prior)
        scorer.output_calibration = replace(calibration, prior_shift=prior_shift)


def _sessions(data: Dataset, fold: Fold, scorer: Scorer) -> list[ValidationSession]:
    """Score the validation speakers as if they were enrolled."""
    training_speakers = fold.personalizer.training_speakers
    scored = []
    for session in enrollment_sessions(
        data.speakers, fold.split.validation, SIZES[-1], fold.generator(ENROLLMENT_DRAWS)
    ):
        if len(session.enrolled) == 0:
            continue
        enrolled, corpus = data.read(session.enrolled), data.corpora[session.enrolled[0]]
        enrolled_outputs = scorer.score([ScoringRequest(enrolled, enrolled, corpus=corpus)])
        outputs = scorer.score([ScoringRequest(data.read(session.scored), enrolled, corpus=corpus)])
        order = most_similar(
            fold.scaling.read(data, session.enrolled), training_speakers.means, len(training_speakers.names)
        )
        targets = data.targets[session.scored]
        scored.append(ValidationSession(safe_log(enrolled_outputs), order, safe_log(outputs), targets))
    return scored


def _some_scaled(data: Dataset, fold: Fold, clips: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return one standardised vector for each of some clips, float32 (`_OOD_CLIPS` at most, layers, width).

    Args:
        data: the clips of all folds.
        fold: its scaling is applied.
        clips: positions of the clips.
        random: draws clips where they are many.
    """
    if len(clips) > _OOD_CLIPS:
        clips = np.sort(random.choice(clips, _OOD_CLIPS, replace=False))
    vectors = np.concatenate([clip_means(data.read(window)) for window in data.windows(clips)])
    return fold.scaling.apply(vectors, data.corpora[clips])


def _effective_prior(fold: Fold, data: Dataset) -> np.ndarray:
    """Return the share of each class that the loss saw: that of the clips, times the weight of the class."""
    counts = np.bincount(data.targets[fold.split.train], minlength=data.desired.shape[1])
    shares = counts * fold.class_weights.astype(np.float64)
    return shares / shares.sum()
