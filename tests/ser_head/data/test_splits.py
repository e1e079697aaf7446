"""Protocols: no clip lost or in two parts, no speaker on both sides, blocks as published, clear refusals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_embed.errors import InputError
from ser_head.data.splits import ClipMetadata, Protocol, are_disjoint, make_splits

SHARES = (0.6, 0.2, 0.2)


def clips_of(speakers, corpora=None, classes=2):
    speakers = np.array(speakers, dtype=object)
    corpora = np.full(len(speakers), "demo", dtype=object) if corpora is None else np.array(corpora, dtype=object)
    return ClipMetadata(speakers, corpora, np.arange(len(speakers)) % classes)


def split(text, clips, seed=0, shares=SHARES):
    return make_splits(Protocol.parse(text), clips, shares, seed)


def roster(splits, clips, part):
    return [sorted(set(clips.speakers[getattr(fold, part)])) for fold in splits]


@st.composite
def many_clips(draw):
    sizes = draw(st.lists(st.integers(3, 9), min_size=1, max_size=3))
    names = [(f"c{c}", f"c{c}/{s}") for c, size in enumerate(sizes) for s in range(size)]
    chosen = [name for name in names for _ in range(draw(st.integers(1, 4)))]
    order = draw(st.permutations(chosen))
    return clips_of([speaker for _, speaker in order], [corpus for corpus, _ in order])


@given(many_clips(), st.sampled_from(["speaker", "kfold:3", "loso"]), st.integers(0, 5))
def test_speakers_are_kept_apart_and_every_clip_is_in_one_part(clips, protocol, seed):
    folds = split(protocol, clips, seed)
    assert are_disjoint(folds, clips.speakers)
    for fold in folds:
        parts = [fold.train, fold.validation, fold.test]
        assert sorted(np.concatenate(parts)) == list(range(len(clips.speakers)))
        names = [set(clips.speakers[part]) for part in parts]
        assert all(names)
        assert sum(map(len, names)) == len(set.union(*names))
    if protocol != "speaker":
        assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(len(clips.speakers)))


@given(st.lists(st.integers(0, 3), min_size=20, max_size=60), st.integers(0, 5))
def test_random_split_keeps_the_share_of_every_class(targets, seed):
    targets = np.array(targets)
    clips = ClipMetadata(np.full(len(targets), "a", object), np.full(len(targets), "demo", object), targets)
    (fold,) = split("random", clips, seed)
    assert sorted(np.concatenate([fold.train, fold.validation, fold.test])) == list(range(len(targets)))
    for target in np.unique(targets):
        count = np.sum(targets == target)
        assert abs(np.sum(targets[fold.test] == target) - 0.2 * count) <= 1.5
    assert not are_disjoint([fold], clips.speakers)


def test_crema_d_folds_are_the_published_blocks():
    clips = clips_of(np.repeat([f"crema-d/{number}" for number in range(1001, 1092)], 2), ["crema-d"] * 182)
    folds = split("kfold", clips)
    ends = [(names[0][-4:], names[-1][-4:]) for names in roster(folds, clips, "test")]
    assert ends == [("1001", "1018"), ("1019", "1036"), ("1037", "1054"), ("1055", "1072"), ("1073", "1091")]
    assert roster(folds, clips, "validation") == [*roster(folds, clips, "test")[1:], roster(folds, clips, "test")[0]]


def test_ravdess_folds_are_four_actors_in_the_order_of_their_numbers():
    speakers = [f"ravdess/{number}" for number in range(1, 25)]  # "10" sorts before "2" as text
    clips = clips_of(np.repeat(speakers, 2), ["ravdess"] * 48)
    folds = split("kfold", clips)
    assert [set(names) for names in roster(folds, clips, "test")] == [set(speakers[i : i + 4]) for i in range(0, 24, 4)]


def test_a_name_may_hold_digits_that_int_does_not_read():
    clips = clips_of(["1²", "1①", "2", "10"])
    assert len(split("loso", clips)) == 4


def test_each_corpus_has_speakers_in_every_fold():
    clips = clips_of([f"{c}/{s}" for c in "ab" for s in range(6)], [c for c in "ab" for _ in range(6)])
    for fold in split("kfold:3", clips):
        assert set(clips.corpora[fold.test]) == {"a", "b"}


def test_cross_trains_on_one_corpus_and_tests_on_all_of_the_other():
    clips = clips_of([f"{c}/{s}" for c in "ab" for s in range(8)], [c for c in "ab" for _ in range(8)])
    (fold,) = split("cross:a:b", clips)
    assert set(clips.corpora[fold.test]) == {"b"}
    assert len(fold.test) == 8
    assert set(clips.corpora[np.concatenate([fold.train, fold.validation])]) == {"a"}
    assert (len(fold.train), len(fold.validation)) == (6, 2)


def test_the_seed_draws_the_speakers():
    clips = clips_of([str(number) for number in range(20)])
    drawn = [roster(split("speaker", clips, seed), clips, "test") for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_clip_of_an_unknown_speaker_is_never_called_disjoint():
    clips = clips_of(["a", "b", "c", "d", ""])
    assert not are_disjoint(split("loso", clips_of(["a", "b", "c"])), np.array(["a", "b", ""], dtype=object))
    with pytest.raises(InputError, match="1 clips name none; use --protocol random"):
        split("speaker", clips)


@pytest.mark.parametrize(
    ("protocol", "speakers", "message"),
    [
        ("kfold:5", "abcd", "kfold:5 needs a corpus of at least 5 speakers, the largest here has 4; --protocol random"),
        ("loso", "ab", "loso needs at least 3 speakers, found 2; --protocol random"),
        ("speaker", "aab", "enough speakers for parts of 0.6, 0.2, 0.2, found 2; --protocol random splits clips"),
        ("random", "ab", "enough clips for parts of 0.6, 0.2, 0.2, found 2$"),
        ("kfold", "abcd", "no usual number of folds is known for demo"),
    ],
)
def test_clips_that_cannot_be_split_are_refused(protocol, speakers, message):
    with pytest.raises(InputError, match=message):
        split(protocol, clips_of(list(speakers)))


@pytest.mark.parametrize("text", ["", "fold:3", "kfold:x", "cross:a", "cross:a:b:c", "Loso", "kfold:-1"])
def test_an_unknown_protocol_is_refused(text):
    with pytest.raises(InputError, match="protocol has to be speaker, random"):
        Protocol.parse(text)


@pytest.mark.parametrize(("text", "message"), [("kfold:2", "at least 3 folds"), ("cross:a:a", "two corpora")])
def test_impossible_protocols_are_refused(text, message):
    with pytest.raises(InputError, match=message):
        Protocol.parse(text)
