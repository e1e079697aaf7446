"""Sessions: every clip is scored once, with clips of its own speaker, never with itself but where that is the point."""

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
    """A speaker column, and which of its clips to score, in any order."""
    speakers = draw(columns)
    chosen = draw(st.lists(st.integers(0, len(speakers) - 1), unique=True))
    return speakers, np.array(chosen, dtype=np.int64)


def check(sessions, speakers, indices):
    """What holds for sessions of any kind."""
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
    return indices[speakers[indices] == speaker]


@quick
@given(datasets(), st.sampled_from([0, 1, 5, 20, ALL]), st.integers(2, 12), st.integers(0, 9))
def test_enrolments_are_as_large_as_promised_and_without_the_scored_clips(dataset, size, groups, seed):
    speakers, indices = dataset
    sessions = enrollment_sessions(speakers, indices, size, np.random.default_rng(seed), groups)
    check(sessions, speakers, indices)
    for session in sessions:
        assert not set(session.enrolled) & set(session.scored)
        assert set(session.enrolled) <= set(indices)
        if session.speaker:
            others = len(among(speakers, indices, session.speaker)) - len(session.scored)
            assert len(session.enrolled) == min(size, others)
    for name in set(speakers[indices]) - {""}:
        own = [session for session in sessions if session.speaker == name]
        assert len(own) == min(groups, len(among(speakers, indices, name)))
        assert max(len(each.scored) for each in own) - min(len(each.scored) for each in own) <= 1


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
            others = len(among(speakers, indices, session.speaker)) - len(session.scored)
            assert len(session.enrolled) in {min(size, others) for size in TRAINING_SIZES}


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
def test_known_enrolments_are_the_speakers_training_clips(dataset, cut):
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
    assert [(each.speaker, each.enrolled.tolist(), each.scored.tolist()) for each in sessions] == [
        ("a", [], [0]),
        ("b", *sorted([[1], [2]], key=lambda own: own != sessions[1].enrolled.tolist())),
        ("b", *sorted([[1], [2]], key=lambda own: own != sessions[2].enrolled.tolist())),
    ]


def test_every_clip_is_as_likely_to_be_enrolled():
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
    for one, other in zip(first, again, strict=True):
        assert one.speaker == other.speaker
        assert np.array_equal(one.enrolled, other.enrolled)
        assert np.array_equal(one.scored, other.scored)
