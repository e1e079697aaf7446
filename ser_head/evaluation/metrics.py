"""Metrics of one set of predictions, and the content of metrics.json.

Every figure is a function of the predictions alone. Scalar metrics of a head that names classes stand in `METRICS`; to
add one, write a function and register it there, and it appears in metrics.json and in the table of `ser_head.score`.
Averages over classes leave out classes without clips. A head without classes answers with a number, and its figures are
those of `ser_head.evaluation.regression`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import (
    average_precision_score,
    confusion_matrix,
    log_loss,
    precision_recall_fscore_support,
    roc_auc_score,
)

from ser_head.evaluation.calibration import calibration_error, coverage_curve, reliability_table
from ser_head.evaluation.groups import by_columns
from ser_head.evaluation.predictions import primary_rows, probability_matrix
from ser_head.evaluation.recall import unweighted_average_recall
from ser_head.evaluation.regression import agreement, numeric_figures
from ser_head.evaluation.significance import speaker_gains, speaker_intervals
from ser_head.personalization.conditions import PLAIN
from ser_head.scoring.temperature import apply_temperature

_SPREAD_OVER_SEEDS = ("accuracy", "uar", "macro_f1", "log_loss", "ece")
_NUMERIC_SPREAD_OVER_SEEDS = ("ccc", "mae", "rmse")
_RANKINGS = {"roc_auc": roc_auc_score, "average_precision": average_precision_score}


@dataclass(frozen=True)
class Metric:
    """A scalar figure of a head that names classes.

    Attributes:
        name: its key in metrics.json.
        label: its heading in tables for people.
        function: computes it, None where it is undefined, from the class of each clip, int64 (clips,); the
            probabilities, float64 (clips, classes); and the predicted class of each clip, int64 (clips,). Probabilities
            are exactly those of the table, which were scored in float32, so that rankings keep their ties; a row adds
            up to 1 only to the precision of float32, see `normalize_rows`.
        in_table: whether the table of `ser_head.score` shows it.
    """

    name: str
    label: str
    function: Callable[[np.ndarray, np.ndarray, np.ndarray], float | None]
    in_table: bool = True


def metrics_document(
    protocol: str,
    speaker_disjoint: bool,
    labels: Sequence[str],
    tested: pd.DataFrame,
    validated: pd.DataFrame,
    *,
    leakage: dict[str, Any] | None = None,
    by: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the content of metrics.json.

    Args:
        protocol: as on the command line.
        speaker_disjoint: whether no speaker is in both training (or validation) and test of a fold.
        labels: the classes; none for a head that answers with a number.
        tested: predictions of the test clips of all folds, under every condition.
        validated: predictions of the validation clips of all folds; a clip may appear once per fold.
        leakage: result of the audit, `ser_head.data.leakage.Audit.to_dict()`.
        by: columns by which to group the primary rows; `ser_head.evaluation.groups.with_groups` adds them to `tested`.

    Raises:
        InputError: `tested` has no such column.
    """
    return {
        "protocol": protocol,
        "speaker_disjoint": speaker_disjoint,
        **({} if leakage is None else {"leakage": leakage}),
        "labels": list(labels),
        **scored_figures(tested, labels, by),
        "validation": compute_metrics(validated, labels),
    }


def scored_figures(tested: pd.DataFrame, labels: Sequence[str], by: Sequence[str] = ()) -> dict[str, Any]:
    """Return the parts of metrics.json about the test clips.

    These are n_test, test, calibration, conditions; seeds, the spread of figures over them; gains, what each condition
    brings the speakers over the plain head, where that was scored too; and by, if asked for.

    Args:
        tested: predictions of the test clips of all folds, under every condition.
        labels: the classes; none for a head that answers with a number.
        by: columns by which to group the primary rows.

    Raises:
        InputError: `tested` has no such column.
    """
    rows = primary_rows(tested)
    first_seed = tested[tested["seed"] == tested["seed"].iloc[0]] if "seed" in tested else tested
    conditions = {str(name): condition_rows for name, condition_rows in first_seed.groupby("condition")}
    gains = _gains(conditions) if labels else {}
    groups = by_columns(rows, by, None if labels else agreement)
    has_temperature = "temperature" in rows and labels
    return {
        "n_test": len(rows),
        "test": compute_metrics(rows, labels),
        **({"calibration": temperature_effect(rows, labels)} if has_temperature else {}),
        "conditions": {name: compute_metrics(condition_rows, labels) for name, condition_rows in conditions.items()},
        **({"seeds": seed_spread(tested, labels)} if "seed" in tested else {}),
        **({"gains": gains} if gains else {}),
        **({"by": groups} if by else {}),
    }


def compute_metrics(table: pd.DataFrame, labels: Sequence[str]) -> dict[str, Any]:
    """Return the figures of one set of predictions.

    Args:
        table: rows as in `ser_head.evaluation.predictions`, one per clip.
        labels: the classes, in the order of the probabilities; none for a head that answers with a number.

    Returns:
        n; the `METRICS`, by name; ci95, intervals over speakers; per_class; confusion, clips by class and predicted
        class; reliability and coverage, see `ser_head.evaluation.calibration`.
    """
    if not labels:
        return numeric_figures(table)
    names = list(labels)
    targets, predictions = (_class_indices(table[column], names) for column in ("label", "prediction"))
    probabilities = probability_matrix(table, names).astype(np.float64)
    normalized = normalize_rows(probabilities)
    return {
        "n": len(table),
        **{name: metric.function(targets, probabilities, predictions) for name, metric in METRICS.items()},
        "ci95": speaker_intervals(table, names),
        "per_class": _per_class(targets, probabilities, predictions, names),
        "confusion": confusion_matrix(targets, predictions, labels=np.arange(len(names))).tolist(),
        "reliability": reliability_table(normalized, targets),
        "coverage": coverage_curve(normalized, targets),
    }


def temperature_effect(table: pd.DataFrame, labels: Sequence[str]) -> dict[str, Any]:
    """Compare calibration before and after the temperatures of the folds were applied, by undoing them.

    Args:
        table: one row per clip, with the column temperature.
        labels: the classes.

    Returns:
        temperature, that of each fold; before and after, each {"ece", "log_loss"}.
    """
    names = list(labels)
    targets = _class_indices(table["label"], names)
    after = probability_matrix(table, names).astype(np.float64)
    before = apply_temperature(after, 1 / table["temperature"].to_numpy(np.float64)[:, np.newaxis]).astype(np.float64)
    return {
        "temperature": [float(value) for value in table.groupby("fold")["temperature"].first()],
        **{
            name: {
                "ece": calibration_error(probabilities, targets),
                "log_loss": _log_loss(targets, probabilities, probabilities.argmax(axis=1)),
            }
            for name, probabilities in (("before", before), ("after", after))
        },
    }


def seed_spread(tested: pd.DataFrame, labels: Sequence[str]) -> dict[str, Any]:
    """Return mean and standard deviation over seeds of the main figures of a run.

    Args:
        tested: predictions of the test clips, with the column seed.
        labels: the classes; none for a head that answers with a number.

    Returns:
        n, the number of seeds; for each figure {"mean", "sd", "values"}, the values in the order of the seeds.
    """
    figures = [compute_metrics(primary_rows(rows), labels) for _, rows in tested.groupby("seed", sort=False)]
    names = _SPREAD_OVER_SEEDS if labels else _NUMERIC_SPREAD_OVER_SEEDS
    values_by_name = {name: [of_seed[name] for of_seed in figures] for name in names}
    spread = {
        name: {"mean": float(np.mean(values)), "sd": float(np.std(values, ddof=1)), "values": values}
        for name, values in values_by_name.items()
    }
    return {"n": len(figures), **spread}


def normalize_rows(probabilities: np.ndarray) -> np.ndarray:
    """Return probabilities whose rows add up to 1 to the precision of float64, (clips, classes)."""
    return probabilities / probabilities.sum(axis=1, keepdims=True)


def _class_indices(names: pd.Series, labels: list[str]) -> np.ndarray:
    """Return the position of each class in `labels`, int64 (clips,)."""
    return names.map(labels.index).to_numpy(np.int64)


def _gains(conditions: dict[str, pd.DataFrame]) -> dict[str, dict[str, Any]]:
    """Return the gain of each condition over the plain head; none where no plain head was scored."""
    if PLAIN not in conditions:
        return {}
    plain = conditions[PLAIN]
    return {name: speaker_gains(rows, plain).to_dict() for name, rows in conditions.items() if name != PLAIN}


def _per_class(
    targets: np.ndarray, probabilities: np.ndarray, predictions: np.ndarray, labels: list[str]
) -> dict[str, dict[str, Any]]:
    """Return precision, recall, f1, support and the rankings of each class."""
    scores = precision_recall_fscore_support(targets, predictions, labels=np.arange(len(labels)), zero_division=0)
    figures: dict[str, dict[str, Any]] = {
        label: {"precision": float(precision), "recall": float(recall), "f1": float(f1), "support": int(support)}
        for label, precision, recall, f1, support in zip(labels, *scores, strict=True)
    }
    for name in _RANKINGS:
        for label, value in zip(labels, _class_rankings(name, targets, probabilities), strict=True):
            figures[label][name] = value
    return figures


def _class_rankings(name: str, targets: np.ndarray, probabilities: np.ndarray) -> list[float | None]:
    """Return how well each class's probability ranks its clips above all others; None for a class of none or all."""
    is_class = targets[:, np.newaxis] == np.arange(probabilities.shape[1])  # (clips, classes)
    defined = is_class.any(axis=0) & ~is_class.all(axis=0)
    values = np.full(len(defined), None, dtype=object)
    if defined.any():
        values[defined] = _RANKINGS[name](is_class[:, defined], probabilities[:, defined], average=None).tolist()
    return values.tolist()


def _mean_ranking(name: str, targets: np.ndarray, probabilities: np.ndarray, _: np.ndarray) -> float | None:
    """Return the mean of `_class_rankings` over the classes for which it is defined; None if there is no such class."""
    values = [value for value in _class_rankings(name, targets, probabilities) if value is not None]
    return float(np.mean(values)) if values else None


def _accuracy(targets: np.ndarray, _: np.ndarray, predictions: np.ndarray) -> float:
    return float((targets == predictions).mean())


def _uar(targets: np.ndarray, _: np.ndarray, predictions: np.ndarray) -> float:
    return unweighted_average_recall(targets, predictions)


def _macro_f1(targets: np.ndarray, _: np.ndarray, predictions: np.ndarray) -> float:
    """Return the mean F1 over the classes that have clips."""
    scores = precision_recall_fscore_support(targets, predictions, labels=np.unique(targets), zero_division=0)
    return float(np.mean(scores[2]))


def _log_loss(targets: np.ndarray, probabilities: np.ndarray, _: np.ndarray) -> float:
    return float(log_loss(targets, normalize_rows(probabilities), labels=np.arange(probabilities.shape[1])))


def _calibration_error(targets: np.ndarray, probabilities: np.ndarray, _: np.ndarray) -> float:
    return calibration_error(normalize_rows(probabilities), targets)


def _brier_score(targets: np.ndarray, probabilities: np.ndarray, _: np.ndarray) -> float:
    """Return the mean squared distance to the one-hot class, summed over the classes: from 0 to 2."""
    one_hot = np.eye(probabilities.shape[1])[targets]
    return float(((normalize_rows(probabilities) - one_hot) ** 2).sum(axis=1).mean())


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "accuracy", _accuracy),
        Metric("uar", "UAR", _uar),
        Metric("macro_f1", "macro-F1", _macro_f1),
        Metric("roc_auc", "ROC AUC", partial(_mean_ranking, "roc_auc")),
        Metric("average_precision", "average precision", partial(_mean_ranking, "average_precision"), in_table=False),
        Metric("log_loss", "log-loss", _log_loss),
        Metric("ece", "ECE", _calibration_error),
        Metric("brier", "Brier", _brier_score),
    )
}
