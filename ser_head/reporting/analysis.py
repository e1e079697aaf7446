"""Analysis of a run's predictions and vectors: one-vs-rest curves, accuracy per speaker, confusions, projection.

Everything is computed from the clips themselves, by scikit-learn where it has the measure. Class probabilities are
columns `p_<class>`; confusion counts have the true class by row and the predicted one by column.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from ser_embed.store.reader import Store
from ser_head.evaluation.predictions import PROBABILITY

MAX_POINTS = 2000  # of a projection; more dots only hide each other
_MIN_CONFUSION_SHARE = 0.1  # a rarer confusion is not worth a sentence


@dataclass(frozen=True)
class OneVsRestCurves:
    """ROC and precision-recall curves of one class against all others.

    Attributes:
        label: the class.
        roc: false and true positive rates, ascending, float (2, thresholds).
        auc: area under the ROC curve.
        recall_precision: recall, descending, and precision, float (2, thresholds).
        average_precision: mean precision over the recalls.
    """

    label: str
    roc: np.ndarray
    auc: float
    recall_precision: np.ndarray
    average_precision: float


@dataclass(frozen=True)
class Projection:
    """Clips on the first two principal components of their vectors.

    Attributes:
        points: float (clips, 2).
        explained: share of the variance that each of the two components explains.
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
    """Two classes that a head confuses.

    Attributes:
        true_label: class of the clips.
        predicted_label: class predicted for some of them.
        share: share of the clips of `true_label` that were predicted as `predicted_label`, in [0, 1].
    """

    true_label: str
    predicted_label: str
    share: float


def one_vs_rest(predictions: pd.DataFrame, labels: Sequence[str]) -> list[OneVsRestCurves]:
    """Compute the ROC and precision-recall curves of each class against all others.

    Args:
        predictions: columns label and `p_<class>` for each of `labels`.
        labels: the classes.

    Returns:
        The curves of each class that some test clips have and some have not; they are undefined for the others.
    """
    curves = []
    for label in labels:
        is_label = predictions["label"] == label
        if is_label.any() and not is_label.all():
            probability = predictions[PROBABILITY + label]
            false_rate, true_rate, _ = roc_curve(is_label, probability)
            precision, recall, _ = precision_recall_curve(is_label, probability, drop_intermediate=True)
            curves.append(
                OneVsRestCurves(
                    label,
                    np.stack([false_rate, true_rate]),
                    float(roc_auc_score(is_label, probability)),
                    np.stack([recall, precision]),
                    float(average_precision_score(is_label, probability)),
                )
            )
    return curves


def speaker_accuracy(predictions: pd.DataFrame) -> pd.Series:
    """Compute the accuracy of each speaker.

    Args:
        predictions: columns speaker, label, prediction. Clips of an unknown speaker ("") are left out.

    Returns:
        Accuracy in [0, 1], float64, indexed by speaker, lowest first.
    """
    clips = predictions[predictions["speaker"] != ""]
    correct = clips["label"] == clips["prediction"]
    return correct.groupby(clips["speaker"]).mean().sort_values(kind="stable")


def frequent_confusions(counts: np.ndarray, labels: Sequence[str], limit: int = 3) -> list[Confusion]:
    """Find the most frequent confusions, as shares of the true class's clips.

    Args:
        counts: int (classes, classes), true class by row, predicted class by column.
        labels: names of the classes.
        limit: number of confusions to return at most.

    Returns:
        Confusions of at least a tenth of a class's clips, the largest share first.
    """
    counts = np.asarray(counts)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    confusions = [
        Confusion(labels[row], labels[column], float(share))
        for (row, column), share in np.ndenumerate(shares)
        if row != column and share >= _MIN_CONFUSION_SHARE
    ]
    return sorted(confusions, key=lambda confusion: -confusion.share)[:limit]


def project(store: Store, rows: np.ndarray, layer: int, seed: int = 0) -> Projection | None:
    """Project clips on the first two principal components of their standardised vectors.

    Args:
        store: the store with the vectors.
        rows: row numbers of the clips in the store, int (clips,); more than `MAX_POINTS` are sampled.
        layer: position on the store's layer axis.
        seed: seed of the sample.

    Returns:
        The projection; None with fewer than two clips, or fewer than two dimensions in which the vectors differ.
    """
    if len(rows) > MAX_POINTS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, MAX_POINTS, replace=False))
    vectors = clip_vectors(store, rows, layer)
    vectors = vectors[:, np.ptp(vectors, axis=0) > 0]
    if min(vectors.shape) < 2:
        return None
    vectors = (vectors - vectors.mean(axis=0)) / vectors.std(axis=0)
    pca = PCA(n_components=2, random_state=seed)
    points = pca.fit_transform(vectors)
    clips = store.utterances.iloc[rows]
    return Projection(
        points,
        tuple(pca.explained_variance_ratio_.tolist()),
        clips["emotion"].to_numpy(),
        clips["speaker"].to_numpy(),
        store.layers[layer],
    )


def clip_vectors(store: Store, rows: np.ndarray, layer: int) -> np.ndarray:
    """Read one vector per clip; a store of frames gives the mean over the frames of each clip.

    Args:
        store: the store with the vectors.
        rows: row numbers of the clips, int (clips,).
        layer: position on the store's layer axis.

    Returns:
        float64 (clips, width).
    """
    if store.spec.pooling == "frames":
        return np.stack([store.read_clip(row)[:, layer].mean(axis=0, dtype=np.float64) for row in rows])
    return store.read(rows, [layer])[:, 0].astype(np.float64)
