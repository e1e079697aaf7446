"""A new voice as a blend of the training speakers it resembles.

Likeness is the cosine between mean standardised vectors, over all layers at once. In a speaker table row 0 is
the unknown speaker and row 1 + j training speaker j.
"""

import numpy as np

from ser_head.personalization.normalization import KAPPA

UNKNOWN_ROW = 0  # of a speaker table: a speaker who was not in training
SHARPNESS = 10.0  # a speaker whose cosine is 0.1 higher then gets e times the weight


def one_hot(rows: np.ndarray, count: int) -> np.ndarray:
    """Return weights, float32 (rows, count), that pick one row of a speaker table of `count` rows for each clip."""
    return (np.asarray(rows)[:, None] == np.arange(count)).astype(np.float32)


def blend(
    enrolled: np.ndarray, speaker_means: np.ndarray, kappa: float = KAPPA, sharpness: float = SHARPNESS
) -> np.ndarray:
    """Weigh the rows of a speaker table for a speaker who has none.

    Of n clips' worth of weight out of n + kappa, each training speaker has a share by a softmax of their likeness; the
    rest is row 0's.

    Args:
        enrolled: standardised vectors of the new speaker, (clips, layers, width).
        speaker_means: mean standardised vector of each training speaker, (speakers, layers, width).
        kappa: clips' worth of trust in row 0, above 0.
        sharpness: what the cosines are multiplied by.

    Returns:
        Weights of sum 1, float32 (1 + speakers,); row 0 alone where no clips are given.
    """
    weights = np.zeros(1 + len(speaker_means), np.float32)
    if not len(enrolled) or not len(speaker_means):
        weights[UNKNOWN_ROW] = 1.0
        return weights
    scores = sharpness * _likeness(enrolled, speaker_means)
    shares = np.exp(scores - scores.max())
    known = len(enrolled) / (len(enrolled) + kappa)
    weights[UNKNOWN_ROW] = 1.0 - known
    weights[1:] = known * shares / shares.sum()
    return weights


def most_similar(enrolled: np.ndarray, speaker_means: np.ndarray, k: int) -> np.ndarray:
    """Return the places in `voices` of the `k` training speakers a new one resembles most, best first, int64.

    Args:
        enrolled: standardised vectors of the new speaker, (clips, layers, width); without clips it resembles nobody.
        speaker_means: mean standardised vector of each training speaker, (speakers, layers, width).
        k: how many, at most.
    """
    if not len(enrolled):
        return np.zeros(0, np.int64)
    return np.argsort(-_likeness(enrolled, speaker_means), kind="stable")[:k]


def _likeness(enrolled: np.ndarray, speaker_means: np.ndarray) -> np.ndarray:
    """Return the cosine between the mean of `enrolled` and each voice; 0 where one of them has no direction."""
    own = enrolled.mean(axis=0, dtype=np.float64).ravel()
    others = speaker_means.reshape(len(speaker_means), own.size).astype(np.float64)
    lengths = np.linalg.norm(others, axis=1) * np.linalg.norm(own)
    return np.divide(others @ own, lengths, out=np.zeros(len(others)), where=lengths > 0)
