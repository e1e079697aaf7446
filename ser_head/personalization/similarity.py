"""Speaker similarity: training speakers that resemble a new speaker, and the new speaker as a blend of them.

Similarity is the cosine between mean standardised vectors, over all layers at once. In a speaker table row 0 is the
unknown speaker and row 1 + j training speaker j. The cosine is written out in place of scikit-learn's
`cosine_similarity`: it is one matrix product, and personalised scoring then does without scikit-learn.
"""

import numpy as np

from ser_head.personalization.normalization import KAPPA

UNKNOWN_ROW = 0  # of a speaker table: a speaker who was not in training
SHARPNESS = 10.0  # a speaker whose cosine is 0.1 higher then gets e times the weight


def one_hot(rows: np.ndarray, count: int) -> np.ndarray:
    """Return weights, float32 (clips, count), that pick one row of a speaker table of `count` rows for each clip."""
    return (np.asarray(rows)[:, None] == np.arange(count)).astype(np.float32)


def blend(
    enrolled: np.ndarray, speaker_means: np.ndarray, kappa: float = KAPPA, sharpness: float = SHARPNESS
) -> np.ndarray:
    """Weigh the rows of a speaker table for a speaker who has no row in it.

    With n enrolled clips, n / (n + kappa) of the weight goes to the training speakers, shared by a softmax of their
    similarities; the rest goes to row 0.

    Args:
        enrolled: standardised vectors of the new speaker, (clips, layers, width).
        speaker_means: mean standardised vector of each training speaker, (speakers, layers, width).
        kappa: number of clips that row 0 is worth, above 0.
        sharpness: factor of the cosines in the softmax.

    Returns:
        Weights that add up to 1, float32 (1 + speakers,); all of it on row 0 without clips or without speakers.
    """
    weights = np.zeros(1 + len(speaker_means), np.float32)
    if not len(enrolled) or not len(speaker_means):
        weights[UNKNOWN_ROW] = 1.0
        return weights
    scores = sharpness * _cosines(enrolled, speaker_means)
    shares = np.exp(scores - scores.max())
    speakers_weight = len(enrolled) / (len(enrolled) + kappa)
    weights[UNKNOWN_ROW] = 1.0 - speakers_weight
    weights[1:] = speakers_weight * shares / shares.sum()
    return weights


def most_similar(enrolled: np.ndarray, speaker_means: np.ndarray, k: int) -> np.ndarray:
    """Find the training speakers that a new speaker resembles most.

    Args:
        enrolled: standardised vectors of the new speaker, (clips, layers, width); without clips nobody is similar.
        speaker_means: mean standardised vector of each training speaker, (speakers, layers, width).
        k: number of speakers to return, at most.

    Returns:
        Positions in `speaker_means`, most similar first, int64 (min(k, speakers),); (0,) without clips.
    """
    if not len(enrolled):
        return np.zeros(0, np.int64)
    return np.argsort(-_cosines(enrolled, speaker_means), kind="stable")[:k]


def _cosines(enrolled: np.ndarray, speaker_means: np.ndarray) -> np.ndarray:
    """Return the cosine between the mean of `enrolled` and each of `speaker_means`; 0 where one of them is zero."""
    mean = enrolled.mean(axis=0, dtype=np.float64).ravel()
    training_means = speaker_means.reshape(len(speaker_means), mean.size).astype(np.float64)
    lengths = np.linalg.norm(training_means, axis=1) * np.linalg.norm(mean)
    return np.divide(training_means @ mean, lengths, out=np.zeros(len(training_means)), where=lengths > 0)
