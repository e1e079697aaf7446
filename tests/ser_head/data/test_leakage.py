"""Leakage audit: it finds whatever is planted in both training and test, and nothing where nothing is shared."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_embed.audio.decode import AudioPreprocessing, load_clip
from ser_embed.corpora.scan import scan_data
from ser_embed.errors import InputError
from ser_embed.files import digest_of
from ser_embed.manifest import build_manifest
from ser_head.data.leakage import audit, require_disjoint
from ser_head.data.splits import ClipMetadata, Protocol, Split, make_splits

KINDS = {"speaker": "speaker", "bytes": "digest", "audio": "audio_digest", "sentence": "sentence"}


def clips_of(num_clips, **columns):
    """Clips that share nothing; `columns` gives the values of some, by number."""
    rows = [
        {
            "utterance_id": f"c/{number:03}",
            "path": f"{number}.wav",
            "corpus": "c",
            "emotion": "sad",
            **{name: f"{name} {number}" for name in KINDS.values()},
            "augmented_from": "",
            **{name: values[number] for name, values in columns.items() if number in values},
        }
        for number in range(num_clips)
    ]
    return build_manifest(rows)


def fold(train, validation, test, number=1):
    return Split(number, *(np.array(part, dtype=np.int64) for part in (train, validation, test)))


def folds_of(clips, protocol):
    table = ClipMetadata(clips["speaker"].to_numpy(), clips["corpus"].to_numpy(), np.zeros(len(clips), np.int64))
    return make_splits(Protocol.parse(protocol), table, (0.6, 0.2, 0.2), seed=0)


def test_where_nothing_is_shared_nothing_is_found():
    result = audit(clips_of(9), [fold([0, 1, 2], [3, 4], [5, 6, 7, 8])])
    nothing = {"clips": 0, "unknown": 0, "example": None}
    assert result.to_dict() == {
        **dict.fromkeys(["speaker", "bytes", "audio", "augmented", "sentence"], nothing),
        "duplicates": {"clips": 0, "example": None},
    }
    require_disjoint(result, "kfold:3")


@given(st.sampled_from(list(KINDS)), st.integers(4, 30), st.data())
def test_whatever_is_planted_on_both_sides_is_always_found(kind, num_clips, data):
    order = data.draw(st.permutations(range(num_clips)))
    ends = sorted(data.draw(st.lists(st.integers(1, num_clips - 1), min_size=2, max_size=2)))
    parts = [order[: ends[0]], order[ends[0] : ends[1]], order[ends[1] :]]
    seen, tested = parts[0] + parts[1], parts[2]
    planted_in = data.draw(st.lists(st.sampled_from(tested), min_size=1, unique=True))
    planted = {number: "planted" for number in [*planted_in, data.draw(st.sampled_from(seen))]}
    result = audit(clips_of(num_clips, **{KINDS[kind]: planted}), [fold(*map(sorted, parts))])
    assert result.findings[kind].clips == len(planted_in)
    tested_clip, seen_clip = (int(name.removeprefix("c/")) for name in result.findings[kind].example)
    assert tested_clip in planted_in
    assert seen_clip in planted
    assert seen_clip in seen
    assert sum(finding.clips for finding in result.findings.values()) == len(planted_in)
    if kind == "speaker":
        with pytest.raises(InputError, match=f"{len(planted_in)} of {len(tested)} test clips are of speakers trained"):
            require_disjoint(result, "kfold:3")
        require_disjoint(result, "random")


@pytest.mark.parametrize(
    "sources",
    [
        {1: "c/000"},  # the copy is tested, its source trained on
        {0: "c/001"},
        {0: "elsewhere", 1: "elsewhere"},  # two copies of a recording that is not in the dataset
        {1: "c/005", 5: "c/000"},  # a copy of a copy
        {0: "c/001", 1: "c/000"},  # copies in a circle
    ],
)
def test_a_copy_apart_from_its_source_or_from_other_copies_is_found(sources):
    result = audit(clips_of(6, augmented_from=sources), [fold([0, 2], [3], [1, 4])])
    assert result.findings["augmented"].clips == 1
    assert result.findings["augmented"].example == ("c/001", "c/000")
    assert result.findings["augmented"].tested == 2


def test_a_copy_beside_its_source_is_no_leak():
    clips = clips_of(6, augmented_from={1: "c/000"})
    assert audit(clips, [fold([0, 1], [2], [3, 4, 5])]).findings["augmented"].clips == 0


def test_folds_add_up_and_validation_clips_count_as_seen():
    clips = clips_of(6, speaker={0: "a", 3: "a", 5: "a"})
    result = audit(clips, [fold([1], [0], [3, 4]), fold([2], [4], [0, 3, 5]), fold([0], [1], [5], 3)])
    assert result.findings["speaker"].clips == 2
    assert result.findings["speaker"].tested == 6


def test_unknown_values_are_counted_and_never_shared():
    clips = clips_of(6, speaker={0: "", 5: ""}).drop(columns=["sentence", "augmented_from"])
    result = audit(clips, [fold([0, 1], [2], [3, 4, 5])])
    assert result.findings["speaker"].clips == result.findings["sentence"].clips == 0
    assert (result.findings["speaker"].unknown, result.findings["sentence"].unknown) == (2, 6)


def test_equal_audio_is_found_in_any_part():
    clips = clips_of(6, audio_digest={0: "x", 1: "x", 2: "y", 4: "y", 5: "", 3: ""}, digest={3: "z", 5: "z"})
    result = audit(clips, [fold([0, 1, 2, 3], [], [4, 5])])
    assert result.duplicates == (("c/000", "c/001"), ("c/002", "c/004"), ("c/003", "c/005"))
    assert result.to_dict()["duplicates"] == {"clips": 6, "example": ["c/000", "c/001"]}


def test_copies_that_came_out_the_same_are_no_recordings_that_sound_alike():
    clips = clips_of(6, audio_digest={1: "x", 2: "x"}, augmented_from={1: "c/000", 2: "c/000"})
    assert audit(clips, [fold([0, 1, 2], [3], [4, 5])]).duplicates == ()


@pytest.mark.corpus
def test_the_pair_of_equal_files_of_ravdess_is_found(data_dir):
    clips = scan_data(data_dir, ["ravdess"]).manifest
    clips["digest"] = [digest_of((data_dir / path).read_bytes()) for path in clips["path"]]
    pair = ("ravdess/03-01-03-01-02-01-07", "ravdess/03-01-03-01-02-02-07")
    for name in pair:  # decoding all 1440 would take a minute
        (row,) = clips.index[clips["utterance_id"] == name]
        facts = load_clip(data_dir / clips.loc[row, "path"], AudioPreprocessing())[1]
        clips.loc[row, "audio_digest"] = facts.audio_digest
    parted, mixed = audit(clips, folds_of(clips, "kfold:6")), audit(clips, folds_of(clips, "random"))
    for result in (parted, mixed):
        assert result.duplicates == (pair,)
    require_disjoint(parted, "kfold:6")
    assert [parted.findings[kind].clips for kind in ("speaker", "bytes", "audio")] == [0, 0, 0]
    assert mixed.findings["speaker"].clips == mixed.findings["speaker"].tested
    together = [row for row in clips.index if row not in set(clips.index[clips["utterance_id"] == pair[0]])]
    apart = sorted(set(clips.index) - set(together))
    assert audit(clips, [fold(together, [], apart)]).findings["audio"].example == pair
