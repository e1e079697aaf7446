"""Prediction table: an emotion, uncertain or silent for each window, with its probabilities, as text, JSON and CSV."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_head.inference.prediction_table import OUT_OF_DOMAIN, SILENT, UNCERTAIN, Predictions, emotions_of
from ser_head.scoring.activation import activation

LABELS = ("angry", "happy", "sad")


def predictions(rows: list[tuple[str, list[float], float]], activation_first: bool = False) -> Predictions:
    """Return predictions of consecutive one-second windows, given as (file, probabilities, out-of-domain score)."""
    probabilities = np.array([row[1] for row in rows])
    ood_score = np.array([row[2] for row in rows])
    table = pd.DataFrame(
        {
            "file": [row[0] for row in rows],
            "start_s": np.arange(len(rows), dtype=float),
            "end_s": np.arange(len(rows)) + 1.0,
            "emotion": emotions_of(probabilities, LABELS, ood_score, None),
            "confidence": probabilities.max(axis=1),
            "activation": activation(probabilities, LABELS),
            "unfamiliarity": ood_score,
            **{f"p_{label}": probabilities[:, column] for column, label in enumerate(LABELS)},
        }
    )
    return Predictions(table, (), activation_first=activation_first)


@given(
    st.lists(st.lists(st.floats(0.01, 1), min_size=3, max_size=3), min_size=1, max_size=5),
    st.floats(0, 3),
    st.none() | st.floats(0, 1),
)
def test_an_emotion_is_predicted_where_it_is_probable_and_in_domain(weights, ood_score, min_confidence):
    probabilities = np.array(weights) / np.sum(weights, axis=1, keepdims=True)
    answers = emotions_of(probabilities, LABELS, np.full(len(weights), ood_score), min_confidence)
    for answer, row in zip(answers, probabilities, strict=True):
        is_uncertain = (ood_score > 1 and min_confidence != 0) or row.max() < (min_confidence or 0)
        assert answer == (UNCERTAIN if is_uncertain else LABELS[row.argmax()])


def test_silence_is_neither_certain_nor_uncertain():
    probabilities = np.array([[np.nan] * 3, [0.2, 0.5, 0.3]])
    assert emotions_of(probabilities, LABELS, np.array([np.nan, 0.5]), 0.9).tolist() == [SILENT, UNCERTAIN]
    assert emotions_of(np.zeros((0, 3)), LABELS, np.zeros(0), 0.9).tolist() == []


def test_a_file_is_a_line_that_keeps_the_probabilities():
    scored = predictions([("a.wav", [0.1, 0.7, 0.2], 0.5), ("b.wav", [0.03, 0.95, 0.02], 2.0)])
    assert scored.lines() == [
        "a.wav: happy 0.70 (sad 0.20, angry 0.10), activation 0.80",
        f"b.wav: uncertain (happy 0.95, angry 0.03, sad 0.02), activation 0.98, {OUT_OF_DOMAIN}",
    ]


def test_activation_comes_first_where_it_can_be_trusted_more():
    rows = [("a.wav", [0.1, 0.7, 0.2], 0.5), ("b.wav", [0.1, 0.4, 0.5], 0.5), ("b.wav", [0.1, 0.8, 0.1], 0.5)]
    assert predictions(rows, activation_first=True).lines() == [
        "a.wav: activation 0.80, happy 0.70 (sad 0.20, angry 0.10)",
        "b.wav: activation 0.70 (0.50 to 0.90); 0:01.0-0:02.0 sad, 0:02.0-0:03.0 happy",
    ]


def test_a_line_of_silence_has_no_activation():
    assert predictions([("a.wav", [np.nan] * 3, np.nan)], activation_first=True).lines() == ["a.wav: silent"]


def test_a_timeline_counts_its_out_of_domain_windows():
    rows = [("a.wav", [0.1, 0.7, 0.2], 0.5)] * 2 + [("a.wav", [0.1, 0.7, 0.2], 1.5)] * 2
    assert predictions(rows).lines() == [
        f"a.wav: 0:00.0-0:02.0 happy, 0:02.0-0:04.0 uncertain; 2 of 4 windows {OUT_OF_DOMAIN}"
    ]


def test_json_marks_out_of_domain_windows_and_has_no_nan(tmp_path: Path):
    scored = predictions([("a.wav", [0.1, 0.7, 0.2], 1.5), ("a.wav", [np.nan] * 3, np.nan)])
    scored.write(tmp_path / "OUT.JSON")
    document = json.loads((tmp_path / "OUT.JSON").read_text("utf-8"))
    first, second = document["files"][0]["windows"]
    assert (first["emotion"], first["unfamiliar"], first["p_happy"]) == (UNCERTAIN, True, 0.7)
    assert (second["emotion"], second["unfamiliar"], second["p_happy"]) == (SILENT, False, None)
    assert document["enrolled"] == 0


@pytest.mark.parametrize("name", ["out.csv", "OUT.CSV"])
def test_a_table_is_written_by_its_suffix_in_any_case(tmp_path: Path, name: str):
    scored = predictions([("a.wav", [0.1, 0.7, 0.2], 0.5)])
    scored.write(tmp_path / name)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / name), scored.table, check_dtype=False)
