"""One fold of one seed: a head is trained, and every test clip is scored under every condition.

A condition says what was known of the speaker:

    closed         the speaker was in training, and the head is told who it is
    unknown        nothing
    enrolled:N     N other clips of the speaker, without labels, never the ones scored (fewer where there are not N)
    transductive   all clips of the speaker, without labels, the scored ones included, as most of the literature has it
    plain          nothing, by a head trained on the same clips without personalisation

A head that is not personalised is scored once: its clips are closed or unknown by who was in training.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ser_head.config import TrainConfig
from ser_head.data.dataset import Dataset
from ser_head.data.frames import clip_means
from ser_head.data.splits import Split
from ser_head.evaluation.predictions import VALIDATION, prediction_rows
from ser_head.heads.registry import HEADS
from ser_head.personalization.conditions import CLOSED, ENROLLED, PLAIN, TRANSDUCTIVE, UNKNOWN
from ser_head.personalization.enrollment import (
    SIZES,
    Session,
    enrollment_sessions,
    known_speaker_sessions,
    transductive_sessions,
)
from ser_head.personalization.output_adaptation import PriorShift, ValidationSession, choose_prior_shift
from ser_head.personalization.similarity import most_similar
from ser_head.scoring.ood import KnnOodDetector, fit_ood_detector
from ser_head.scoring.scorer import ARRAYS, OutputCalibration, Scorer, ScoringRequest, save_scorer
from ser_head.scoring.temperature import apply_temperature, fit_temperature, safe_log
from ser_head.training.fold import FitResult, Fold, Trainer, learns_the_same, prepare_fold, without_personalization
from ser_head.training.inputs import validation_inputs
from ser_head.training.search import SearchTrainer, searched

_ENROLMENT = 1  # what a fold's generator is asked for: it does not depend on the training
_SCORED_AT_ONCE = 1024  # clips of the sessions scored together
_LEARNED_FROM = 2000  # training clips that say what is familiar
_PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class FoldResult:
    """What one fold gave.

    Attributes:
        tested: predictions of the test clips under every condition; the first of a clip is what the run is judged by.
        validated: predictions of the validation clips.
        history: one row per epoch.
        tried: one row per candidate of a search, see `ser_head.training.fold.FitResult`.
        about: the fold's entry in run.json.
    """

    tested: pd.DataFrame
    validated: pd.DataFrame
    history: pd.DataFrame
    tried: pd.DataFrame
    about: dict[str, Any]


class FoldRunner:
    """Trains and scores the folds of a run, one after another, each on the same compiled network.

    Attributes:
        config: the run's settings.
    """

    def __init__(self, data: Dataset, config: TrainConfig, most_speakers: int) -> None:
        """Make the trainers.

        Args:
            data: the clips of all folds.
            config: the run's settings.
            most_speakers: training speakers that a fold has at most.
        """
        self._data = data
        self.config = config
        self._rows = most_speakers + 1 if "embedding" in config.personalized else 0
        self._trainer = _make_trainer(data, config, self._rows)

    def run(self, split: Split, seed: int, folder: Path | None, on_epoch: Callable[[], object]) -> FoldResult:
        """Train and score one fold.

        Args:
            split: the fold.
            seed: of its random choices.
            folder: where its head is kept, or None.
            on_epoch: called after each epoch.
        """
        fold = prepare_fold(self._data, split, self.config, self._rows, seed)
        bare = without_personalization(fold, self.config) if self.config.personalized else None
        shared = bare is not None and learns_the_same(self._data, fold, self.config)
        folds = [fold, bare] if bare is not None and shared else [fold]
        fitted, (scorer, *others), validated = self._train(self._trainer, folds, on_epoch)
        about: dict[str, Any] = {
            "fold": split.fold,
            "best_epoch": fitted.best_epoch,
            "refit": self.config.refits,
            "layer_weights": self._trainer.layer_weights(),
            "speakers": {part: sorted(set(self._data.speakers[getattr(split, part)])) for part in _PARTS},
        }
        if self.config.search:
            about["chosen"] = searched(self._trainer.config)
        if folder is not None:
            folder.mkdir(exist_ok=True)
            about |= {
                "head": self._trainer.save(folder, fold, scorer.output_calibration.temperature),
                **save_scorer(scorer, folder / ARRAYS),
            }
        tables = [self._table(split, scorer, *each) for each in self._conditions(fold)]
        if bare is not None:
            without = others or self._train(self._plain, [bare], on_epoch)[1]
            tables.append(self._table(split, without[0], PLAIN, self._strangers(split.test)))
        history, tried = pd.DataFrame(fitted.history), pd.DataFrame(fitted.tried)
        for table in (history, tried):
            table.insert(0, "fold", split.fold)
        tested = pd.concat(tables, ignore_index=True)
        return FoldResult(
            tested.assign(seed=seed) if self.config.seeds > 1 else tested, validated, history, tried, about
        )

    @cached_property
    def _plain(self) -> Trainer:
        """The trainer of heads that are not personalised, where they are not those that are."""
        return _make_trainer(self._data, replace(self.config, personalized=()), 0)

    def _train(
        self, trainer: Trainer, folds: Sequence[Fold], on_epoch: Callable[[], object]
    ) -> tuple[FitResult, list[Scorer], pd.DataFrame]:
        """Train one head, and calibrate it for each of some folds before it may learn from validation clips.

        Args:
            trainer: of the head.
            folds: a fold as heads take it that learn the same from it; the head is the first's.
            on_epoch: called after each epoch.

        Returns:
            What training gave, a scorer for each of `folds`, and predictions of the validation clips by the first.
        """
        fitted = trainer.fit(folds[0], on_epoch)
        calibrated = [self._calibrate(trainer, fold) for fold in folds]
        if trainer.config.refits:
            trainer.refit(folds[0], fitted, on_epoch)
        return fitted, [scorer for scorer, _ in calibrated], calibrated[0][1]

    def _calibrate(self, trainer: Trainer, fold: Fold) -> tuple[Scorer, pd.DataFrame]:
        """Make a scorer of a head, by the validation clips; return their predictions too."""
        clips = fold.split.validation
        builders = validation_inputs(self._data, fold, fold.personalizer, fold.random(_ENROLMENT))
        answers = np.stack([builder.answers(trainer.predict, clips) for builder in builders])
        temperature = 1.0
        if fold.numbers is None:
            temperature = fit_temperature(np.concatenate(answers), np.tile(self._data.targets[clips], len(builders)))
            answers = apply_temperature(np.concatenate(answers), temperature).reshape(answers.shape)
        else:
            answers = answers * fold.numbers[1] + fold.numbers[0]
        output_calibration = OutputCalibration(temperature, _effective_prior(fold, self._data), numbers=fold.numbers)
        scorer = Scorer(trainer.predict, fold.scaling, fold.personalizer, output_calibration)
        if "calibrate" in fold.personalizer.methods and fold.numbers is None:
            scorer.output_calibration = replace(output_calibration, prior_shift=self._choose_borrowing(fold, scorer))
        scorer.ood_detector = self._measure_familiarity(fold)
        return scorer, prediction_rows(self._data, clips, answers[0], fold.split.fold, VALIDATION, temperature)

    def _conditions(self, fold: Fold) -> Iterator[tuple[str, list[Session]]]:
        """Yield each condition with the sessions in which clips are scored under it."""
        speakers, test = self._data.speakers, fold.split.test
        heard = np.isin(speakers[test], sorted(set(speakers[fold.split.train]) - {""}))
        if not self.config.personalized:
            yield CLOSED, self._strangers(test[heard])
            yield UNKNOWN, self._strangers(test[~heard])
            return
        yield CLOSED, known_speaker_sessions(speakers, test[heard], fold.split.train)
        yield UNKNOWN, self._strangers(test)
        named = test[speakers[test] != ""]
        for size in SIZES if self.config.personalized != ("papt",) else ():
            yield f"{ENROLLED}:{size}", enrollment_sessions(speakers, named, size, fold.random(_ENROLMENT))
        yield TRANSDUCTIVE, transductive_sessions(speakers, named)

    def _table(self, split: Split, scorer: Scorer, condition: str, sessions: Sequence[Session]) -> pd.DataFrame:
        clips = np.concatenate([session.scored for session in sessions] or [split.test[:0]])
        probabilities = self._score(scorer, condition, sessions)
        order = np.argsort(clips)
        return prediction_rows(
            self._data, clips[order], probabilities[order], split.fold, condition, scorer.output_calibration.temperature
        )

    def _score(self, scorer: Scorer, condition: str, sessions: Sequence[Session]) -> np.ndarray:
        scored = [np.zeros((0, self._data.desired.shape[1]), np.float32)]
        for group in _together(sessions):
            heard = [self._heard(session, condition) for session in group]
            scored.append(scorer.score(heard))
        return np.concatenate(scored)

    def _heard(self, session: Session, condition: str) -> ScoringRequest:
        """Read a session. A closed speaker is known from training, and needs no enrolment.

        What a pre-training learned of a speaker it learned from all its clips: only `transductive` may use that.
        """
        vectors, corpus = self._data.read(session.scored), self._data.corpora[session.scored[0]]
        if condition == CLOSED:
            return ScoringRequest(vectors, speaker=session.speaker, corpus=corpus)
        enrolled = self._data.read(session.enrolled) if len(session.enrolled) else None
        pretrained = session.speaker if condition == TRANSDUCTIVE else ""
        return ScoringRequest(vectors, enrolled, corpus=corpus, pretrained=pretrained)

    def _choose_borrowing(self, fold: Fold, scorer: Scorer) -> PriorShift | None:
        """Choose how much to borrow by the validation speakers, as if enrolled."""
        training_speakers = fold.personalizer.training_speakers
        tried = []
        for session in enrollment_sessions(
            self._data.speakers, fold.split.validation, SIZES[-1], fold.random(_ENROLMENT)
        ):
            if len(session.enrolled) == 0:
                continue
            enrolled, corpus = self._data.read(session.enrolled), self._data.corpora[session.enrolled[0]]
            known = scorer.score([ScoringRequest(enrolled, enrolled, corpus=corpus)])
            scored = scorer.score([ScoringRequest(self._data.read(session.scored), enrolled, corpus=corpus)])
            nearest = most_similar(
                fold.scaling.read(self._data, session.enrolled), training_speakers.means, len(training_speakers.names)
            )
            tried.append(
                ValidationSession(safe_log(known), nearest, safe_log(scored), self._data.targets[session.scored])
            )
        return choose_prior_shift(tried, training_speakers.counts, scorer.output_calibration.prior)

    def _measure_familiarity(self, fold: Fold) -> KnnOodDetector:
        random = fold.random(_ENROLMENT)
        train, held = (
            clips if len(clips) <= _LEARNED_FROM else np.sort(random.choice(clips, _LEARNED_FROM, replace=False))
            for clips in (fold.split.train, fold.split.validation)
        )
        return fit_ood_detector(
            *(
                fold.scaling.apply(clip_means(self._data.read(clips)), self._data.corpora[clips])
                for clips in (train, held)
            )
        )

    def _strangers(self, clips: np.ndarray) -> list[Session]:
        """Return sessions in which nothing is known of who speaks, each of one corpus."""
        corpora = self._data.corpora[clips]
        parts = [clips[corpora == name] for name in sorted(set(corpora))]
        return [Session("", part[:0], window) for part in parts for window in self._data.windows(part)]


def _make_trainer(data: Dataset, config: TrainConfig, rows: int) -> Trainer:
    if config.search:
        return SearchTrainer(data, config, lambda each: _make_trainer(data, each, rows))
    if HEADS[config.head].kind == "classic":
        from ser_head.training.sklearn_trainer import SklearnTrainer

        return SklearnTrainer(data, config)
    from ser_head.training.keras_trainer import KerasTrainer

    speaker_inputs = {"embedding": rows, "features": data.shape[1]}
    return KerasTrainer(
        data, config, {name: speaker_inputs[name] for name in config.personalized if name in speaker_inputs}
    )


def _effective_prior(fold: Fold, data: Dataset) -> np.ndarray:
    """Return the share of each class that the loss saw: that of the clips, times the weight of the class."""
    shares = np.bincount(data.targets[fold.split.train], minlength=data.desired.shape[1]) * fold.weights.astype(
        np.float64
    )
    return shares / shares.sum()


def _together(sessions: Sequence[Session]) -> Iterator[list[Session]]:
    """Yield sessions in groups of about `_SCORED_AT_ONCE` clips."""
    group: list[Session] = []
    for session in sessions:
        group.append(session)
        if sum(len(each.scored) + len(each.enrolled) for each in group) >= _SCORED_AT_ONCE:
            yield group
            group = []
    if group:
        yield group
