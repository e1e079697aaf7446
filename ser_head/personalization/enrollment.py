"""Enrolment sessions: which clips of a speaker are enrolled while which are scored.

A scored clip is never in its own enrolment, except in the condition that says so (`transductive_sessions`). All
positions are in the whole dataset. A clip that names no speaker ("") may be anybody's: it is a session of its own,
with nothing enrolled.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

GROUPS = 10  # an enrolment is drawn for each tenth of a speaker's clips, so that no single draw decides a figure
TRAINING_GROUPS = 4  # fewer, as every epoch draws anew
ALL = sys.maxsize
SIZES = (1, 5, 20)  # enrolled clips for which figures are reported
# Enrolment sizes that a network meets in training; size 0 keeps it useful for unknown speakers.
TRAINING_SIZES = (0, 1, 2, 5, 10, 20, ALL)


@dataclass(frozen=True)
class Session:
    """Clips of one speaker to score, and the enrolled clips to score them with.

    Attributes:
        speaker: name of the speaker; "" for a clip that names no speaker.
        enrolled: positions of the enrolled clips, int64, ascending; none for an unknown speaker.
        scored: positions of the clips to score, int64, ascending.
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
        size: number of clips to enrol; a speaker with fewer outside the group is enrolled with all of those.
        random: draws the groups and the enrolments.
        groups: number of parts of a speaker's clips, each scored with an enrolment of its own; at least 2.

    Returns:
        Sessions that score every clip of `indices` exactly once.
    """
    return [
        Session(name, _draw(clips, scored, size, random), scored)
        for name, clips in _clips_by_speaker(speakers, indices)
        for scored in _groups(clips, groups, random)
    ]


def training_sessions(
    speakers: np.ndarray, indices: np.ndarray, random: np.random.Generator, groups: int = TRAINING_GROUPS
) -> list[Session]:
    """Enrol as `enrollment_sessions` does, each group with a size of its own, drawn from `TRAINING_SIZES`.

    A network trained in this way sees speaker statistics as noisy as those it will be tested with.

    Args:
        speakers: speaker of each clip of the dataset, (clips,).
        indices: positions of the training clips.
        random: draws the groups, the sizes and the enrolments.
        groups: number of parts of a speaker's clips; at least 2.

    Returns:
        Sessions that contain every clip of `indices` exactly once as a scored clip.
    """
    return [
        Session(name, _draw(clips, scored, TRAINING_SIZES[random.integers(len(TRAINING_SIZES))], random), scored)
        for name, clips in _clips_by_speaker(speakers, indices)
        for scored in _groups(clips, groups, random)
    ]


def transductive_sessions(speakers: np.ndarray, indices: np.ndarray) -> list[Session]:
    """Enrol each speaker with all its clips among `indices`, scored ones included, as most of the literature does."""
    return [Session(name, clips if name else clips[:0], clips) for name, clips in _clips_by_speaker(speakers, indices)]


def known_speaker_sessions(speakers: np.ndarray, indices: np.ndarray, train: np.ndarray) -> list[Session]:
    """Enrol each speaker with its training clips; a speaker who was not in training has none.

    Args:
        speakers: speaker of each clip of the dataset, (clips,).
        indices: positions of the clips to score.
        train: positions of the training clips, none of which is scored.

    Returns:
        One session per speaker, and one per clip that names no speaker.
    """
    train_clips = {name: clips for name, clips in _clips_by_speaker(speakers, train) if name}
    return [
        Session(name, train_clips.get(name, clips[:0]), clips) for name, clips in _clips_by_speaker(speakers, indices)
    ]


def _clips_by_speaker(speakers: np.ndarray, indices: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each speaker with its clips among `indices`, ascending; each clip without a speaker alone."""
    ascending = np.sort(indices).astype(np.int64)
    names = speakers[ascending]
    for name in sorted(set(names.tolist())):
        clips = ascending[names == name]
        yield from [(name, clips)] if name else [("", clips[index : index + 1]) for index in range(len(clips))]


def _groups(clips: np.ndarray, groups: int, random: np.random.Generator) -> list[np.ndarray]:
    """Split a speaker's clips at random into groups of nearly equal size, each ascending."""
    parts = np.array_split(random.permutation(clips), min(groups, len(clips)))
    return [np.sort(part) for part in parts]


def _draw(clips: np.ndarray, scored: np.ndarray, size: int, random: np.random.Generator) -> np.ndarray:
    """Draw `size` of a speaker's clips at random, without the scored ones; ascending."""
    candidates = np.setdiff1d(clips, scored)
    return np.sort(random.permutation(candidates)[:size])
