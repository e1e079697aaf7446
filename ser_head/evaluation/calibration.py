"""Calibration of probabilities, and accuracy at lower coverage: figures for answering only where the head is confident.

Confidence is the probability of the predicted class. All functions take probabilities, float (clips, classes), and the
class of each clip, int (clips,).
"""

from typing import Any

import numpy as np

BINS = 15  # as in Guo et al., 2017
_TENTHS = range(10, 0, -1)  # of the clips: the points of a coverage curve


def calibration_error(probabilities: np.ndarray, targets: np.ndarray, bins: int = BINS) -> float:
    """Return the expected calibration error (Guo et al., "On Calibration of Modern Neural Networks", 2017).

    Clips are put in bins of equal width by their confidence; the error is the mean difference between a bin's
    accuracy and its mean confidence, weighted by its number of clips. A bin includes its upper edge.

    Args:
        probabilities: (clips, classes).
        targets: class of each clip, int (clips,).
        bins: number of bins.
    """
    confidence, correct = _confidence_and_correctness(probabilities, targets)
    gaps = np.bincount(_bin_index(confidence, bins), weights=correct - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(targets))


def reliability_table(probabilities: np.ndarray, targets: np.ndarray, bins: int = BINS) -> list[dict[str, Any]]:
    """Return the content of a reliability diagram: clips, confidence and accuracy per bin of `calibration_error`.

    Args:
        probabilities: (clips, classes).
        targets: class of each clip, int (clips,).
        bins: number of bins.

    Returns:
        One dict per bin: low and high (its edges), n, confidence and accuracy (means over its clips, None without any).
    """
    confidence, correct = _confidence_and_correctness(probabilities, targets)
    bin_index = _bin_index(confidence, bins)
    table = []
    for index in range(bins):
        inside = bin_index == index
        means = (float(values[inside].mean()) if inside.any() else None for values in (confidence, correct))
        row = {"low": index / bins, "high": (index + 1) / bins, "n": int(inside.sum())}
        table.append({**row, **dict(zip(("confidence", "accuracy"), means, strict=True))})
    return table


def coverage_curve(probabilities: np.ndarray, targets: np.ndarray) -> dict[str, Any]:
    """Return the accuracy on the clips that the head is most confident of, at several coverages.

    Clips are taken in descending order of confidence, ties in the order of the table. The area is that under the
    whole curve, the mean accuracy over the 1, 2, ... n most confident clips: 1 minus the AURC of Geifman, Uziel and
    El-Yaniv, "Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers", 2019.

    Args:
        probabilities: (clips, classes).
        targets: class of each clip, int (clips,).

    Returns:
        {"points": [{"coverage", "n", "confidence", "accuracy"}, ...], "area"}: for coverage 1.0, 0.9, ... 0.1 of the
        clips, rounded up, their number, the lowest confidence among them, and their accuracy.
    """
    confidence, correct = _confidence_and_correctness(probabilities, targets)
    order = np.argsort(-confidence, kind="stable")
    accuracy = np.cumsum(correct[order]) / np.arange(1, len(order) + 1)
    points = []
    for tenths in _TENTHS:
        num_clips = -(-len(order) * tenths // 10)
        lowest = float(confidence[order[num_clips - 1]])
        points.append(
            {
                "coverage": tenths / 10,
                "n": num_clips,
                "confidence": lowest,
                "accuracy": float(accuracy[num_clips - 1]),
            }
        )
    return {"points": points, "area": float(accuracy.mean())}


def _confidence_and_correctness(probabilities: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the confidence of each answer, float (clips,), and whether it is correct, bool (clips,)."""
    return probabilities.max(axis=1), probabilities.argmax(axis=1) == targets


def _bin_index(confidence: np.ndarray, bins: int) -> np.ndarray:
    """Return the bin of each confidence, int (clips,)."""
    return np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
