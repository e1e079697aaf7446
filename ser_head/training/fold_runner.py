"""Fold runner: one fold of one seed is trained, calibrated, and scored under every condition."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ser_head.config.training import TrainConfig
from ser_head.data.dataset import Dataset
from ser_head.data.frames import clip_means
from ser_head.data.splits import Split
from ser_head.evaluation.predictions import VALIDATION, prediction_rows
from ser_head.personalization.conditions import PLAIN
from ser_head.personalization.enrollment import SIZES, enrollment_sessions
from ser_head.personalization.methods import METHODS
from ser_head.personalization.output_adaptation import OutputCalibration, ValidationSession
from ser_head.personalization.similarity import most_similar
from ser_head.scoring.calibrators import CALIBRATORS, DEFAULT_CALIBRATOR
from ser_head.scoring.ood import KnnOodDetector, fit_ood_detector
from ser_head.scoring.scorer import Scorer, ScoringRequest
from ser_head.scoring.scorer_file import SCORER_FILE, save_scorer
from ser_head.scoring.temperature import safe_log
from ser_head.training.base import FitResult, Trainer
from ser_head.training.conditions import ENROLLMENT_DRAWS, conditions_of, score_condition, unknown_sessions
from ser_head.training.fold import Fold, prepare_fold, trains_identically, without_personalization
from ser_head.training.inputs import validation_inputs
from ser_head.training.registry import make_trainer
from ser_head.training.search import searched_settings

_OOD_CLIPS = 2000  # training and validation clips that the out-of-domain detector is fitted on, at most
_PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class FoldResult:
    """Outcome of one fold.

    Attributes:
        tested: predictions of the test clips under every condition; the first of a clip is what the run is judged by.
        validated: predictions of the validation clips.
        history: one row per epoch.
        candidates: one row per candidate of a search; see `ser_head.training.search`.
        entry: the fold's entry in run.json.
    """

    tested: pd.DataFrame
    validated: pd.DataFrame
    history: pd.DataFrame
    candidates: pd.DataFrame
    entry: dict[str, Any]


class FoldRunner:
    """Trains and scores the folds of a run, one after another, each on the same compiled network.

    Attributes:
        config: the run's.
    """

    def __init__(self, data: Dataset, config: TrainConfig, most_speakers: int) -> None:
        """Make the trainers.

        Args:
            data: the clips of all folds.
            config: the run's.
            most_speakers: number of training speakers of the fold that has most.
        """
        self._data = data
        self.config = config
        self._table_rows = most_speakers + 1  # row 0 is the unknown speaker
        self._trainer = make_trainer(data, config, self._table_rows)

    def run(self, split: Split, seed: int, folder: Path | None, on_epoch: Callable[[], object]) -> FoldResult:
        """Train and score one fold.

        Args:
            split: the fold's clips.
            seed: of its random choices.
            folder: where its head is kept, or None.
            on_epoch: called after each epoch.
        """
        fold = prepare_fold(self._data, split, self.config, self._table_rows, seed)
        plain_fold = without_personalization(fold, self.config) if self.config.personalized else None
        is_shared = plain_fold is not None and trains_identically(self._data, fold, self.config)
        folds = [fold, plain_fold] if plain_fold is not None and is_shared else [fold]
        result, (scorer, *plain_scorers), validated = self._train(self._trainer, folds, on_epoch)
        entry = self._entry(fold, result)
        if folder is not None:
            entry |= self._save(fold, scorer, folder)
        conditions = conditions_of(self._data, fold, self.config.personalized)
        tables = [score_condition(self._data, fold, scorer, condition) for condition in conditions]
        if plain_fold is not None:
            plain_scorer = (plain_scorers or self._train(self._plain_trainer, [plain_fold], on_epoch)[1])[0]
            plain = (PLAIN, unknown_sessions(self._data, split.test))
            tables.append(score_condition(self._data, fold, plain_scorer, plain))
        history, candidates = pd.DataFrame(result.history), pd.DataFrame(result.candidates)
        for table in (history, candidates):
            table.insert(0, "fold", split.fold)
        tested = pd.concat(tables, ignore_index=True)
        tested = tested.assign(seed=seed) if self.config.seeds > 1 else tested
        return FoldResult(tested, validated, history, candidates, entry)

    @cached_property
    def _plain_trainer(self) -> Trainer:
        """The trainer of heads that are not personalised, where they differ from those that are."""
        return make_trainer(self._data, replace(self.config, personalized=()), 0)

    def _entry(self, fold: Fold, result: FitResult) -> dict[str, Any]:
        """Return what run.json says of a fold, but for its head."""
        speakers = self._data.speakers
        entry: dict[str, Any] = {
            "fold": fold.split.fold,
            "best_epoch": result.best_epoch,
            "refit": self.config.refits,
            "layer_weights": self._trainer.layer_weights(),
            "speakers": {part: sorted(set(speakers[getattr(fold.split, part)])) for part in _PARTS},
        }
        return {**entry, "chosen": searched_settings(self._trainer.config)} if self.config.search else entry

    def _save(self, fold: Fold, scorer: Scorer, folder: Path) -> dict[str, Any]:
        """Write head and scorer; return what run.json says of them."""
        folder.mkdir(exist_ok=True)
        head = self._trainer.save(folder, fold, scorer.temperature)
        return {"head": head, **save_scorer(scorer, folder / SCORER_FILE)}

    def _train(
        self, trainer: Trainer, folds: Sequence[Fold], on_epoch: Callable[[], object]
    ) -> tuple[FitResult, list[Scorer], pd.DataFrame]:
        """Train one head, and calibrate it for each of some folds before it may learn from validation clips.

        Args:
            trainer: of the head.
            folds: variants of one fold from which the same head is learned; the head is the first one's.
            on_epoch: called after each epoch.

        Returns:
            The outcome of the training, a scorer for each of `folds`, and predictions of the validation clips by the
            first.
        """
        result = trainer.fit(folds[0], on_epoch)
        calibrated = [self._calibrate(trainer, fold) for fold in folds]
        if trainer.config.refits:
            trainer.refit(folds[0], result, on_epoch)
        return result, [scorer for scorer, _ in calibrated], calibrated[0][1]

    def _calibrate(self, trainer: Trainer, fold: Fold) -> tuple[Scorer, pd.DataFrame]:
        """Make a scorer of a head, by the validation clips; return their predictions too."""
        clips = fold.split.validation
        builders = validation_inputs(self._data, fold, fold.personalizer, fold.generator(ENROLLMENT_DRAWS))
        outputs = np.stack([builder.outputs(trainer.predict, clips) for builder in builders])
        name = DEFAULT_CALIBRATOR
        parameters: tuple[float, ...] = (1.0,)
        if fold.numbers is None:
            name = self.config.calibration
            calibrator = CALIBRATORS[name]
            targets = np.tile(self._data.targets[clips], len(builders))
            parameters = tuple(calibrator.fit(np.concatenate(outputs), targets))
            outputs = calibrator.apply(np.concatenate(outputs), parameters).reshape(outputs.shape)
        else:
            outputs = outputs * fold.numbers[1] + fold.numbers[0]
        prior = _effective_prior(fold, self._data)
        calibration = OutputCalibration(parameters, prior, numbers=fold.numbers, calibrator=name)
        scorer = Scorer(trainer.predict, fold.scaling, fold.personalizer, calibration)
        adapting = [name for name in fold.personalizer.methods if METHODS[name].adapts_outputs]
        if adapting and fold.numbers is None:
            sessions = self._validation_sessions(fold, scorer)
            for name in adapting:
                prior_shift = METHODS[name].fit_output(sessions, fold.personalizer.training_speakers, calibration.prior)
                scorer.output_calibration = replace(calibration, prior_shift=prior_shift)
        scorer.ood_detector = self._fit_ood_detector(fold)
        rows = prediction_rows(self._data, clips, outputs[0], fold.split.fold, VALIDATION, scorer.temperature)
        return scorer, rows

    def _validation_sessions(self, fold: Fold, scorer: Scorer) -> list[ValidationSession]:
        """Score the validation speakers as if they were enrolled, for methods that adapt outputs to learn from."""
        data, training_speakers = self._data, fold.personalizer.training_speakers
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

    def _fit_ood_detector(self, fold: Fold) -> KnnOodDetector:
        random = fold.generator(ENROLLMENT_DRAWS)
        train, validation = (
            clips if len(clips) <= _OOD_CLIPS else np.sort(random.choice(clips, _OOD_CLIPS, replace=False))
            for clips in (fold.split.train, fold.split.validation)
        )
        return fit_ood_detector(
            *(
                fold.scaling.apply(clip_means(self._data.read(clips)), self._data.corpora[clips])
                for clips in (train, validation)
            )
        )


def _effective_prior(fold: Fold, data: Dataset) -> np.ndarray:
    """Return the share of each class that the loss saw: that of the clips, times the weight of the class."""
    counts = np.bincount(data.targets[fold.split.train], minlength=data.desired.shape[1])
    shares = counts * fold.class_weights.astype(np.float64)
    return shares / shares.sum()
