"""Figures against scikit-learn, a slow bootstrap written another way, and numbers worked out by hand."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, brier_score_loss, f1_score, log_loss

from ser_head.metrics import calibration_error, figures, metrics_document, speaker_intervals
from ser_head.predictions import judged, read_predictions

LABELS = ("angry", "happy", "sad")


def table_of(num_clips=60, speakers=5, seed=0, labels=LABELS):
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet(np.full(len(labels), 0.7), num_clips).astype(np.float32)
    table = pd.DataFrame(probabilities, columns=[f"p_{label}" for label in labels])
    table.insert(0, "utterance_id", [f"u{number}" for number in range(num_clips)])
    table.insert(1, "speaker", [f"s{number}" for number in random.integers(0, speakers, num_clips)])
    table.insert(2, "label", random.choice(labels, num_clips))
    table.insert(3, "prediction", np.array(labels)[probabilities.argmax(axis=1)])
    return table.assign(fold=1, condition="unknown")


@given(st.integers(0, 1000), st.integers(1, 80))
def test_figures_equal_scikit_learn(seed, num_clips):
    table = table_of(num_clips, seed=seed)
    found = figures(table, LABELS)
    truth, said = table["label"], table["prediction"]
    probabilities = table[[f"p_{label}" for label in LABELS]].to_numpy(np.float64)
    probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)
    present = sorted(set(truth))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about classes that were predicted but never occur
        uar = balanced_accuracy_score(truth, said)
    assert found["accuracy"] == pytest.approx(accuracy_score(truth, said))
    assert found["uar"] == pytest.approx(uar)
    assert found["macro_f1"] == pytest.approx(f1_score(truth, said, labels=present, average="macro", zero_division=0))
    assert found["log_loss"] == pytest.approx(log_loss(truth, probabilities, labels=list(LABELS)))
    brier = brier_score_loss(truth, probabilities, labels=list(LABELS), scale_by_half=False)
    assert found["brier"] == pytest.approx(brier)
    assert np.sum(found["confusion"]) == num_clips


def test_calibration_error_worked_out_by_hand():
    # Three clips at 0.8, of which two are right: |2/3 - 0.8| x 3/4; one at 0.6 and right: |1 - 0.6| x 1/4.
    probabilities = np.array([[0.8, 0.2], [0.8, 0.2], [0.8, 0.2], [0.4, 0.6]])
    assert calibration_error(probabilities, np.array([0, 0, 1, 1])) == pytest.approx(0.1 + 0.1)


@given(st.integers(0, 1000))
def test_calibration_error_equals_the_definition_bin_by_bin(seed):
    random = np.random.default_rng(seed)
    probabilities, targets = random.dirichlet([0.5] * 4, 40), random.integers(0, 4, 40)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == targets
    expected = 0.0
    for low in range(15):
        inside = (confidence > low / 15) & (confidence <= (low + 1) / 15)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert calibration_error(probabilities, targets) == pytest.approx(expected)


def test_intervals_equal_a_bootstrap_that_copies_the_clips():
    table = table_of(80, speakers=6)
    groups = [rows for _, rows in table.groupby("speaker")]
    random = np.random.default_rng(1)
    accuracies, uars = [], []
    for _ in range(1000):
        drawn = pd.concat([groups[i] for i in random.integers(0, len(groups), len(groups))])
        right = drawn["label"] == drawn["prediction"]
        accuracies.append(right.mean())
        uars.append(right.groupby(drawn["label"]).mean().mean())
    found = speaker_intervals(table, LABELS)
    assert found["accuracy"] == pytest.approx(np.quantile(accuracies, [0.025, 0.975]), abs=0.02)
    assert found["uar"] == pytest.approx(np.quantile(uars, [0.025, 0.975]), abs=0.02)


def test_intervals_over_speakers_are_wider_than_over_clips_where_speakers_differ():
    table = table_of(200, speakers=5)
    easy = table["speaker"].isin(["s0", "s1"])
    table["prediction"] = table["label"].where(easy, "angry")
    by_speaker = speaker_intervals(table, LABELS)["uar"]
    by_clip = speaker_intervals(table.assign(speaker=""), LABELS)["uar"]
    assert by_speaker[1] - by_speaker[0] > 2 * (by_clip[1] - by_clip[0])


def test_one_speaker_has_no_interval():
    assert speaker_intervals(table_of(20, speakers=1), LABELS) == {"accuracy": None, "uar": None}


def test_a_class_that_only_one_speaker_has_may_be_missing_from_a_resample():
    table = table_of(40, speakers=3)
    table.loc[table["label"] == "sad", "speaker"] = "s0"
    low, high = speaker_intervals(table, LABELS)["uar"]
    assert 0 <= low <= high <= 1


def test_a_class_without_clips_does_not_count_towards_uar():
    table = table_of(40)
    table["label"] = table["label"].replace("sad", "happy")
    found = figures(table, LABELS)
    assert found["uar"] == pytest.approx(np.mean([found["per_class"][name]["recall"] for name in ("angry", "happy")]))


def test_the_first_row_of_a_clip_is_the_one_that_counts():
    closed = table_of(30).assign(condition="closed")
    strangers = closed.assign(prediction="angry", condition="unknown")
    document = metrics_document("random", False, LABELS, pd.concat([closed, strangers]), closed)
    assert document["n_test"] == 30
    assert document["test"] == figures(closed, LABELS) == document["conditions"]["closed"]
    assert document["conditions"]["unknown"]["accuracy"] == pytest.approx((closed["label"] == "angry").mean())


def test_the_file_gives_back_the_very_numbers(tmp_path):
    table = table_of(50)
    table.loc[0, "speaker"] = ""
    table.to_csv(tmp_path / "predictions.csv", index=False)
    read = read_predictions(tmp_path / "predictions.csv")
    assert figures(judged(read), LABELS) == figures(table, LABELS)
