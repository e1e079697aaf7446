"""Leakage through the encoder: whatever it has learned from is found among the test clips, and nothing else."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ser_embed.errors import InputError
from ser_embed.manifest import TRAINING_CLIP_COLUMNS
from ser_head.data.encoder_leakage import audit_encoder, require_untrained
from ser_head.data.leakage import audit
from tests.ser_head.data.test_leakage import clips_of, fold

FOLD = fold([0, 1, 2], [3, 4], [5, 6, 7])


def trained_on(*rows):
    """Training clips that share nothing with those of `clips_of` but what is given."""
    unlike = {name: f"unlike {name}" for name in TRAINING_CLIP_COLUMNS}
    return pd.DataFrame([{**unlike, "part": "train", **row} for row in rows], dtype=object)


def find(training_clips, clips=None, splits=(FOLD,)):
    return audit(clips_of(8) if clips is None else clips, splits, training_clips).encoder


@settings(max_examples=50)
@given(st.permutations(range(8)), st.data())
def test_exactly_what_is_planted_is_found(order, data):
    learned = data.draw(st.lists(st.integers(0, 7), min_size=1, unique=True))
    clips = clips_of(8)
    columns = [data.draw(st.sampled_from(["utterance_id", "digest", "audio_digest", "speaker"])) for _ in learned]
    rows = [{column: clips[column][number]} for column, number in zip(columns, learned, strict=True)]
    split = fold(*map(sorted, (order[:3], order[3:5], order[5:])))
    finding = find(trained_on(*rows), clips, [split])
    copies = [number for column, number in zip(columns, learned, strict=True) if column != "speaker"]
    assert finding.clips == len(set(learned) & set(split.test))
    assert finding.copies == len(set(copies) & set(split.test))
    assert finding.validation == len(set(learned) & set(split.validation))
    assert finding.speakers == tuple(sorted(f"speaker {number}" for number in set(learned) & set(split.test)))
    assert finding.is_disjoint == (finding.clips == 0)
    if finding.clips:
        shown = set(copies if finding.copies else learned) & set(split.test)
        assert int(finding.example[0].removeprefix("c/")) in shown
    else:
        assert finding.example is None


def test_an_augmented_copy_is_its_recording():
    clips = clips_of(8, augmented_from={6: "c/900"})
    finding = find(trained_on({"utterance_id": "c/900"}), clips)
    assert (finding.copies, finding.example) == (1, ("c/006", "c/900"))


def test_clips_and_folds_add_up():
    clips = clips_of(8, speaker={5: "a", 6: "a", 3: "a"})
    finding = find(trained_on({"speaker": "a"}), clips, [FOLD, fold([0], [1], [3, 7], 2)])
    assert (finding.clips, finding.copies, finding.tested, finding.validation) == (3, 0, 5, 1)
    assert finding.speakers == ("a",)


def test_unknown_values_are_never_the_same_and_a_nameless_speaker_could_be_anybody():
    clips = clips_of(8, speaker={5: ""}, digest={6: ""}, audio_digest={6: ""})
    named = find(trained_on({}), clips)
    assert (named.clips, named.unknown, named.is_disjoint) == (0, 1, False)
    nameless = find(trained_on({"speaker": "", "digest": "", "audio_digest": ""}), clips)
    assert (nameless.clips, nameless.unknown, nameless.is_disjoint) == (0, 8, False)


def test_an_encoder_that_learned_from_no_label_is_not_spoken_of():
    clips, none = clips_of(8), pd.DataFrame(columns=list(TRAINING_CLIP_COLUMNS), dtype=object)
    assert find(none) is None
    assert audit(clips, [FOLD], none).to_dict() == audit(clips, [FOLD]).to_dict()
    assert audit_encoder(clips, np.array(clips["utterance_id"]), [FOLD], none) is None
    require_untrained(None, "loso", Path("s.h5"))


def test_test_speakers_are_refused_unless_the_protocol_shares_them():
    clips = clips_of(8, speaker={5: "a", 6: "a", 7: "b"})
    of_speakers = find(trained_on({"speaker": "a"}), clips)
    message = (
        "2 of the 3 test clips of loso are of 1 speaker that the encoder of s.h5 was fine-tuned on with their labels, "
        "0 of them are its very clips, such as c/005 and unlike utterance_id; test on speakers that it never heard"
    )
    with pytest.raises(InputError, match=message):
        require_untrained(of_speakers, "loso", Path("s.h5"))
    require_untrained(of_speakers, "random", Path("s.h5"))
    with pytest.raises(InputError, match="1 of the 3 test clips of random .* 1 of them are its very clips"):
        require_untrained(find(trained_on({"digest": "digest 7"}), clips), "random", Path("s.h5"))
    require_untrained(find(trained_on({"digest": "digest 0"}, {"digest": "digest 3"})), "loso", Path("s.h5"))
