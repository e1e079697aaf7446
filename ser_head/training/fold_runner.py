"""Fold runner: one fold of one seed is trained, calibrated, and scored under every condition."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ser_head.config.experiment import ExperimentConfig
from ser_head.data.dataset import Dataset
from ser_head.data.splits import Split
from ser_head.personalization.conditions import PLAIN
from ser_head.scoring.scorer import Scorer
from ser_head.scoring.scorer_file import SCORER_FILE, save_scorer
from ser_head.training.base import EpochRow, FitResult, OnEpoch, Trainer
from ser_head.training.calibration import HeldOutAnswers, answer_held_out, calibrate, calibrate_whole
from ser_head.training.conditions import conditions_of, score_condition, unknown_sessions
from ser_head.training.fold import Fold, prepare_fold, trains_identically, without_personalization
from ser_head.training.registry import make_trainer
from ser_head.training.search import searched_settings

WHOLE = 0  # number of the fold that has all clips; others count from 1
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
        answers: what the head answered for the test clips before calibration, where one head is to be trained on all.
    """

    tested: pd.DataFrame
    validated: pd.DataFrame
    history: pd.DataFrame
    candidates: pd.DataFrame
    entry: dict[str, Any]
    answers: HeldOutAnswers | None = None


def median_epoch(best_epochs: Sequence[int | None]) -> int | None:
    """Return the median of the best epochs of folds, rounded; None for heads that are not trained in epochs."""
    epochs = [epoch for epoch in best_epochs if epoch is not None]
    return round(float(np.median(epochs))) if epochs else None


class FoldRunner:
    """Trains and scores the folds of a run, one after another, each on the same compiled network.

    Attributes:
        config: the run's.
    """

    def __init__(self, data: Dataset, config: ExperimentConfig, most_speakers: int) -> None:
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

    def run(self, split: Split, seed: int, folder: Path | None, on_epoch: Callable[[EpochRow], object]) -> FoldResult:
        """Train and score one fold.

        Args:
            split: the fold's clips.
            seed: of its random choices.
            folder: where its head is kept, or None.
            on_epoch: called after each epoch; those of the plain head beside a personalised one have no figures.
        """

        def with_figures(figures: Mapping[str, float]) -> None:
            on_epoch(EpochRow(split.fold, seed, figures))

        fold = prepare_fold(self._data, split, self.config, self._table_rows, seed)
        plain_fold = without_personalization(fold, self.config) if self.config.personalized else None
        is_shared = plain_fold is not None and trains_identically(self._data, fold, self.config)
        folds = [fold, plain_fold] if plain_fold is not None and is_shared else [fold]
        result, (scorer, *plain_scorers), validated = self._train(self._trainer, folds, with_figures)
        entry = self._entry(fold, result)
        if folder is not None:
            entry |= self._save(fold, scorer, folder)
        is_whole = self.config.refits_whole
        answers = answer_held_out(self._data, self._trainer, fold, scorer) if is_whole else None
        conditions = conditions_of(self._data, fold, self.config.personalized)
        tables = [score_condition(self._data, fold, scorer, condition) for condition in conditions]
        if plain_fold is not None:
            plain_scorer = (
                plain_scorers or self._train(self._plain_trainer, [plain_fold], lambda _: with_figures({}))[1]
            )[0]
            plain = (PLAIN, unknown_sessions(self._data, split.test))
            tables.append(score_condition(self._data, fold, plain_scorer, plain))
        history, candidates = pd.DataFrame(result.history), pd.DataFrame(result.candidates)
        for table in (history, candidates):
            table.insert(0, "fold", split.fold)
        tested = pd.concat(tables, ignore_index=True)
        tested = tested.assign(seed=seed) if self.config.seeds > 1 else tested
        return FoldResult(tested, validated, history, candidates, entry, answers)

    def run_whole(self, results: Sequence[FoldResult], folder: Path, on_epoch: OnEpoch) -> dict[str, Any]:
        """Train one head on the clips of all folds, for the median of their best epochs, and keep it.

        No clip is left to score it by: it is calibrated on what the heads of the folds answered, and the figures of the
        run are theirs.

        Args:
            results: of all folds.
            folder: where the head is kept.
            on_epoch: called after each epoch.

        Returns:
            The head's entry in run.json; its fold is number 0, which has no validation and no test speakers.
        """
        clips = np.arange(len(self._data))
        fold = prepare_fold(self._data, Split(WHOLE, clips, clips[:0], clips[:0]), self.config, self._table_rows)
        result = FitResult([], median_epoch([result.entry["best_epoch"] for result in results]))
        self._trainer.refit(fold, result, on_epoch)
        answers = [result.answers for result in results if result.answers is not None]
        scorer = calibrate_whole(self._data, self._trainer, fold, answers)
        return self._entry(fold, result) | self._save(fold, scorer, folder)

    @cached_property
    def _plain_trainer(self) -> Trainer:
        """The trainer of heads that are not personalised, where they differ from those that are."""
        return make_trainer(self._data, self.config.replaced(personalized=()), 0)

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
        self, trainer: Trainer, folds: Sequence[Fold], on_epoch: OnEpoch
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
        calibrated = [calibrate(self._data, trainer, fold) for fold in folds]
        if trainer.config.refits:
            trainer.refit(folds[0], result, on_epoch)
        return result, [scorer for scorer, _ in calibrated], calibrated[0][1]
