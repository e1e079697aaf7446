"""How far a probability can be trusted: calibration, and what is gained by answering only where the head is sure.

Confidence is the probability of the predicted class. All functions take probabilities (clips, classes) and the class
of each clip, int (clips,).
"""

from typing import Any

import numpy as np

BINS = 15  # as Guo et al. have it
_TENTHS = range(10, 0, -1)


def calibration_error(probabilities: np.ndarray, targets: np.ndarray, bins: int = BINS) -> float:
    """Return the expected calibration error (Guo et al., "On Calibration of Modern Neural Networks", 2017).

    Clips are put in bins of equal width by their confidence; the error is the mean difference between a bin's
    accuracy and its mean confidence, weighted by its clips. A bin holds its upper edge.

    Args:
        probabilities: (clips, classes).
        targets: class of each clip, int (clips,).
        bins: number of bins.
    """
    confidence, right = _answers(probabilities, targets)
    gaps = np.bincount(_bin(confidence, bins), weights=right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(targets))


def reliability_table(probabilities: np.ndarray, targets: np.ndarray, bins: int = BINS) -> list[dict[str, Any]]:
    """Return what a reliability diagram shows: per bin of `calibration_error` its clips, confidence and accuracy.

    Args:
        probabilities: (clips, classes).
        targets: class of each clip, int (clips,).
        bins: number of bins.

    Returns:
        One dict per bin: low and high (its edges), n, confidence and accuracy (means over its clips, None without any).
    """
    confidence, right = _answers(probabilities, targets)
    place = _bin(confidence, bins)
    table = []
    for number in range(bins):
        inside = place == number
        means = (float(each[inside].mean()) if inside.any() else None for each in (confidence, right))
        row = {"low": number / bins, "high": (number + 1) / bins, "n": int(inside.sum())}
        table.append({**row, **dict(zip(("confidence", "accuracy"), means, strict=True))})
    return table


def coverage_curve(probabilities: np.ndarray, targets: np.ndarray) -> dict[str, Any]:
    """Return how right the head is on the clips it is surest of.

    Clips are taken in the order of their confidence, equals in the order of the table. The area is that under the
    whole curve, the mean accuracy over the 1, 2, ... n surest clips: 1 minus the AURC of Geifman, Uziel and El-Yaniv,
    "Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers", 2019.

    Args:
        probabilities: (clips, classes).
        targets: class of each clip, int (clips,).

    Returns:
        {"points": [{"coverage", "n", "confidence", "accuracy"}, ...], "area"}: for coverage 1.0, 0.9, ... 0.1 of the
        clips, rounded up, their number, the least confidence among them, and their accuracy.
    """
    confidence, right = _answers(probabilities, targets)
    order = np.argsort(-confidence, kind="stable")
    accuracy = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    points = []
    for tenths in _TENTHS:
        taken = -(-len(order) * tenths // 10)
        least = float(confidence[order[taken - 1]])
        points.append(
            {"coverage": tenths / 10, "n": taken, "confidence": least, "accuracy": float(accuracy[taken - 1])}
        )
    return {"points": points, "area": float(accuracy.mean())}


def _answers(probabilities: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the confidence of each answer and whether it is right, both (clips,)."""
    return probabilities.max(axis=1), probabilities.argmax(axis=1) == targets


def _bin(confidence: np.ndarray, bins: int) -> np.ndarray:
    return np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
