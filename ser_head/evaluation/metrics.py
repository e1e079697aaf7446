"""What a head is worth: figures of one set of predictions, and metrics.json.

Every figure is a function of the predictions alone. UAR, the unweighted average recall, is the mean of the per-class
recalls; it and macro-F1 average over the classes that have clips. Without classes the head answers with a number, and
the figures are those of `ser_head.evaluation.regression`.
"""

from collections.abc import Sequence
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
from ser_head.evaluation.regression import agreement, numeric_figures
from ser_head.evaluation.significance import draw, interval, speaker_gains, speaker_units
from ser_head.personalization.conditions import PLAIN
from ser_head.scoring.temperature import apply_temperature

RESAMPLES = 1000
_SPREAD = ("accuracy", "uar", "macro_f1", "log_loss", "ece")
_SPREAD_OF_NUMBERS = ("ccc", "mae", "rmse")
_RANKINGS = {"roc_auc": roc_auc_score, "average_precision": average_precision_score}


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
        speaker_disjoint: whether no speaker was on both sides of training and test.
        labels: the classes; none for a head that answers with a number.
        tested: predictions of the test clips of all folds, under every condition.
        validated: predictions of the validation clips of all folds; a clip may come once per fold.
        leakage: what the audit found, `ser_head.data.leakage.Audit.to_dict()`.
        by: columns to give the figures of the judged clips by; `ser_head.evaluation.groups.with_groups` puts them in `tested`.

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
    """Return the parts of metrics.json that tell of the test clips.

    These are n_test, test, calibration, conditions; seeds, how figures spread over them; gains, what each condition
    brings the speakers against the plain head, where that was scored too; and by, if asked for.

    Args:
        tested: predictions of the test clips of all folds, under every condition.
        labels: the classes; none for a head that answers with a number.
        by: columns to give the figures of the judged clips by.

    Raises:
        InputError: `tested` has no such column.
    """
    rows = primary_rows(tested)
    first = tested[tested["seed"] == tested["seed"].iloc[0]] if "seed" in tested else tested
    conditions = {str(name): under for name, under in first.groupby("condition")}
    gains = _gains(conditions) if labels else {}
    groups = by_columns(rows, by, None if labels else agreement)
    return {
        "n_test": len(rows),
        "test": compute_metrics(rows, labels),
        **({"calibration": calibration(rows, labels)} if "temperature" in rows and labels else {}),
        "conditions": {name: compute_metrics(under, labels) for name, under in conditions.items()},
        **({"seeds": seed_spread(tested, labels)} if "seed" in tested else {}),
        **({"gains": gains} if gains else {}),
        **({"by": groups} if by else {}),
    }


def compute_metrics(table: pd.DataFrame, labels: Sequence[str]) -> dict[str, Any]:
    """Return the figures of one set of predictions.

    Args:
        table: rows as `ser_head.evaluation.predictions` has them, one per clip.
        labels: the classes, in the order of the probabilities; none for a head that answers with a number.
    """
    if not labels:
        return numeric_figures(table)
    names = list(labels)
    probabilities = probability_matrix(table, names).astype(np.float64)
    probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)
    targets = table["label"].map(names.index).to_numpy(np.int64)
    confusion = confusion_matrix(table["label"], table["prediction"], labels=names)
    per_class = _per_class(table, names)
    heard = [row for row in per_class.values() if row["support"]]
    return {
        "n": len(table),
        "accuracy": float(np.trace(confusion) / len(table)),
        "uar": float(np.mean([row["recall"] for row in heard])),
        "macro_f1": float(np.mean([row["f1"] for row in heard])),
        **{name: _mean_of_known([row[name] for row in per_class.values()]) for name in _RANKINGS},
        "log_loss": float(log_loss(targets, probabilities, labels=range(len(names)))),
        "ece": calibration_error(probabilities, targets),
        "brier": float(((probabilities - np.eye(len(names))[targets]) ** 2).sum(axis=1).mean()),
        "ci95": speaker_intervals(table, names),
        "per_class": per_class,
        "confusion": confusion.tolist(),
        "reliability": reliability_table(probabilities, targets),
        "coverage": coverage_curve(probabilities, targets),
    }


def calibration(table: pd.DataFrame, labels: Sequence[str]) -> dict[str, Any]:
    """Return what the temperatures of the folds did to the probabilities, by undoing them.

    Args:
        table: one row per clip, with the column temperature.
        labels: the classes.
    """
    names, targets = list(labels), table["label"].map(list(labels).index).to_numpy(np.int64)
    after = probability_matrix(table, names).astype(np.float64)
    before = apply_temperature(after, 1 / table["temperature"].to_numpy(np.float64)[:, np.newaxis]).astype(np.float64)
    found = {
        name: {
            "ece": calibration_error(probabilities, targets),
            "log_loss": float(
                log_loss(targets, probabilities / probabilities.sum(axis=1, keepdims=True), labels=range(len(names)))
            ),
        }
        for name, probabilities in (("before", before), ("after", after))
    }
    return {"temperature": [float(value) for value in table.groupby("fold")["temperature"].first()], **found}


def seed_spread(tested: pd.DataFrame, labels: Sequence[str]) -> dict[str, Any]:
    """Return mean and standard deviation over seeds of the figures a run is judged by.

    Args:
        tested: predictions of the test clips, with the column seed.
        labels: the classes; none for a head that answers with a number.
    """
    found = [compute_metrics(primary_rows(rows), labels) for _, rows in tested.groupby("seed", sort=False)]
    names = _SPREAD if labels else _SPREAD_OF_NUMBERS
    values = {name: [each[name] for each in found] for name in names}
    spread = {
        name: {"mean": float(np.mean(of)), "sd": float(np.std(of, ddof=1)), "values": of} for name, of in values.items()
    }
    return {"n": len(found), **spread}


def speaker_intervals(
    table: pd.DataFrame, labels: Sequence[str], resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, list[float] | None]:
    """Return 95 % percentile intervals of accuracy and UAR by bootstrap over speakers.

    A resample that lacks a class has its UAR over the classes it has. From fewer than two speakers nothing can be
    said: None.

    Args:
        table: columns utterance_id, speaker, label, prediction.
        labels: the classes.
        resamples: how many times to draw.
        seed: draws them; fixed, so that the same predictions have the same interval.
    """
    unit, num_units = speaker_units(table)
    if num_units < 2:
        return {"accuracy": None, "uar": None}
    confusions = np.zeros((num_units, len(labels), len(labels)))  # (speakers, classes, classes)
    place = list(labels).index
    np.add.at(confusions, (unit, table["label"].map(place), table["prediction"].map(place)), 1)
    resampled = np.tensordot(draw(num_units, resamples, seed), confusions, axes=1)  # (resamples, classes, classes)
    right, clips = np.diagonal(resampled, axis1=1, axis2=2), resampled.sum(axis=2)
    recalls = np.divide(right, clips, out=np.full(right.shape, np.nan), where=clips > 0)
    values = {"accuracy": right.sum(axis=1) / clips.sum(axis=1), "uar": np.nanmean(recalls, axis=1)}
    return {name: interval(value) for name, value in values.items()}


def _gains(conditions: dict[str, pd.DataFrame]) -> dict[str, dict[str, Any]]:
    """Return the gain of each condition against the plain head; none where there is no such head beside another."""
    if PLAIN not in conditions:
        return {}
    plain = conditions[PLAIN]
    return {name: speaker_gains(rows, plain).to_dict() for name, rows in conditions.items() if name != PLAIN}


def _per_class(table: pd.DataFrame, labels: list[str]) -> dict[str, dict[str, Any]]:
    scores = precision_recall_fscore_support(table["label"], table["prediction"], labels=labels, zero_division=0)
    figures_of: dict[str, dict[str, Any]] = {
        label: {"precision": float(precision), "recall": float(recall), "f1": float(f1), "support": int(support)}
        for label, precision, recall, f1, support in zip(labels, *scores, strict=True)
    }
    for name, values in _rankings(table, labels).items():
        for label, value in zip(labels, values, strict=True):
            figures_of[label][name] = value
    return figures_of


def _rankings(table: pd.DataFrame, labels: list[str]) -> dict[str, list[float | None]]:
    """Return how well each class's probability ranks its clips above all others; None where there are only either."""
    is_class = table["label"].to_numpy(object)[:, None] == np.array(labels, dtype=object)  # (clips, classes)
    defined = is_class.any(axis=0) & ~is_class.all(axis=0)
    found = {name: np.full(len(labels), None, dtype=object) for name in _RANKINGS}
    if defined.any():
        probabilities = probability_matrix(table, labels)[:, defined]
        for name, score in _RANKINGS.items():
            found[name][defined] = score(is_class[:, defined], probabilities, average=None).tolist()
    return {name: values.tolist() for name, values in found.items()}


def _mean_of_known(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
