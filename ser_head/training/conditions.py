"""Test conditions: every test clip of a fold scored with more or less known of its speaker.

`ser_head.personalization.conditions` says what each condition means. A head that is not personalised is scored once:
its clips are closed or unknown by who was in training.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from ser_head.data.dataset import Dataset
from ser_head.evaluation.predictions import prediction_rows
from ser_head.personalization.conditions import CLOSED, ENROLLED, TRANSDUCTIVE, UNKNOWN
from ser_head.personalization.enrollment import (
    SIZES,
    Session,
    enrollment_sessions,
    known_speaker_sessions,
    transductive_sessions,
)
from ser_head.personalization.methods import METHODS
from ser_head.scoring.scorer import Scorer, ScoringRequest
from ser_head.training.fold import Fold

ENROLLMENT_DRAWS = 1  # purpose of the fold's generator: enrolments do not depend on the training
_SCORED_AT_ONCE = 1024  # clips of the sessions scored together, fewer where they are frames

Condition = tuple[str, list[Session]]  # its name, and the sessions in which clips are scored


def conditions_of(data: Dataset, fold: Fold, methods: Sequence[str]) -> Iterator[Condition]:
    """Yield the conditions under which a head may honestly be scored, with the sessions of each.

    Args:
        data: the clips of all folds.
        fold: the fold.
        methods: names of the head's personalisation methods.
    """
    speakers, test_clips = data.speakers, fold.split.test
    in_training = np.isin(speakers[test_clips], sorted(set(speakers[fold.split.train]) - {""}))
    if not methods:
        yield CLOSED, unknown_sessions(data, test_clips[in_training])
        yield UNKNOWN, unknown_sessions(data, test_clips[~in_training])
        return
    honest = {condition for name in methods for condition in METHODS[name].conditions}
    named_clips = test_clips[speakers[test_clips] != ""]
    if CLOSED in honest:
        train = data.without_copies(fold.split.train)
        yield CLOSED, known_speaker_sessions(speakers, test_clips[in_training], train)
    if UNKNOWN in honest:
        yield UNKNOWN, unknown_sessions(data, test_clips)
    for size in SIZES if ENROLLED in honest else ():
        random = fold.generator(ENROLLMENT_DRAWS)
        yield f"{ENROLLED}:{size}", enrollment_sessions(speakers, named_clips, size, random)
    if TRANSDUCTIVE in honest:
        yield TRANSDUCTIVE, transductive_sessions(speakers, named_clips)


def unknown_sessions(data: Dataset, clips: np.ndarray) -> list[Session]:
    """Return sessions in which nothing is known of who speaks, each of one corpus."""
    corpora = data.corpora[clips]
    return [
        Session("", clips[:0], window)
        for corpus in sorted(set(corpora))
        for window in data.windows(clips[corpora == corpus])
    ]


def score_condition(data: Dataset, fold: Fold, scorer: Scorer, condition: Condition) -> pd.DataFrame:
    """Score the clips of a condition; see `ser_head.evaluation.predictions` for the columns.

    Args:
        data: the clips of all folds.
        fold: the fold.
        scorer: its head.
        condition: name and sessions.
    """
    name, sessions = condition
    clips = np.concatenate([session.scored for session in sessions] or [fold.split.test[:0]])
    outputs = [np.zeros((0, data.desired.shape[1]), np.float32)]
    for group in _groups(sessions, min(_SCORED_AT_ONCE, data.clips_per_window)):
        outputs.append(scorer.score([_request(data, session, name) for session in group]))
    order = np.argsort(clips)
    return prediction_rows(
        data,
        clips[order],
        np.concatenate(outputs)[order],
        fold.split.fold,
        name,
        scorer.temperature,
    )


def _request(data: Dataset, session: Session, condition: str) -> ScoringRequest:
    """Read the clips of a session. A closed speaker is known from training, and needs no enrolment.

    What a pre-training learned of a speaker it learned from all its clips: only `transductive` may use that.
    """
    vectors, corpus = data.read(session.scored), data.corpora[session.scored[0]]
    if condition == CLOSED:
        return ScoringRequest(vectors, speaker=session.speaker, corpus=corpus)
    enrolled = data.read(session.enrolled) if len(session.enrolled) else None
    pretrained = session.speaker if condition == TRANSDUCTIVE else ""
    return ScoringRequest(vectors, enrolled, corpus=corpus, pretrained=pretrained)


def _groups(sessions: Sequence[Session], num_together: int) -> Iterator[list[Session]]:
    """Yield sessions in groups of about `num_together` clips."""
    group: list[Session] = []
    num_clips = 0
    for session in sessions:
        group.append(session)
        num_clips += len(session.scored) + len(session.enrolled)
        if num_clips >= num_together:
            yield group
            group, num_clips = [], 0
    if group:
        yield group
