"""Speaker matches: the training speakers that a personalised head finds most similar to each test speaker.

Vectors are those the head of the fold sees: scaled by its scaling, and compared with its training speakers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ser_embed.store.reader import Store
from ser_head.personalization.methods import METHODS
from ser_head.personalization.personalizer import Personalizer
from ser_head.personalization.similarity import blend, most_similar
from ser_head.runs.results import RunResults
from ser_head.scoring.scorer import Scorer

_MIN_SHARE = 0.01  # a smaller share of a blend is not worth naming


@dataclass(frozen=True)
class SpeakerMatch:
    """A test speaker and the training speakers most similar to it.

    Attributes:
        speaker: the test speaker.
        similar_speakers: training speakers, the most similar first.
        shares: share of each in the blend of training speakers that stands for the test speaker, with all clips of the
            speaker known; empty for a head that has no such blend.
    """

    speaker: str
    similar_speakers: tuple[str, ...]
    shares: tuple[float, ...]


def speaker_matches(
    results: RunResults, store: Store, max_speakers: int = 12, max_matches: int = 3
) -> list[SpeakerMatch]:
    """Find the training speakers most similar to each test speaker of a run.

    Args:
        results: the run.
        store: the store with its vectors.
        max_speakers: number of test speakers, the first by name. Test speakers that were in training have no matches.
        max_matches: number of training speakers for each.

    Returns:
        One match per test speaker, sorted by name; none for a run whose methods do not use similar speakers.

    Raises:
        InputError: the run is damaged.
    """
    if not any(METHODS[name].borrows for name in results.run.config.personalized):
        return []
    test_speakers = [(name, fold) for fold in results.run.about["folds"] for name in fold["speakers"]["test"]]
    new_speakers = [(name, fold) for name, fold in test_speakers if name and name not in fold["known"]]
    scorers: dict[int, Scorer] = {}
    matches = []
    for name, fold in sorted(new_speakers, key=lambda speaker: speaker[0])[:max_speakers]:
        if fold["fold"] not in scorers:
            scorers[fold["fold"]] = results.run.fold_scorer(fold, _no_probabilities)
        scorer = scorers[fold["fold"]]
        vectors = _scaled_vectors(name, scorer, results, store)
        matches.append(_match(name, scorer.personalizer, vectors, max_matches))
    return matches


def _match(speaker: str, personalizer: Personalizer, enrolled: np.ndarray, max_matches: int) -> SpeakerMatch:
    """Match one speaker, given by its scaled vectors, float32 (clips, layers, width)."""
    training_speakers = personalizer.training_speakers
    nearest = most_similar(enrolled, training_speakers.means, max_matches)
    has_blend = any(METHODS[name].uses_speaker_table for name in personalizer.methods)
    shares = blend(enrolled, training_speakers.means)[1 + nearest] if has_blend else np.zeros(0)
    if len(shares):
        nearest, shares = nearest[shares >= _MIN_SHARE], shares[shares >= _MIN_SHARE]
    return SpeakerMatch(speaker, tuple(training_speakers.names[index] for index in nearest), tuple(shares.tolist()))


def _scaled_vectors(speaker: str, scorer: Scorer, results: RunResults, store: Store) -> np.ndarray:
    """Return the vectors of the speaker's test clips, scaled as for the head, float32 (clips, layers, width)."""
    clips = store.utterances
    of_speaker = clips["utterance_id"].isin(set(results.tested["utterance_id"])) & (clips["speaker"] == speaker)
    rows, layers = np.flatnonzero(of_speaker), [store.layers.index(name) for name in results.run.about["layers"]]
    return scorer.scaling.apply(store.read(rows, layers), clips["corpus"].to_numpy(object)[rows])


def _no_probabilities(inputs: Sequence[np.ndarray]) -> np.ndarray:
    """Stand in for the network, which is not needed to compare speakers."""
    return np.zeros((len(inputs[0]), 0), np.float32)
