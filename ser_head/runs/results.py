"""Results of a run: its metrics, the predictions behind them, and the history of its training."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ser_embed.errors import InputError
from ser_head.data.splits import Protocol
from ser_head.evaluation.predictions import primary_rows, read_predictions
from ser_head.personalization.conditions import ENROLLED
from ser_head.runs.run import Run

PARTS = ("training", "validation", "test")
_REQUIRED_KEYS = ("protocol", "speaker_disjoint", "labels", "test")
_CLASS_METRICS = ("accuracy", "uar")
_NUMERIC_METRICS = ("ccc", "mae")


@dataclass(frozen=True)
class RunResults:
    """A run and its figures.

    Attributes:
        run: the run, with its config and its store's spec.
        metrics: content of metrics.json.
        tested: rows of predictions.csv behind metrics["test"], one per test clip. In a run without classes, label and
            prediction are numbers.
        validated: utterance_ids of the validation clips; with several folds they are test clips of other folds.
        history: content of history.csv, one row per fold and epoch; empty for a head that is not trained in epochs.
    """

    run: Run
    metrics: dict[str, Any]
    tested: pd.DataFrame
    validated: frozenset[str]
    history: pd.DataFrame

    @classmethod
    def load(cls, folder: str | Path) -> "RunResults":
        """Read the run in `folder`.

        Raises:
            InputError: it is no run folder, or one of its files is missing or damaged.
        """
        folder = Path(folder)
        run = Run.load(folder)
        tested = primary_rows(read_predictions(folder / "predictions.csv"))
        if tested.empty:
            raise InputError(f"expected predictions of test clips in {folder / 'predictions.csv'}, found none")
        metrics = _read_metrics(folder / "metrics.json")
        if not run.labels:
            tested = _as_numbers(tested, folder / "predictions.csv")
        validation_path = folder / "validation.csv"
        validated = (
            frozenset(read_predictions(validation_path)["utterance_id"]) if validation_path.is_file() else frozenset()
        )
        return cls(run, metrics, tested, validated, _read_history(folder / "history.csv"))

    @property
    def name(self) -> str:
        """The run folder's name."""
        return self.run.folder.resolve().name

    @property
    def labels(self) -> list[str]:
        """The classes; empty for a head that predicts a number."""
        return list(self.run.labels)

    @property
    def target(self) -> str:
        """What the head was trained to predict: emotion, votes or a numeric column of the manifest."""
        return self.run.config.target

    @property
    def shown_gain(self) -> str | None:
        """The condition whose gain is shown per speaker: the one with the most enrolled clips; None without gains."""
        gains = {
            int(name.partition(":")[2]): name
            for name, gain in self.metrics.get("gains", {}).items()
            if name.startswith(f"{ENROLLED}:") and len(gain["speakers"]) > 1
        }
        return gains[max(gains)] if gains else None

    @property
    def chosen_corpora(self) -> list[str]:
        """The corpora that the config names; empty stands for all corpora of the store."""
        return list(Protocol.parse(self.run.config.protocol).corpora or self.run.config.corpus)

    @property
    def kept_epochs(self) -> dict[int, int]:
        """The epoch whose weights were kept, by number of the fold; folds that are not trained in epochs are absent."""
        return {fold["fold"]: fold["best_epoch"] for fold in self.run.about["folds"] if fold.get("best_epoch")}

    @property
    def layer_weights(self) -> dict[str, float]:
        """The learned weight of each encoder layer, averaged over folds; empty for a head on one layer."""
        folds = [fold["layer_weights"] for fold in self.run.about["folds"] if fold.get("layer_weights")]
        return dict(zip(self.run.about["layers"], np.mean(folds, axis=0).tolist(), strict=True)) if folds else {}


def _read_metrics(path: Path) -> dict[str, Any]:
    """Read metrics.json, and check that it has what a report needs."""
    try:
        metrics = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"expected the figures of a run at {path}: {error}") from error
    document = metrics if isinstance(metrics, dict) else {}
    missing = [key for key in _REQUIRED_KEYS if key not in document]
    if not missing:
        names = _CLASS_METRICS if document["labels"] else _NUMERIC_METRICS
        missing = [f"test.{name}" for name in names if name not in document["test"]]
    if missing:
        raise InputError(f"expected the figures of a run, but {path} has no {', '.join(missing)}")
    return document


def _as_numbers(tested: pd.DataFrame, path: Path) -> pd.DataFrame:
    try:
        return tested.astype({"label": float, "prediction": float})
    except ValueError as error:
        raise InputError(f"expected numbers in the columns label and prediction of {path}: {error}") from error


def _read_history(path: Path) -> pd.DataFrame:
    if not path.is_file():
        return pd.DataFrame()
    try:
        return pd.read_csv(path)
    except ValueError as error:
        raise InputError(f"expected a table of epochs at {path}: {error}") from error
