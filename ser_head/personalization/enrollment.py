"""Sessions: which clips of a speaker are enrolled while which are scored.

A clip that is scored is never in its own enrolment, except in the condition that says so (`transductive_sessions`). All
positions are in the whole dataset. A clip that names no speaker ("") may be anybody's: it is a session of its own, with
nobody enrolled.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

GROUPS = 10  # an enrolment is drawn for each tenth of a speaker's clips, so that no single draw decides a figure
TRAINING_GROUPS = 4  # fewer, as every epoch draws anew
ALL = sys.maxsize
SIZES = (1, 5, 20)  # clips enrolled where figures are made of it
# Enrolments a network meets in training; none at all is what keeps it useful for strangers.
TRAINING_SIZES = (0, 1, 2, 5, 10, 20, ALL)


@dataclass(frozen=True)
class Session:
    """Some clips of one speaker, and those that tell who speaks.

    Attributes:
        speaker: whose clips; "" for a clip that names no speaker.
        enrolled: positions of the enrolled clips, int64, ascending; none for a speaker of whom nothing is known.
        scored: positions of the clips to be recognised with them, int64, ascending.
    """

    speaker: str
    enrolled: np.ndarray
    scored: np.ndarray


def enrollment_sessions(
    speakers: np.ndarray, indices: np.ndarray, size: int, random: np.random.Generator, groups: int = GROUPS
) -> list[Session]:
    """Enrol each speaker with clips drawn anew for each group of its clips, from outside that group.

    Args:
        speakers: speaker of each clip of the dataset, (clips,).
        indices: positions of the clips to score, from which enrolments are drawn too.
        size: clips to enrol; a speaker with fewer outside the group is enrolled with those it has.
        random: draws the groups and the enrolments.
        groups: parts of a speaker's clips, each scored with an enrolment of its own; at least 2.

    Returns:
        Sessions that score every clip of `indices` exactly once.
    """
    return [
        Session(name, _draw(own, scored, size, random), scored)
        for name, own in _clips_by_speaker(speakers, indices)
        for scored in _groups(own, groups, random)
    ]


def training_sessions(
    speakers: np.ndarray, indices: np.ndarray, random: np.random.Generator, groups: int = TRAINING_GROUPS
) -> list[Session]:
    """Enrol as `enrollment_sessions` does, each group with a size of its own, drawn from `TRAINING_SIZES`.

    A network so trained sees statistics as noisy as those it will be tested with.
    """
    return [
        Session(name, _draw(own, scored, TRAINING_SIZES[random.integers(len(TRAINING_SIZES))], random), scored)
        for name, own in _clips_by_speaker(speakers, indices)
        for scored in _groups(own, groups, random)
    ]


def transductive_sessions(speakers: np.ndarray, indices: np.ndarray) -> list[Session]:
    """Enrol each speaker with all its clips among `indices`, scored ones included, as most of the literature does."""
    return [Session(name, own if name else own[:0], own) for name, own in _clips_by_speaker(speakers, indices)]


def known_speaker_sessions(speakers: np.ndarray, indices: np.ndarray, train: np.ndarray) -> list[Session]:
    """Enrol each speaker with its training clips: none, where it was not in training.

    Args:
        speakers: speaker of each clip of the dataset, (clips,).
        indices: positions of the clips to score.
        train: positions of the training clips, none of which is scored.
    """
    trained = {name: own for name, own in _clips_by_speaker(speakers, train) if name}
    return [Session(name, trained.get(name, own[:0]), own) for name, own in _clips_by_speaker(speakers, indices)]


def _clips_by_speaker(speakers: np.ndarray, indices: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each speaker with its clips among `indices`, ascending; each clip without a speaker alone."""
    ascending = np.sort(indices).astype(np.int64)
    names = speakers[ascending]
    for name in sorted(set(names.tolist())):
        own = ascending[names == name]
        yield from [(name, own)] if name else [("", own[place : place + 1]) for place in range(len(own))]


def _groups(own: np.ndarray, groups: int, random: np.random.Generator) -> list[np.ndarray]:
    parts = np.array_split(random.permutation(own), min(groups, len(own)))
    return [np.sort(part) for part in parts]


def _draw(own: np.ndarray, scored: np.ndarray, size: int, random: np.random.Generator) -> np.ndarray:
    others = np.setdiff1d(own, scored)
    return np.sort(random.permutation(others)[:size])
