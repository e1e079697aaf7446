"""Enrolment sessions: each clip is scored once, with clips of its speaker, and without itself unless transductive."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ser_head.personalization.enrollment import (
    ALL,
    TRAINING_SIZES,
    enrollment_sessions,
    known_speaker_sessions,
    training_sessions,
    transductive_sessions,
)

quick = settings(max_examples=50, deadline=None)
names = st.sampled_from(["", "a", "b", "c"])
columns = st.lists(names, min_size=1, max_size=60).map(lambda column: np.array(column, dtype=object))


@st.composite
def datasets(draw):
    """Draw a column of speakers, and positions of clips to score in any order."""
    speakers = draw(columns)
    chosen = draw(st.lists(st.integers(0, len(speakers) - 1), unique=True))
    return speakers, np.array(chosen, dtype=np.int64)


def check(sessions, speakers, indices):
    """Assert what holds for sessions of every kind."""
    scored = [position for session in sessions for position in session.scored]
    assert sorted(scored) == sorted(indices.tolist())
    for session in sessions:
        both = np.concatenate([session.enrolled, session.scored])
        assert set(speakers[both]) == {session.speaker}
        assert session.enrolled.dtype == session.scored.dtype == np.int64
        assert np.all(np.diff(session.enrolled) > 0)
        assert np.all(np.diff(session.scored) > 0)
        if session.speaker == "":
            assert len(session.enrolled) == 0
            assert len(session.scored) == 1


def among(speakers, indices, speaker):
    """Return those of the positions `indices` that are clips of the speaker."""
    return indices[speakers[indices] == speaker]


@quick
@given(datasets(), st.sampled_from([0, 1, 5, 20, ALL]), st.integers(2, 12), st.integers(0, 9))
def test_enrolments_have_the_requested_size_and_leave_out_the_scored_clips(dataset, size, groups, seed):
    speakers, indices = dataset
    sessions = enrollment_sessions(speakers, indices, size, np.random.default_rng(seed), groups)
    check(sessions, speakers, indices)
    for session in sessions:
        assert not set(session.enrolled) & set(session.scored)
        assert set(session.enrolled) <= set(indices)
        if session.speaker:
            num_others = len(among(speakers, indices, session.speaker)) - len(session.scored)
            assert len(session.enrolled) == min(size, num_others)
    for name in set(speakers[indices]) - {""}:
        group_sizes = [len(session.scored) for session in sessions if session.speaker == name]
        assert len(group_sizes) == min(groups, len(among(speakers, indices, name)))
        assert max(group_sizes) - min(group_sizes) <= 1


@quick
@given(datasets(), st.integers(0, 9))
def test_training_enrolments_leave_out_the_scored_clips_too(dataset, seed):
    speakers, indices = dataset
    sessions = training_sessions(speakers, indices, np.random.default_rng(seed))
    check(sessions, speakers, indices)
    for session in sessions:
        assert not set(session.enrolled) & set(session.scored)
        assert set(session.enrolled) <= set(indices)
        if session.speaker:
            num_others = len(among(speakers, indices, session.speaker)) - len(session.scored)
            assert len(session.enrolled) in {min(size, num_others) for size in TRAINING_SIZES}


def test_training_meets_every_size():
    speakers = np.repeat(np.array([f"s{number}" for number in range(100)], dtype=object), 60)
    sessions = training_sessions(speakers, np.arange(6000), np.random.default_rng(0))
    sizes, times = np.unique([len(session.enrolled) for session in sessions], return_counts=True)
    assert sizes.tolist() == [0, 1, 2, 5, 10, 20, 45]
    assert times.min() > 30  # 57 each, on average


@quick
@given(datasets())
def test_transductive_enrolments_are_all_clips_of_the_speaker(dataset):
    speakers, indices = dataset
    sessions = transductive_sessions(speakers, indices)
    check(sessions, speakers, indices)
    for session in sessions:
        if session.speaker:
            assert np.array_equal(session.enrolled, np.sort(among(speakers, indices, session.speaker)))
            assert np.array_equal(session.enrolled, session.scored)


@quick
@given(datasets(), st.integers(0, 60))
def test_known_speakers_are_enrolled_with_their_training_clips(dataset, cut):
    speakers, chosen = dataset
    indices, train = chosen[:cut], chosen[cut:]
    sessions = known_speaker_sessions(speakers, indices, train)
    check(sessions, speakers, indices)
    for session in sessions:
        assert not set(session.enrolled) & set(session.scored)
        if session.speaker:
            assert np.array_equal(session.enrolled, np.sort(among(speakers, train, session.speaker)))


def test_a_speaker_with_one_clip_has_no_enrolment():
    speakers = np.array(["a", "b", "b"], dtype=object)
    sessions = enrollment_sessions(speakers, np.arange(3), 20, np.random.default_rng(0))
    first, *rest = [(session.speaker, session.enrolled.tolist(), session.scored.tolist()) for session in sessions]
    assert first == ("a", [], [0])
    assert sorted(rest) == [("b", [1], [2]), ("b", [2], [1])]


def test_every_clip_is_equally_likely_to_be_enrolled():
    speakers = np.full(20, "a", dtype=object)
    random = np.random.default_rng(0)
    times = np.zeros(20)
    for _ in range(200):
        for session in enrollment_sessions(speakers, np.arange(20), 3, random):
            times[session.enrolled] += 1
    assert times == pytest.approx(300, abs=80)  # the standard deviation is about 16


def test_a_seed_repeats_the_draw_whatever_the_order_of_the_indices():
    speakers = np.array(["a"] * 15 + ["b"] * 15, dtype=object)
    first = enrollment_sessions(speakers, np.arange(30), 5, np.random.default_rng(3))
    again = enrollment_sessions(speakers, np.arange(30)[::-1], 5, np.random.default_rng(3))
    for session, repeated in zip(first, again, strict=True):
        assert session.speaker == repeated.speaker
        assert np.array_equal(session.enrolled, repeated.enrolled)
        assert np.array_equal(session.scored, repeated.scored)
