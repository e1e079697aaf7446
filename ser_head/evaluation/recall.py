"""Unweighted average recall (UAR): the mean of the per-class recalls, over the classes that have clips.

Every class counts alike, however many clips it has; UAR is also called balanced accuracy. It has been the usual measure
of the field since Schuller, Steidl and Batliner, "The INTERSPEECH 2009 Emotion Challenge", 2009. Counts of clips have
classes on the last axis, so that the UARs of many resamples are computed at once.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class RecallCounts:
    """Numbers of clips per class, of one set of clips or of many.

    Attributes:
        hits: clips whose class was recognised, (..., classes).
        totals: clips in all, (..., classes).
    """

    hits: np.ndarray
    totals: np.ndarray

    def uar(self) -> np.ndarray:
        """Return the UAR of each set of clips, (...); a class without clips does not count."""
        has_clips = self.totals > 0
        recalls = np.divide(self.hits, self.totals, out=np.zeros(self.hits.shape), where=has_clips)
        return recalls.sum(axis=-1) / has_clips.sum(axis=-1)

    def accuracy(self) -> np.ndarray:
        """Return the accuracy of each set of clips, (...)."""
        return self.hits.sum(axis=-1) / self.totals.sum(axis=-1)

    def resample(self, draws: np.ndarray) -> "RecallCounts":
        """Return the counts of each resample, (resamples, classes), from those of each speaker, (speakers, classes).

        Args:
            draws: how often each resample drew each speaker, int (resamples, speakers).
        """
        return RecallCounts(draws @ self.hits, draws @ self.totals)


def unweighted_average_recall(targets: np.ndarray, predictions: np.ndarray) -> float:
    """Return the UAR of one set of clips.

    >>> unweighted_average_recall(np.array([0, 0, 0, 0, 1]), np.array([0, 0, 1, 1, 1]))
    0.75

    Args:
        targets: class of each clip, as a number or a name, (clips,).
        predictions: predicted class of each clip, likewise.
    """
    _, column = np.unique(targets, return_inverse=True)
    hits = np.bincount(column, weights=targets == predictions)
    return float(RecallCounts(hits, np.bincount(column)).uar())


def count_by_speaker(
    speakers: np.ndarray, targets: np.ndarray, correct: np.ndarray, shape: tuple[int, int]
) -> RecallCounts:
    """Count the clips of each speaker and class, and those whose class was recognised.

    Args:
        speakers: position of each clip's speaker, int (clips,).
        targets: position of each clip's class, int (clips,).
        correct: whether the clip's class was recognised, bool (clips,).
        shape: number of speakers and of classes.

    Returns:
        The counts, (speakers, classes).
    """
    hits, totals = np.zeros(shape), np.zeros(shape)
    np.add.at(hits, (speakers, targets), correct)
    np.add.at(totals, (speakers, targets), 1)
    return RecallCounts(hits, totals)
