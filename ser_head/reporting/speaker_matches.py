"""Which training speakers a new speaker resembles: those a personalised head borrows from.

Everything is as the head of the fold hears it: with its scaling, and its training speakers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ser_embed.store.reader import Store
from ser_head.personalization.methods import Personalizer
from ser_head.personalization.similarity import blend, most_similar
from ser_head.runs.results import Results
from ser_head.scoring.scorer import ARRAYS, Scorer, load_scorer

BORROWING = ("embedding", "calibrate")  # methods that make use of training speakers like the new one
_LEAST = 0.01  # a share of a blend below this is not worth naming


@dataclass(frozen=True)
class SpeakerMatch:
    """A test speaker and the training speakers most like it.

    Attributes:
        speaker: the test speaker.
        lenders: training speakers, most alike first.
        shares: what share of the blend that stands for the speaker each lends, with all clips of the speaker known;
            none for a head that has no such blend.
    """

    speaker: str
    lenders: tuple[str, ...]
    shares: tuple[float, ...]


def speaker_matches(results: Results, store: Store, most: int = 12, lenders: int = 3) -> list[SpeakerMatch]:
    """Return whom the test speakers of a run resemble, by name; none for a run that borrows from nobody.

    Args:
        results: the run.
        store: where its vectors are.
        most: test speakers at most, the first by name. A speaker known from training borrows from nobody.
        lenders: training speakers for each.

    Raises:
        InputError: the run is damaged.
    """
    if not set(BORROWING) & set(results.run.config.personalized):
        return []
    folds = [(name, fold) for fold in results.run.about["folds"] for name in fold["speakers"]["test"]]
    new = [(name, fold) for name, fold in folds if name and name not in fold["known"]]
    scorers: dict[int, Scorer] = {}
    found = []
    for name, fold in sorted(new, key=lambda each: each[0])[:most]:
        if fold["fold"] not in scorers:
            scorers[fold["fold"]] = _read_scorer(results, fold)
        scorer = scorers[fold["fold"]]
        found.append(_resemblance(name, scorer.personalizer, _heard(name, scorer, results, store), lenders))
    return found


def _resemblance(speaker: str, personalizer: Personalizer, enrolled: np.ndarray, lenders: int) -> SpeakerMatch:
    training_speakers = personalizer.training_speakers
    nearest = most_similar(enrolled, training_speakers.means, lenders)
    shares = (
        blend(enrolled, training_speakers.means)[1 + nearest] if "embedding" in personalizer.methods else np.zeros(0)
    )
    if len(shares):
        nearest, shares = nearest[shares >= _LEAST], shares[shares >= _LEAST]
    return SpeakerMatch(speaker, tuple(training_speakers.names[place] for place in nearest), tuple(shares.tolist()))


def _heard(speaker: str, scorer: Scorer, results: Results, store: Store) -> np.ndarray:
    """Return the speaker's test clips as the head hears them, float32 (clips, layers, width)."""
    clips = store.utterances
    tested = clips["utterance_id"].isin(set(results.tested["utterance_id"])) & (clips["speaker"] == speaker)
    rows, layers = np.flatnonzero(tested), [store.layers.index(name) for name in results.run.about["layers"]]
    return scorer.scaling.apply(store.read(rows, layers), clips["corpus"].to_numpy(object)[rows])


def _read_scorer(results: Results, fold: dict[str, Any]) -> Scorer:
    path = (results.run.folder / fold["head"]).with_name(ARRAYS)
    return load_scorer(path, fold, results.run.config.personalized, _say_nothing)


def _say_nothing(inputs: Sequence[np.ndarray]) -> np.ndarray:
    """Stand in for the network, which likeness does not need."""
    return np.zeros((len(inputs[0]), 0), np.float32)
