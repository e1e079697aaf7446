"""Results of a run: its metrics, the predictions behind them, and the history of its training."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from ser_embed.errors import InputError
from ser_embed.reading import expect, input_error_on_read, is_number, read_json
from ser_head.data.splits import Protocol
from ser_head.evaluation.predictions import primary_rows, read_predictions, require_answers
from ser_head.personalization.conditions import ENROLLED
from ser_head.runs.document import TESTED_FOLDS
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
            InputError: it is no run folder, or one of its files is missing, damaged, or was changed.
        """
        run = Run.load(folder)
        path = run.file("predictions.csv")
        table = read_predictions(path)
        require_answers(table, run.labels, path)
        metrics = read_metrics(run)
        tested = primary_rows(table)
        if not run.labels:
            tested = tested.astype({"label": float, "prediction": float})
        validation_path = run.optional_file("validation.csv")
        validated = frozenset(read_predictions(validation_path)["utterance_id"]) if validation_path else frozenset()
        return cls(run, metrics, tested, validated, _read_history(run.optional_file("history.csv")))

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
        """The epoch whose weights were tested, by number of the fold; folds without epochs are absent."""
        about = self.run.about
        folds = about.get(TESTED_FOLDS, about["folds"])
        return {fold["fold"]: fold["best_epoch"] for fold in folds if fold.get("best_epoch")}

    @property
    def layer_weights(self) -> dict[str, float]:
        """The learned weight of each encoder layer, averaged over folds; empty for a head on one layer."""
        folds = [fold["layer_weights"] for fold in self.run.about["folds"] if fold.get("layer_weights")]
        return dict(zip(self.run.about["layers"], np.mean(folds, axis=0).tolist(), strict=True)) if folds else {}


def read_metrics(run: Run) -> dict[str, Any]:
    """Read the metrics.json of a run, and check what reports and comparisons need.

    Raises:
        InputError: it is missing or damaged, was changed, or belongs to another run.
    """
    path = run.file("metrics.json")
    with input_error_on_read(f"expected the figures of a run at {path}"):
        metrics = read_json(path)
        document = metrics if isinstance(metrics, dict) else {}
        missing = [key for key in _REQUIRED_KEYS if key not in document]
        if not missing:
            names = _CLASS_METRICS if document["labels"] else _NUMERIC_METRICS
            missing = [f"test.{name}" for name in names if name not in document["test"]]
        if missing:
            raise InputError(f"expected the figures of a run, but {path} has no {', '.join(missing)}")
        expect(document["labels"] == list(run.labels), f"the classes {' '.join(run.labels)}", document["labels"])
        _check_metrics(document)
    return document


def _check_metrics(document: dict[str, Any]) -> None:
    """Check the figures that are compared, and what they depend on.

    Raises:
        ValueError: one of them is of another kind.
    """
    Protocol.parse(document["protocol"])
    expect(isinstance(document["speaker_disjoint"], bool), "speaker_disjoint as true or false", "another value")
    test = document["test"]
    for name in (*_CLASS_METRICS, "macro_f1", *_NUMERIC_METRICS):
        expect(test.get(name) is None or is_number(test[name]), f"a number as test.{name}", test.get(name))
    expect(not document["labels"] or test["uar"] is not None, "a number as test.uar", None)
    expect(isinstance(test.get("ci95", {}), dict), "intervals as test.ci95", test.get("ci95"))
    for name, ends in test.get("ci95", {}).items():
        is_interval = isinstance(ends, list) and len(ends) == 2 and all(map(is_number, ends))
        expect(ends is None or is_interval, f"two numbers as test.ci95.{name}", ends)
    for key in ("conditions", "gains", "by", "validation"):
        expect(isinstance(document.get(key, {}), dict), f"an object as {key}", document.get(key))


def _read_history(path: Path | None) -> pd.DataFrame:
    if path is None:
        return pd.DataFrame()
    with input_error_on_read(f"expected a table of epochs at {path}"):
        history = pd.read_csv(path)
        expect("fold" in history, "a column fold", list(history))
        if len(history):
            expect("epoch" in history, "a column epoch", list(history))
            expect(all(map(is_numeric_dtype, history.dtypes)), "numbers in every column", "others")
        return history
