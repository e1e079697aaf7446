"""What a run's predictions and vectors show: how classes are told apart, speakers, confusions, a map of the vectors.

Everything here is computed from the clips themselves, by scikit-learn where it has it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from ser_embed.store.reader import Store
from ser_head.evaluation.predictions import PROBABILITY

MOST_POINTS = 2000  # on a map of vectors; more only hide each other
_ENOUGH_TO_NAME = 0.1  # a class called another less often than this is not worth a sentence


@dataclass(frozen=True)
class OneVsRestCurves:
    """How well one class's probability sets its clips apart from all others.

    Attributes:
        label: the class.
        roc: float (2, thresholds), false and true positive rates, ascending.
        auc: area under that curve.
        recall_precision: float (2, thresholds), recall, descending, and precision.
        average_precision: mean precision over the recalls.
    """

    label: str
    roc: np.ndarray
    auc: float
    recall_precision: np.ndarray
    average_precision: float


@dataclass(frozen=True)
class Projection:
    """Clips on the plane in which their vectors spread most.

    Attributes:
        points: float (clips, 2).
        explained: shares of the variance the two axes hold.
        emotions: emotion per clip, (clips,).
        speakers: speaker per clip, (clips,).
        layer: name of the encoder's layer.
    """

    points: np.ndarray
    explained: tuple[float, float]
    emotions: np.ndarray
    speakers: np.ndarray
    layer: str


@dataclass(frozen=True)
class Confusion:
    """How often one class was taken for another: `share` of the clips of `acted` were called `called`."""

    acted: str
    called: str
    share: float


def one_vs_rest(predictions: pd.DataFrame, labels: Sequence[str]) -> list[OneVsRestCurves]:
    """Return how each class is told from all others.

    Args:
        predictions: columns label and `p_<class>` for each of `labels`.
        labels: the classes.

    Returns:
        One ranking per class that some test clips have and some have not; the others have none.
    """
    rankings = []
    for label in labels:
        truth = predictions["label"] == label
        if truth.any() and not truth.all():
            probability = predictions[PROBABILITY + label]
            false_rate, true_rate, _ = roc_curve(truth, probability)
            precision, recall, _ = precision_recall_curve(truth, probability, drop_intermediate=True)
            rankings.append(
                OneVsRestCurves(
                    label,
                    np.stack([false_rate, true_rate]),
                    float(roc_auc_score(truth, probability)),
                    np.stack([recall, precision]),
                    float(average_precision_score(truth, probability)),
                )
            )
    return rankings


def speaker_accuracy(predictions: pd.DataFrame) -> pd.Series:
    """Return the accuracy in [0, 1] of each known speaker, lowest first.

    Args:
        predictions: columns speaker, label, prediction.
    """
    known = predictions[predictions["speaker"] != ""]
    right = known["label"] == known["prediction"]
    return right.groupby(known["speaker"]).mean().sort_values(kind="stable")


def frequent_confusions(counts: np.ndarray, labels: Sequence[str], most: int = 3) -> list[Confusion]:
    """Return which class was taken for which other most often, as a share of its clips.

    Args:
        counts: int (classes, classes), acted by row, predicted by column.
        labels: the classes' names.
        most: how many to return.
    """
    counts = np.asarray(counts)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    found = [
        Confusion(labels[row], labels[column], float(share))
        for (row, column), share in np.ndenumerate(shares)
        if row != column and share >= _ENOUGH_TO_NAME
    ]
    return sorted(found, key=lambda confusion: -confusion.share)[:most]


def project(store: Store, rows: np.ndarray, layer: int, seed: int = 0) -> Projection | None:
    """Project clips on the first two principal components of their standardised vectors.

    Args:
        store: where the vectors are.
        rows: the clips, as row numbers of the store; more than `MOST_POINTS` are sampled.
        layer: position on the store's layer axis.
        seed: draws the sample.

    Returns:
        The map, or None where there are fewer than two clips or two numbers that differ between clips.
    """
    if len(rows) > MOST_POINTS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, MOST_POINTS, replace=False))
    vectors = clip_vectors(store, rows, layer)
    vectors = vectors[:, np.ptp(vectors, axis=0) > 0]
    if min(vectors.shape) < 2:
        return None
    vectors = (vectors - vectors.mean(axis=0)) / vectors.std(axis=0)
    analysis = PCA(n_components=2, random_state=seed)
    points = analysis.fit_transform(vectors)
    clips = store.utterances.iloc[rows]
    return Projection(
        points,
        tuple(analysis.explained_variance_ratio_.tolist()),
        clips["emotion"].to_numpy(),
        clips["speaker"].to_numpy(),
        store.layers[layer],
    )


def clip_vectors(store: Store, rows: np.ndarray, layer: int) -> np.ndarray:
    """Return one vector per clip, float64 (clips, width); a store of frames gives the mean over each clip's."""
    if store.spec.pooling == "frames":
        return np.stack([store.vectors[store.extent(row), layer].mean(axis=0, dtype=np.float64) for row in rows])
    return store.read(rows, [layer])[:, 0].astype(np.float64)
