"""Figures against scikit-learn, a slow bootstrap written another way, and numbers worked out by hand."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, brier_score_loss, f1_score, log_loss

from ser_head.evaluation.groups import accuracy_and_uar, with_groups
from ser_head.evaluation.metrics import compute_metrics, metrics_document, speaker_intervals
from ser_head.evaluation.predictions import primary_rows, read_predictions
from ser_head.evaluation.regression import agreement, numeric_figures
from ser_head.evaluation.significance import speaker_gains

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
    found = compute_metrics(table, LABELS)
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
    found = compute_metrics(table, LABELS)
    assert found["uar"] == pytest.approx(np.mean([found["per_class"][name]["recall"] for name in ("angry", "happy")]))


def test_the_first_row_of_a_clip_is_the_one_that_counts():
    closed = table_of(30).assign(condition="closed")
    strangers = closed.assign(prediction="angry", condition="unknown")
    document = metrics_document("random", False, LABELS, pd.concat([closed, strangers]), closed)
    assert document["n_test"] == 30
    assert document["test"] == compute_metrics(closed, LABELS) == document["conditions"]["closed"]
    assert document["conditions"]["unknown"]["accuracy"] == pytest.approx((closed["label"] == "angry").mean())


def test_the_file_gives_back_the_very_numbers(tmp_path):
    table = table_of(50)
    table.loc[0, "speaker"] = ""
    table.to_csv(tmp_path / "predictions.csv", index=False)
    read = read_predictions(tmp_path / "predictions.csv")
    assert compute_metrics(primary_rows(read), LABELS) == compute_metrics(table, LABELS)


def rank_sum_area(truth, scores):
    """Area under the ROC curve as the chance that a clip of the class outranks another (Mann and Whitney, 1947)."""
    inside, outside = scores[truth][:, None], scores[~truth][None, :]
    return np.mean((inside > outside) + 0.5 * (inside == outside))


def precision_sum(truth, scores):
    """Average precision by its definition, threshold by threshold: the sum of (R_k - R_k-1) P_k."""
    area, recall = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        taken = scores >= threshold
        reached = truth[taken].sum() / truth.sum()
        area += (reached - recall) * truth[taken].mean()
        recall = reached
    return area


@settings(max_examples=30)
@given(st.integers(0, 1000), st.integers(1, 60))
def test_areas_per_class_equal_their_definitions(seed, num_clips):
    table = table_of(num_clips, seed=seed)
    columns = [f"p_{label}" for label in LABELS]
    table[columns] = table[columns].round(1)  # so that there are ties
    found = compute_metrics(table, LABELS)
    means = {"roc_auc": [], "average_precision": []}
    for label, oracle in [(label, oracle) for label in LABELS for oracle in (rank_sum_area, precision_sum)]:
        name = "roc_auc" if oracle is rank_sum_area else "average_precision"
        truth, scores = (table["label"] == label).to_numpy(), table[f"p_{label}"].to_numpy()
        if truth.all() or not truth.any():
            assert found["per_class"][label][name] is None
        else:
            means[name].append(oracle(truth, scores))
            assert found["per_class"][label][name] == pytest.approx(means[name][-1])
    for name, values in means.items():
        assert found[name] == (pytest.approx(np.mean(values)) if values else None)


def test_what_was_audited_and_asked_for_is_in_the_document():
    table = table_of(40)
    clips = table[["utterance_id", "speaker"]].assign(gender=np.where(table.index % 2, "female", "male"))
    tested = with_groups(table, clips, ["gender"])
    document = metrics_document("loso", True, LABELS, tested, table, leakage={"speaker": {"clips": 0}}, by=["gender"])
    assert document["leakage"] == {"speaker": {"clips": 0}}
    assert document["by"] == {"gender": {"female": accuracy_and_uar(table[1::2]), "male": accuracy_and_uar(table[::2])}}
    plain = metrics_document("loso", True, LABELS, table, table)
    assert plain == {name: value for name, value in document.items() if name not in ("leakage", "by")}


def test_without_classes_the_figures_are_those_of_numbers():
    random = np.random.default_rng(0)
    table = table_of(30)[["utterance_id", "speaker", "fold", "condition"]]
    table = table.assign(label=random.normal(size=30), prediction=random.normal(size=30))
    document = metrics_document("loso", True, (), table, table, by=["speaker"])
    assert document["test"] == numeric_figures(table) == document["validation"]
    assert document["by"]["speaker"]["s1"] == agreement(table[table["speaker"] == "s1"])


def test_gains_are_against_the_plain_head_where_there_is_one():
    enrolled = table_of(30).assign(condition="enrolled:5")
    plain = enrolled.assign(condition="plain", prediction="sad")
    document = metrics_document("loso", True, LABELS, pd.concat([enrolled, plain]), plain)
    assert document["gains"] == {"enrolled:5": speaker_gains(enrolled, plain).to_dict()}
    assert "gains" not in metrics_document("loso", True, LABELS, enrolled, plain)
