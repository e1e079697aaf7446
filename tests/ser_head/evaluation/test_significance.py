"""Bootstrap over speakers, intervals, and gains by speaker: by hand, and against a bootstrap that copies speakers."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score

from ser_head.evaluation.significance import (
    draw_counts,
    percentile_interval,
    speaker_gains,
    speaker_intervals,
    speaker_units,
)

LABELS = ("angry", "happy", "sad")


def rows_of(answers):
    """Predictions from {speaker: "truth/prediction truth/prediction ..."}, letters for classes."""
    rows = [
        (f"{speaker}-{number}", speaker, *pair.split("/"))
        for speaker, pairs in answers.items()
        for number, pair in enumerate(pairs.split())
    ]
    return pd.DataFrame(rows, columns=["utterance_id", "speaker", "label", "prediction"], dtype=object)


def predictions_with_skill(seed, skill, num_speakers=8, clips_each=12):
    random = np.random.default_rng(seed)
    label = np.array(["a", "b", "c"])[np.arange(num_speakers * clips_each) % 3]
    prediction = np.where(random.random(len(label)) < skill, label, "a")
    speakers = np.repeat([f"s{number}" for number in range(num_speakers)], clips_each)
    ids = [f"u{number}" for number in range(len(label))]
    columns = {"utterance_id": ids, "speaker": speakers, "label": label, "prediction": prediction}
    return pd.DataFrame(columns).astype(object)


def random_predictions(num_clips, num_speakers, seed=0):
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "utterance_id": [f"u{number}" for number in range(num_clips)],
            "speaker": [f"s{number}" for number in random.integers(0, num_speakers, num_clips)],
            "label": random.choice(LABELS, num_clips),
            "prediction": random.choice(LABELS, num_clips),
        }
    )


def test_clips_of_a_speaker_are_drawn_together_and_clips_of_unknown_speakers_one_by_one():
    table = pd.DataFrame({"utterance_id": list("abcdef"), "speaker": ["s", "", "t", "s", "", "t"]})
    unit, num_units = speaker_units(table)
    assert num_units == 4
    assert unit[0] == unit[3]
    assert unit[2] == unit[5]
    assert len(set(unit.tolist())) == 4


def test_every_resample_has_as_many_units_and_each_unit_is_equally_likely():
    counts = draw_counts(7, 4000, seed=1)
    assert (counts.sum(axis=1) == 7).all()
    assert counts.mean(axis=0) == pytest.approx(np.ones(7), abs=0.05)
    assert counts.var() == pytest.approx(6 / 7, abs=0.05)  # binomial, 7 draws of 1 in 7
    assert np.array_equal(counts, draw_counts(7, 4000, seed=1))
    assert not np.array_equal(counts, draw_counts(7, 4000, seed=2))


def test_an_interval_leaves_out_five_percent_and_undefined_values():
    assert percentile_interval(np.array([*range(1, 1000), np.nan])) == pytest.approx([25.95, 974.05])


def test_intervals_equal_a_bootstrap_that_copies_the_clips():
    table = random_predictions(80, num_speakers=6)
    rows_by_speaker = [rows for _, rows in table.groupby("speaker")]
    random = np.random.default_rng(1)
    accuracies, uars = [], []
    for _ in range(1000):
        resample = pd.concat(
            [rows_by_speaker[i] for i in random.integers(0, len(rows_by_speaker), len(rows_by_speaker))]
        )
        correct = resample["label"] == resample["prediction"]
        accuracies.append(correct.mean())
        uars.append(correct.groupby(resample["label"]).mean().mean())
    intervals = speaker_intervals(table, LABELS)
    assert intervals["accuracy"] == pytest.approx(np.quantile(accuracies, [0.025, 0.975]), abs=0.02)
    assert intervals["uar"] == pytest.approx(np.quantile(uars, [0.025, 0.975]), abs=0.02)


def test_intervals_over_speakers_are_wider_than_over_clips_where_speakers_differ():
    table = random_predictions(200, num_speakers=5)
    easy = table["speaker"].isin(["s0", "s1"])
    table["prediction"] = table["label"].where(easy, "angry")
    by_speaker = speaker_intervals(table, LABELS)["uar"]
    by_clip = speaker_intervals(table.assign(speaker=""), LABELS)["uar"]
    assert by_speaker[1] - by_speaker[0] > 2 * (by_clip[1] - by_clip[0])


def test_one_speaker_has_no_interval():
    assert speaker_intervals(random_predictions(20, num_speakers=1), LABELS) == {"accuracy": None, "uar": None}


def test_a_class_that_only_one_speaker_has_may_be_missing_from_a_resample():
    table = random_predictions(40, num_speakers=3)
    table.loc[table["label"] == "sad", "speaker"] = "s0"
    low, high = speaker_intervals(table, LABELS)["uar"]
    assert 0 <= low <= high <= 1


def test_gains_worked_out_by_hand():
    # UAR of s: (1/2 + 1) / 2 -> (1 + 1) / 2; of t: (1 + 1) / 2 -> (1 + 0) / 2; of u, who has one class: 1 -> 1.
    baseline = rows_of({"s": "a/a a/b b/b", "t": "a/a b/b", "u": "a/a"})
    condition = rows_of({"s": "a/a a/a b/b", "t": "a/a b/a", "u": "a/a"})
    gain = speaker_gains(condition, baseline)
    assert gain.speakers == {"t": -0.5, "u": 0.0, "s": 0.25}
    assert list(gain.speakers) == ["t", "u", "s"]
    assert gain.mean == pytest.approx(-0.25 / 3)
    assert gain.deviation == pytest.approx(np.std([-0.5, 0, 0.25], ddof=1))
    assert (gain.gained, gain.lost, gain.num_clips) == (1, 1, 6)
    assert gain.to_dict()["speakers"] == gain.speakers


def test_each_gain_is_a_difference_of_balanced_accuracies():
    condition, baseline = predictions_with_skill(1, 0.9), predictions_with_skill(2, 0.5)
    gain = speaker_gains(condition.sample(frac=1, random_state=0), baseline)
    assert set(gain.speakers) == set(condition["speaker"])
    for speaker, value in gain.speakers.items():
        of_speaker = [table[table["speaker"] == speaker] for table in (condition, baseline)]
        scores = [balanced_accuracy_score(rows["label"], rows["prediction"]) for rows in of_speaker]
        assert value == pytest.approx(scores[0] - scores[1], abs=1e-11)
    reverse = speaker_gains(baseline, condition)
    assert (reverse.mean, reverse.gained, reverse.lost) == (pytest.approx(-gain.mean), gain.lost, gain.gained)


def test_the_interval_is_that_of_the_mean_over_resampled_speakers():
    gain = speaker_gains(predictions_with_skill(1, 0.9), predictions_with_skill(2, 0.5), resamples=40_000)
    values, random = np.array(list(gain.speakers.values())), np.random.default_rng(7)
    means = [random.choice(values, len(values)).mean() for _ in range(20_000)]
    # The distribution is discrete, so its quantiles are only known to lie between neighbours.
    assert np.quantile(means, 0.02) - 1e-9 <= gain.low <= np.quantile(means, 0.03) + 1e-9
    assert np.quantile(means, 0.97) - 1e-9 <= gain.high <= np.quantile(means, 0.98) + 1e-9
    assert 0 < gain.low < gain.mean < gain.high


def test_a_condition_may_leave_clips_out_and_score_one_twice():
    baseline = rows_of({"s": "a/b a/b b/b", "t": "a/a b/b"})
    condition = rows_of({"s": "a/a a/b b/b", "t": "a/a b/b"})
    without_first = condition[condition["utterance_id"] != "s-0"]
    scored_again = condition[condition["utterance_id"] == "s-1"].assign(prediction="a")
    gain = speaker_gains(pd.concat([without_first, scored_again]), baseline)
    # s-1 is correct in one of two rows, s-2 as before; in the baseline: 0 and 1.
    assert gain.speakers == {"t": 0.0, "s": 0.25}
    assert gain.num_clips == 4


def test_speakers_that_are_unknown_or_not_in_both_tables_do_not_count():
    baseline = rows_of({"s": "a/b b/b", "": "a/a b/b", "t": "a/a"})
    condition = rows_of({"s": "a/a b/b", "": "a/b b/b", "v": "a/a"})
    gain = speaker_gains(condition, baseline)
    assert gain.speakers == {"s": 0.5}
    assert (gain.mean, gain.deviation, gain.low, gain.high) == (0.5, None, None, None)
    no_gain = speaker_gains(condition[condition["speaker"] == "v"], baseline)
    assert (no_gain.speakers, no_gain.mean, no_gain.num_clips) == ({}, None, 0)
