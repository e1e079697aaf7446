"""Activation: how aroused a voice is, from the probabilities of emotions.

In the circumplex of affect (Russell, "A Circumplex Model of Affect", 1980) an emotion has two coordinates, pleasure and
activation. Excited and calm voices differ in level, pitch and tempo, in whatever language, so that activation carries
over to other corpora where the emotions themselves do not.
"""

from collections.abc import Sequence

import numpy as np

# The half of the circumplex in which each emotion lies. Disgust lies near the border, and is acted both ways: it counts
# for neither.
HIGH = ("angry", "fear", "happy", "surprise")
LOW = ("bored", "calm", "neutral", "sad")


def activation(probabilities: np.ndarray, labels: Sequence[str]) -> np.ndarray | None:
    """Return the probability of an activated voice: that of `HIGH` emotions over that of `HIGH` and `LOW` ones.

    >>> activation(np.array([[0.5, 0.4, 0.1]]), ["angry", "disgust", "sad"]).round(3).tolist()
    [0.833]

    Args:
        probabilities: (clips, classes); a clip without probabilities has NaN.
        labels: the classes, in the order of the columns.

    Returns:
        float64 (clips,), NaN where the probabilities are; None where the classes lack one side of the circumplex.
    """
    high, low = (np.isin(labels, emotions) for emotions in (HIGH, LOW))
    if not (high.any() and low.any()):
        return None
    high_sum, low_sum = (probabilities[:, side].sum(axis=1, dtype=np.float64) for side in (high, low))
    total = high_sum + low_sum
    return np.where(total == 0, 0.5, high_sum / np.where(total == 0, 1.0, total))
