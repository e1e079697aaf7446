"""Metrics and metrics.json: figures against scikit-learn and against definitions written another way."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, brier_score_loss, f1_score, log_loss

from ser_head.evaluation.groups import accuracy_and_uar, with_groups
from ser_head.evaluation.metrics import METRICS, Metric, compute_metrics, metrics_document
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
    figures = compute_metrics(table, LABELS)
    truth, predicted = table["label"], table["prediction"]
    probabilities = table[[f"p_{label}" for label in LABELS]].to_numpy(np.float64)
    probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)
    present = sorted(set(truth))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about classes that were predicted but never occur
        uar = balanced_accuracy_score(truth, predicted)
    assert figures["accuracy"] == pytest.approx(accuracy_score(truth, predicted))
    assert figures["uar"] == pytest.approx(uar)
    assert figures["macro_f1"] == pytest.approx(
        f1_score(truth, predicted, labels=present, average="macro", zero_division=0)
    )
    assert figures["log_loss"] == pytest.approx(log_loss(truth, probabilities, labels=list(LABELS)))
    brier = brier_score_loss(truth, probabilities, labels=list(LABELS), scale_by_half=False)
    assert figures["brier"] == pytest.approx(brier)
    assert np.sum(figures["confusion"]) == num_clips


def test_a_class_without_clips_does_not_count_towards_uar():
    table = table_of(40)
    table["label"] = table["label"].replace("sad", "happy")
    figures = compute_metrics(table, LABELS)
    assert figures["uar"] == pytest.approx(
        np.mean([figures["per_class"][name]["recall"] for name in ("angry", "happy")])
    )


def test_a_run_is_judged_by_the_first_row_of_each_clip():
    closed = table_of(30).assign(condition="closed")
    unknown = closed.assign(prediction="angry", condition="unknown")
    document = metrics_document("random", False, LABELS, pd.concat([closed, unknown]), closed)
    assert document["n_test"] == 30
    assert document["test"] == compute_metrics(closed, LABELS) == document["conditions"]["closed"]
    assert document["conditions"]["unknown"]["accuracy"] == pytest.approx((closed["label"] == "angry").mean())


def test_the_file_gives_exactly_the_same_figures(tmp_path):
    table = table_of(50)
    table.loc[0, "speaker"] = ""
    table.to_csv(tmp_path / "predictions.csv", index=False)
    read_back = read_predictions(tmp_path / "predictions.csv")
    assert compute_metrics(primary_rows(read_back), LABELS) == compute_metrics(table, LABELS)


def rank_sum_area(truth, scores):
    """Area under the ROC curve as the chance that a clip of the class outranks another (Mann and Whitney, 1947)."""
    inside, outside = scores[truth][:, None], scores[~truth][None, :]
    return np.mean((inside > outside) + 0.5 * (inside == outside))


def precision_sum(truth, scores):
    """Average precision by its definition, threshold by threshold: the sum of (R_k - R_k-1) P_k."""
    area, previous_recall = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        above = scores >= threshold
        recall = truth[above].sum() / truth.sum()
        area += (recall - previous_recall) * truth[above].mean()
        previous_recall = recall
    return area


@pytest.mark.parametrize(("name", "oracle"), [("roc_auc", rank_sum_area), ("average_precision", precision_sum)])
@settings(max_examples=30)
@given(seed=st.integers(0, 1000), num_clips=st.integers(1, 60))
def test_rankings_per_class_equal_their_definitions(name, oracle, seed, num_clips):
    table = table_of(num_clips, seed=seed)
    columns = [f"p_{label}" for label in LABELS]
    table[columns] = table[columns].round(1)  # so that there are ties
    figures = compute_metrics(table, LABELS)
    values = []
    for label in LABELS:
        truth, scores = (table["label"] == label).to_numpy(), table[f"p_{label}"].to_numpy()
        if truth.all() or not truth.any():
            assert figures["per_class"][label][name] is None
        else:
            values.append(oracle(truth, scores))
            assert figures["per_class"][label][name] == pytest.approx(values[-1])
    assert figures[name] == (pytest.approx(np.mean(values)) if values else None)


def test_a_registered_metric_is_a_figure_of_every_set_of_predictions(monkeypatch):
    def mean_confidence(targets, probabilities, predictions):
        assert targets.dtype == predictions.dtype == np.int64
        assert probabilities.dtype == np.float64
        return float(probabilities.max(axis=1).mean())

    table = table_of(30)
    before = metrics_document("loso", True, LABELS, table, table)
    monkeypatch.setitem(METRICS, "confidence", Metric("confidence", "mean confidence", mean_confidence))
    document = metrics_document("loso", True, LABELS, table, table)
    expected = pytest.approx(table[[f"p_{label}" for label in LABELS]].to_numpy().max(axis=1).mean())
    for figures in (document["test"], document["conditions"]["unknown"], document["validation"]):
        assert figures.pop("confidence") == expected
    assert document == before


def test_metrics_are_registered_under_their_own_names_and_come_first_in_this_order():
    assert list(METRICS) == [metric.name for metric in METRICS.values()]
    figures = list(compute_metrics(table_of(20), LABELS))
    scalars = ["accuracy", "uar", "macro_f1", "roc_auc", "average_precision", "log_loss", "ece", "brier"]
    assert figures == ["n", *scalars, "ci95", "per_class", "confusion", "reliability", "coverage"]


def test_the_audit_and_the_groups_are_in_the_document():
    table = table_of(40)
    clips = table[["utterance_id", "speaker"]].assign(gender=np.where(table.index % 2, "female", "male"))
    tested = with_groups(table, clips, ["gender"])
    document = metrics_document("loso", True, LABELS, tested, table, leakage={"speaker": {"clips": 0}}, by=["gender"])
    assert document["leakage"] == {"speaker": {"clips": 0}}
    assert document["by"] == {"gender": {"female": accuracy_and_uar(table[1::2]), "male": accuracy_and_uar(table[::2])}}
    plain = metrics_document("loso", True, LABELS, table, table)
    assert plain == {name: value for name, value in document.items() if name not in ("leakage", "by")}


def test_without_classes_the_figures_are_those_of_regression():
    random = np.random.default_rng(0)
    table = table_of(30)[["utterance_id", "speaker", "fold", "condition"]]
    table = table.assign(label=random.normal(size=30), prediction=random.normal(size=30))
    document = metrics_document("loso", True, (), table, table, by=["speaker"])
    assert document["test"] == numeric_figures(table) == document["validation"]
    assert document["by"]["speaker"]["s1"] == agreement(table[table["speaker"] == "s1"])


def test_gains_are_over_the_plain_head_where_one_was_scored():
    enrolled = table_of(30).assign(condition="enrolled:5")
    plain = enrolled.assign(condition="plain", prediction="sad")
    document = metrics_document("loso", True, LABELS, pd.concat([enrolled, plain]), plain)
    assert document["gains"] == {"enrolled:5": speaker_gains(enrolled, plain).to_dict()}
    assert "gains" not in metrics_document("loso", True, LABELS, enrolled, plain)
