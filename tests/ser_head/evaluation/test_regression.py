"""Regression metrics: equal to formulas written another way, and to a bootstrap that copies the clips."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import pearsonr
from sklearn.metrics import mean_absolute_error, root_mean_squared_error

from ser_head.evaluation.regression import agreement, numeric_figures


def table_of(label, prediction, speakers=4):
    names = [f"s{number % speakers}" for number in range(len(label))]
    return pd.DataFrame(
        {
            "utterance_id": [f"u{number}" for number in range(len(label))],
            "speaker": names,
            "label": np.asarray(label, np.float32),
            "prediction": np.asarray(prediction, np.float32),
        }
    )


def random_table(seed, num_clips=40, shift=50.0):
    random = np.random.default_rng(seed)
    label = random.normal(shift, 10, num_clips)
    return table_of(label, 0.6 * label + random.normal(0, 5, num_clips))


def lin(label, prediction):
    """CCC as 1 minus the expected squared distance from the 45 degree line over what it were without correlation."""
    expected = np.mean((label[:, None] - prediction[None, :]) ** 2)  # over all pairs: as if independent
    return 1 - np.mean((label - prediction) ** 2) / expected


@given(st.integers(0, 1000), st.integers(2, 60), st.floats(-1000, 1000))
def test_figures_equal_their_definitions(seed, num_clips, shift):
    table = random_table(seed, num_clips, shift)
    label, prediction = (table[name].to_numpy(np.float64) for name in ("label", "prediction"))
    figures = agreement(table)
    assert figures["n"] == num_clips
    assert figures["ccc"] == pytest.approx(lin(label, prediction))
    assert figures["mae"] == pytest.approx(mean_absolute_error(label, prediction))
    assert figures["rmse"] == pytest.approx(root_mean_squared_error(label, prediction))
    assert figures["pearson"] == pytest.approx(pearsonr(label, prediction).statistic)


def test_the_concordance_worked_out_by_hand():
    # Means 2 and 3, population variances 2/3 and 2/3, covariance 2/3: 2 * 2/3 / (2/3 + 2/3 + 1) = 4/7.
    assert agreement(table_of([1, 2, 3], [2, 3, 4]))["ccc"] == pytest.approx(4 / 7)


def test_perfect_reversed_and_constant_predictions():
    label = [1.0, 2.0, 4.0, 7.0]
    assert agreement(table_of(label, label)) == {
        "n": 4,
        "ccc": 1.0,
        "mae": 0.0,
        "rmse": 0.0,
        "pearson": pytest.approx(1),
    }
    assert agreement(table_of(label, np.negative(label) + 7))["ccc"] == pytest.approx(-1)
    constant = agreement(table_of(label, [3.5] * 4))
    assert constant["ccc"] == pytest.approx(0, abs=1e-12)
    assert constant["pearson"] is None
    same = agreement(table_of([0.1] * 3, [0.1] * 3))
    assert (same["ccc"], same["pearson"], same["mae"]) == (None, None, 0.0)


def test_the_interval_equals_a_bootstrap_that_copies_the_clips():
    table = random_table(3, 60)
    speakers = [rows for _, rows in table.groupby("speaker")]
    random = np.random.default_rng(1)
    resamples = [
        pd.concat([speakers[i] for i in random.integers(0, len(speakers), len(speakers))]) for _ in range(1500)
    ]
    cccs = [agreement(rows)["ccc"] for rows in resamples]
    figures = numeric_figures(table, resamples=20_000)
    assert figures["ci95"]["ccc"] == pytest.approx(np.quantile(cccs, [0.025, 0.975]), abs=0.02)
    assert {name: value for name, value in figures.items() if name != "ci95"} == agreement(table)


@pytest.mark.parametrize("table", [random_table(0).assign(speaker="one"), table_of([2.0] * 6, [2.0] * 6)])
def test_one_speaker_or_constant_numbers_have_no_interval(table):
    assert numeric_figures(table)["ci95"] == {"ccc": None}


def test_the_file_gives_exactly_the_same_figures(tmp_path):
    table = random_table(5)
    table["label"] = table["label"].astype(np.float64) / 3  # a manifest's numbers are float64
    table.to_csv(tmp_path / "predictions.csv", index=False)
    text = pd.read_csv(tmp_path / "predictions.csv", dtype=object)  # as `read_predictions` reads both columns
    assert numeric_figures(text) == numeric_figures(table)
