"""Gains speaker by speaker: by hand, against a bootstrap that copies speakers, and where nothing can be said."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score

from ser_head.evaluation.significance import speaker_gains


def rows_of(answers):
    """Predictions from {speaker: "truth/said truth/said ..."}, letters for classes."""
    rows = [
        (f"{speaker}-{number}", speaker, *pair.split("/"))
        for speaker, pairs in answers.items()
        for number, pair in enumerate(pairs.split())
    ]
    return pd.DataFrame(rows, columns=["utterance_id", "speaker", "label", "prediction"], dtype=object)


def drawn(seed, skill, speakers=8, clips=12):
    random = np.random.default_rng(seed)
    label = np.array(["a", "b", "c"])[np.arange(speakers * clips) % 3]
    said = np.where(random.random(len(label)) < skill, label, "a")
    names = np.repeat([f"s{number}" for number in range(speakers)], clips)
    ids = [f"u{number}" for number in range(len(label))]
    return pd.DataFrame({"utterance_id": ids, "speaker": names, "label": label, "prediction": said}).astype(object)


def test_gains_worked_out_by_hand():
    # UAR of s: (1/2 + 1) / 2 -> (1 + 1) / 2; of t: (1 + 1) / 2 -> (1 + 0) / 2; of u, who has one class: 1 -> 1.
    without = rows_of({"s": "a/a a/b b/b", "t": "a/a b/b", "u": "a/a"})
    with_ = rows_of({"s": "a/a a/a b/b", "t": "a/a b/a", "u": "a/a"})
    found = speaker_gains(with_, without)
    assert found.speakers == {"t": -0.5, "u": 0.0, "s": 0.25}
    assert list(found.speakers) == ["t", "u", "s"]
    assert found.mean == pytest.approx(-0.25 / 3)
    assert found.deviation == pytest.approx(np.std([-0.5, 0, 0.25], ddof=1))
    assert (found.gained, found.lost, found.num_clips) == (1, 1, 6)
    assert found.to_dict()["speakers"] == found.speakers


def test_each_gain_is_a_difference_of_balanced_accuracies():
    with_, without = drawn(1, 0.9), drawn(2, 0.5)
    found = speaker_gains(with_.sample(frac=1, random_state=0), without)
    assert set(found.speakers) == set(with_["speaker"])
    for speaker, gain in found.speakers.items():
        pair = [table[table["speaker"] == speaker] for table in (with_, without)]
        scores = [balanced_accuracy_score(rows["label"], rows["prediction"]) for rows in pair]
        assert gain == pytest.approx(scores[0] - scores[1], abs=1e-11)
    back = speaker_gains(without, with_)
    assert (back.mean, back.gained, back.lost) == (pytest.approx(-found.mean), found.lost, found.gained)


def test_the_interval_is_that_of_the_mean_over_resampled_speakers():
    found = speaker_gains(drawn(1, 0.9), drawn(2, 0.5), resamples=40_000)
    gains, random = np.array(list(found.speakers.values())), np.random.default_rng(7)
    means = [random.choice(gains, len(gains)).mean() for _ in range(20_000)]
    # The distribution is discrete, so its quantiles are only known to lie between neighbours.
    assert np.quantile(means, 0.02) - 1e-9 <= found.low <= np.quantile(means, 0.03) + 1e-9
    assert np.quantile(means, 0.97) - 1e-9 <= found.high <= np.quantile(means, 0.98) + 1e-9
    assert 0 < found.low < found.mean < found.high


def test_a_condition_may_leave_clips_out_and_score_one_twice():
    without = rows_of({"s": "a/b a/b b/b", "t": "a/a b/b"})
    with_ = rows_of({"s": "a/a a/b b/b", "t": "a/a b/b"})
    some = pd.concat(
        [with_[with_["utterance_id"] != "s-0"], with_[with_["utterance_id"] == "s-1"].assign(prediction="a")]
    )
    found = speaker_gains(some, without)
    # s-1 is right in one of two tries, s-2 as before; without: 0 and 1.
    assert found.speakers == {"t": 0.0, "s": 0.25}
    assert found.num_clips == 4


def test_speakers_that_are_not_known_or_not_shared_do_not_count():
    without = rows_of({"s": "a/b b/b", "": "a/a b/b", "t": "a/a"})
    with_ = rows_of({"s": "a/a b/b", "": "a/b b/b", "v": "a/a"})
    found = speaker_gains(with_, without)
    assert found.speakers == {"s": 0.5}
    assert (found.mean, found.deviation, found.low, found.high) == (0.5, None, None, None)
    nobody = speaker_gains(with_[with_["speaker"] == "v"], without)
    assert (nobody.speakers, nobody.mean, nobody.num_clips) == ({}, None, 0)
