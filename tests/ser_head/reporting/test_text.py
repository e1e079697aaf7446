"""Text: each protocol, condition and finding of the audit has a sentence, and its numbers are those of the figures."""

import re

import numpy as np
import pandas as pd
import pytest

from ser_head.data.leakage import audit
from ser_head.data.splits import Split
from ser_head.evaluation.calibration import calibration_error, coverage_curve, reliability_table
from ser_head.personalization.methods import METHODS
from ser_head.reporting.text import (
    certainty_in_words,
    condition_in_words,
    coverage_in_words,
    measured_in_words,
    methods_in_words,
    protocol_in_words,
    shared_in_words,
    unchecked_in_words,
    values_in_words,
)


@pytest.mark.parametrize("protocol", ["speaker", "random", "kfold:4", "loso", "cross:ravdess:emodb"])
def test_every_protocol_has_a_sentence(protocol):
    assert re.search(r"(divided|tested|trained) (into|at random|once|on)", protocol_in_words(protocol))
    assert protocol_in_words("palmistry") == ""
    assert "trained on one corpus, a, and tested on another, b." in protocol_in_words("cross:a:b")


def test_every_condition_has_a_description():
    names = ("closed", "unknown", "enrolled:1", "enrolled:20", "transductive", "plain")
    assert len({condition_in_words(name) for name in names}) == len(names)
    assert "1 unlabelled clip of" in condition_in_words("enrolled:1")
    assert "20 unlabelled clips of" in condition_in_words("enrolled:20")
    assert condition_in_words("dreamt") == ""


def test_every_method_has_a_description():
    text = methods_in_words(METHODS)
    assert all(f"({method})" in text for method in METHODS)
    assert text.count("listens to the voice") == 0
    assert text.count(" and describes") == 0
    assert text.rpartition(" and ")[2].endswith("(calibrate)")


@pytest.fixture
def clips():
    return pd.DataFrame({
        "utterance_id": list("abcdef"),
        "speaker": ["1", "1", "2", "2", "3", ""],
        "digest": ["x", "y", "x", "z", "u", "v"],
        "audio_digest": ["", "", "", "", "", ""],
        "sentence": ["", "hi", "ho", "hi", "ho", "ho"],
    })  # fmt: skip


def split(train, validation, test):
    return Split(1, *(np.array(rows, dtype=np.int64) for rows in (train, validation, test)))


def test_shared_clips_are_counted_with_an_example(clips):
    leakage = audit(clips, [split([0, 1], [4], [2, 3])]).to_dict()
    assert shared_in_words(leakage, 2) == [
        "1 of 2 test clips are the very file of a training clip, such as c and a.",
        "2 of 2 test clips say a sentence that was also said in training, as is usual with acted speech, "
        "such as c and e.",
        "2 recordings of the corpus sound exactly like another, such as a and c.",
    ]
    assert unchecked_in_words(leakage) == "Not known, and so not checked: speaker (1 clips), sound (6 clips), " + (
        "sentence (1 clips)."
    )


def test_without_shared_clips_there_is_no_sentence(clips):
    clips = clips.drop(columns="sentence").assign(speaker=list("abcdef"), digest=list("uvwxyz"))
    clips["audio_digest"], clips["sentence"] = clips["digest"], clips["digest"]
    leakage = audit(clips, [split([0, 1], [2], [3, 4, 5])]).to_dict()
    assert shared_in_words(leakage, 3) == []
    assert unchecked_in_words(leakage) == ""


def test_corpora_standardised_by_their_test_clips_are_named():
    training, test = {"clips": 9, "transductive": False}, {"clips": 9, "transductive": True}
    (sentence,) = measured_in_words([{"corpora": {"ravdess": training, "emodb": test}}, {}])
    assert sentence.startswith("The numbers of emodb were standardised by its own test clips")


def figures(confidence, correct):
    """Return calibration figures of a two-class head; `correct` says which of its predictions are."""
    confidence = np.array(confidence)
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    targets = np.where(correct, 0, 1)
    return {
        "ece": calibration_error(probabilities, targets),
        "reliability": reliability_table(probabilities, targets),
        "coverage": coverage_curve(probabilities, targets),
    }


@pytest.mark.parametrize(
    ("confidence", "correct", "direction"),
    [(0.95, [1, 1, 0, 0], "; mostly it is too sure of itself."), (0.55, [1, 1, 1, 1], "; mostly it is too modest.")],
)
def test_certainty_has_the_direction_of_its_bias(confidence, correct, direction):
    text = certainty_in_words(figures([confidence] * 4, correct), None)
    assert "differ by 45.0 percentage points on average (ECE 0.450)" + direction in text


def test_certainty_without_bias_and_with_a_temperature():
    test = figures([0.5, 0.5, 1, 1], [1, 0, 1, 1])
    before = {"before": {"ece": 0.25}}
    assert certainty_in_words(test, None).endswith("0.0 percentage points on average (ECE 0.000).")
    assert certainty_in_words(test, before).endswith("validation clips it would be 25.0.")


def test_coverage_compares_the_most_certain_half_with_all_clips():
    assert coverage_in_words(figures([0.6, 0.9, 0.8, 0.7], [0, 1, 1, 0])) == (
        "Answering only the half of the clips it is surest of (at least 80 % sure), it is right in 100 of 100; "
        "on all clips in 50 of 100."
    )


def test_settings_are_written_as_text():
    values = {"seed": 0, "personalized": True, "split": (0.6, 0.4), "corpus": (), "trim_db": None, "revision": ""}
    assert [text for _, text in values_in_words(values)] == ["0", "yes", "0.6, 0.4", "–", "–", "–"]
