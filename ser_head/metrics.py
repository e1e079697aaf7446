"""What a head is worth: figures of one set of predictions, and metrics.json.

Every figure is a function of the predictions alone. UAR, the unweighted average recall, is the mean of the per-class
recalls; it and macro-F1 average over the classes that have clips.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix, log_loss, precision_recall_fscore_support

from ser_head.predictions import judged, probabilities_of

RESAMPLES = 1000
ECE_BINS = 15  # as Guo et al. have it


def metrics_document(
    protocol: str, speaker_disjoint: bool, labels: Sequence[str], tested: pd.DataFrame, validated: pd.DataFrame
) -> dict[str, Any]:
    """Return the content of metrics.json.

    Args:
        protocol: as on the command line.
        speaker_disjoint: whether no speaker was on both sides of training and test.
        labels: the classes.
        tested: predictions of the test clips of all folds, under every condition.
        validated: predictions of the validation clips of all folds; a clip may come once per fold.
    """
    return {
        "protocol": protocol,
        "speaker_disjoint": speaker_disjoint,
        "labels": list(labels),
        "n_test": len(judged(tested)),
        "test": figures(judged(tested), labels),
        "conditions": {name: figures(rows, labels) for name, rows in tested.groupby("condition")},
        "validation": figures(validated, labels),
    }


def figures(table: pd.DataFrame, labels: Sequence[str]) -> dict[str, Any]:
    """Return the figures of one set of predictions.

    Args:
        table: rows as `ser_head.predictions` has them, one per clip.
        labels: the classes, in the order of the probabilities.
    """
    names = list(labels)
    probabilities = probabilities_of(table, names).astype(np.float64)
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
        "log_loss": float(log_loss(targets, probabilities, labels=range(len(names)))),
        "ece": calibration_error(probabilities, targets),
        "brier": float(((probabilities - np.eye(len(names))[targets]) ** 2).sum(axis=1).mean()),
        "ci95": speaker_intervals(table, names),
        "per_class": per_class,
        "confusion": confusion.tolist(),
    }


def calibration_error(probabilities: np.ndarray, targets: np.ndarray, bins: int = ECE_BINS) -> float:
    """Return the expected calibration error (Guo et al., "On Calibration of Modern Neural Networks", 2017).

    Clips are put in bins of equal width by the probability of their predicted class; the error is the mean difference
    between a bin's accuracy and its mean probability, weighted by its clips. A bin holds its upper edge.

    Args:
        probabilities: (clips, classes).
        targets: class of each clip, int (clips,).
        bins: number of bins.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == targets
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(place, weights=right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(targets))


def speaker_intervals(
    table: pd.DataFrame, labels: Sequence[str], resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, list[float] | None]:
    """Return 95 % percentile intervals of accuracy and UAR by bootstrap over speakers.

    Clips of one speaker are alike, so it is speakers that are drawn, with replacement, each with all its clips; a clip
    of an unknown speaker is drawn by itself. A resample that lacks a class has its UAR over the classes it has. From
    fewer than two speakers nothing can be said: None.

    Args:
        table: columns utterance_id, speaker, label, prediction.
        labels: the classes.
        resamples: how many times to draw.
        seed: draws them; fixed, so that the same predictions have the same interval.
    """
    units, unit = np.unique(table["speaker"].where(table["speaker"] != "", table["utterance_id"]), return_inverse=True)
    if len(units) < 2:
        return {"accuracy": None, "uar": None}
    confusions = np.zeros((len(units), len(labels), len(labels)))  # (speakers, classes, classes)
    place = list(labels).index
    np.add.at(confusions, (unit, table["label"].map(place), table["prediction"].map(place)), 1)
    random = np.random.default_rng(seed)
    drawn = random.multinomial(len(units), np.full(len(units), 1 / len(units)), size=resamples)
    resampled = np.tensordot(drawn, confusions, axes=1)  # (resamples, classes, classes)
    right, clips = np.diagonal(resampled, axis1=1, axis2=2), resampled.sum(axis=2)
    recalls = np.divide(right, clips, out=np.full(right.shape, np.nan), where=clips > 0)
    values = {"accuracy": right.sum(axis=1) / clips.sum(axis=1), "uar": np.nanmean(recalls, axis=1)}
    return {name: np.quantile(value, [0.025, 0.975]).tolist() for name, value in values.items()}


def _per_class(table: pd.DataFrame, labels: list[str]) -> dict[str, dict[str, float]]:
    scores = precision_recall_fscore_support(table["label"], table["prediction"], labels=labels, zero_division=0)
    return {
        label: {"precision": float(precision), "recall": float(recall), "f1": float(f1), "support": int(support)}
        for label, precision, recall, f1, support in zip(labels, *scores, strict=True)
    }
