"""Drift: counts equal pandas by hand, the index is 0 for the same shares, words follow the change."""

import json

import numpy as np
import pandas as pd
import pytest

from ser_embed.errors import InputError
from ser_head.evaluation.calibration import reliability_table
from ser_monitor.reporting.analysis.drift import (
    combine_counts,
    count_answers,
    measure_drift,
    population_stability,
    read_test_metrics,
)
from tests.ser_monitor.reporting.fabricated import LABELS, filled_tables, segments, write_metrics

PROBABILITIES = [f"p_{label}" for label in LABELS]


def test_counts_are_those_of_the_most_probable_emotions_and_of_a_reliability_diagram():
    rows = filled_tables().rows
    counts = combine_counts(count_answers(rows.iloc[part]) for part in np.array_split(np.arange(len(rows)), 5))
    probabilities = rows[PROBABILITIES].dropna().to_numpy()
    of_emotion = counts.groupby("emotion")["segments"].sum()
    assert of_emotion.to_dict() == pd.Series(LABELS)[probabilities.argmax(axis=1)].value_counts().to_dict()
    bins = reliability_table(probabilities, np.zeros(len(probabilities), np.int64))
    of_bin = counts.groupby("bin")["segments"].sum()
    assert of_bin.to_dict() == {index: row["n"] for index, row in enumerate(bins) if row["n"]}
    assert counts["confidence_sum"].sum() == pytest.approx(probabilities.max(axis=1).sum())


def test_nothing_scored_counts_nothing():
    rows = segments(num=4)
    rows[PROBABILITIES] = np.nan
    assert count_answers(rows).empty
    assert combine_counts([count_answers(rows)]).empty


def test_drift_compares_period_and_test(tmp_path):
    document = write_metrics(tmp_path / "run")
    rows = segments()
    drift = measure_drift(count_answers(rows), "emodb", read_test_metrics(tmp_path / "run" / "metrics.json"))
    shares = drift.shares.set_index("emotion")
    confusion = np.array(document["test"]["confusion"])
    probabilities = rows[PROBABILITIES].dropna().to_numpy()
    for index, label in enumerate(LABELS):
        assert shares.loc[label, "test"] == pytest.approx(confusion[:, index].sum() / 100)
        assert shares.loc[label, "period"] == pytest.approx((probabilities.argmax(axis=1) == index).mean())
    assert drift.confidence == pytest.approx(probabilities.max(axis=1).mean())
    assert (drift.segments, drift.test_clips) == (len(probabilities), 100)
    assert drift.confidence < drift.test_confidence
    assert "less sure than" in drift.words


def test_the_index_is_zero_for_the_same_and_grows_with_the_change():
    counts = np.array([100, 300, 600])
    assert population_stability(counts, counts) == 0
    nearer, further = (
        population_stability(counts, np.array([150, 300, 550])),
        population_stability(counts, counts[::-1]),
    )
    assert 0 < nearer < further
    assert population_stability(counts, counts[::-1]) == pytest.approx(population_stability(counts[::-1], counts))
    shares, others = np.array([0.3, 0.7]), np.array([0.5, 0.5])
    textbook = ((shares - others) * np.log(shares / others)).sum()
    assert population_stability(shares * 1e9, others * 1e9) == pytest.approx(textbook, rel=1e-6)
    assert np.isfinite(population_stability(np.array([0, 10]), np.array([10, 0])))


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.update(labels=[]),
        lambda document: document["test"].pop("confusion"),
        lambda document: document["test"].update(reliability=[]),
        lambda document: document["test"].update(confusion=[[0]]),
        lambda document: document.update(test=3),
    ],
)
def test_figures_of_no_classifier_are_refused(tmp_path, change):
    document = write_metrics(tmp_path / "run")
    change(document)
    path = tmp_path / "run" / "metrics.json"
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match="expected figures of a test") as refused:
        read_test_metrics(path)
    assert str(path) in str(refused.value)
