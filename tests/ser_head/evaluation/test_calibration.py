"""Calibration and coverage: equal to their definitions, bin by bin and clip by clip."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_head.evaluation.calibration import calibration_error, coverage_curve, reliability_table


def answers(seed, num_clips=40):
    random = np.random.default_rng(seed)
    return random.dirichlet([0.5] * 4, num_clips), random.integers(0, 4, num_clips)


def test_calibration_error_worked_out_by_hand():
    # Three clips at 0.8, of which two are correct: |2/3 - 0.8| x 3/4; one at 0.6 and correct: |1 - 0.6| x 1/4.
    probabilities = np.array([[0.8, 0.2], [0.8, 0.2], [0.8, 0.2], [0.4, 0.6]])
    assert calibration_error(probabilities, np.array([0, 0, 1, 1])) == pytest.approx(0.1 + 0.1)


@given(st.integers(0, 1000))
def test_calibration_error_equals_the_definition_bin_by_bin(seed):
    random = np.random.default_rng(seed)
    probabilities, targets = random.dirichlet([0.5] * 4, 40), random.integers(0, 4, 40)
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == targets
    expected = 0.0
    for low in range(15):
        inside = (confidence > low / 15) & (confidence <= (low + 1) / 15)
        if inside.any():
            expected += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    assert calibration_error(probabilities, targets) == pytest.approx(expected)


@given(st.integers(0, 1000), st.integers(1, 40), st.integers(1, 20))
def test_the_table_holds_every_clip_once_and_gives_the_calibration_error(seed, num_clips, bins):
    probabilities, targets = answers(seed, num_clips)
    table = reliability_table(probabilities, targets, bins)
    assert [row["low"] for row in table] == [number / bins for number in range(bins)]
    assert sum(row["n"] for row in table) == num_clips
    filled = [row for row in table if row["n"]]
    assert all(row["low"] < row["confidence"] <= row["high"] + 1e-12 for row in filled)
    assert all(row["confidence"] is row["accuracy"] is None for row in table if not row["n"])
    error = sum(row["n"] * abs(row["accuracy"] - row["confidence"]) for row in filled) / num_clips
    assert error == pytest.approx(calibration_error(probabilities, targets, bins))


@given(st.integers(0, 1000), st.integers(1, 40))
def test_coverage_equals_the_definition_clip_by_clip(seed, num_clips):
    probabilities, targets = answers(seed, num_clips)
    probabilities = probabilities.round(1)  # so that there are ties
    clips = sorted(range(num_clips), key=lambda clip: -max(probabilities[clip]))  # sorted is stable
    correct = [probabilities[clip].argmax() == targets[clip] for clip in clips]
    curve = coverage_curve(probabilities, targets)
    assert [point["coverage"] for point in curve["points"]] == [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]
    for tenths, point in zip(range(10, 0, -1), curve["points"], strict=True):
        assert point["n"] == -(-num_clips * tenths // 10)
        assert point["accuracy"] == pytest.approx(np.mean(correct[: point["n"]]))
        assert point["confidence"] == max(probabilities[clips[point["n"] - 1]])
    assert curve["area"] == pytest.approx(np.mean([np.mean(correct[:count]) for count in range(1, num_clips + 1)]))


def test_accuracy_rises_with_lower_coverage_where_confidence_is_calibrated():
    random = np.random.default_rng(0)
    confidence = random.uniform(0.5, 1, 5000)
    targets = (random.random(5000) > confidence).astype(int)
    curve = coverage_curve(np.stack([confidence, 1 - confidence], axis=1), targets)
    accuracies = [point["accuracy"] for point in curve["points"]]
    assert accuracies == sorted(accuracies)
    # Confidence is uniform on (1/2, 1), so the most confident share c has an accuracy of 1 - c/4.
    assert accuracies == pytest.approx([1 - point["coverage"] / 4 for point in curve["points"]], abs=0.03)
    assert curve["area"] == pytest.approx(7 / 8, abs=0.02)
