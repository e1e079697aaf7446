"""Performance from feedback: figures equal those of scikit-learn and the library's own, intervals cover, words warn."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, recall_score

from ser_head.evaluation.calibration import calibration_error
from ser_head.evaluation.significance import speaker_intervals
from ser_head.inference import prediction_table
from ser_monitor.events import NO_SPEECH, UNCERTAIN
from ser_monitor.reporting.analysis.performance import FEWEST, measure_performance
from ser_monitor.reporting.wording import performance_in_words
from tests.ser_monitor.reporting.fabricated import LABELS, feedback, filled_tables, segments


@pytest.fixture(scope="module")
def corrections():
    return filled_tables().corrections


@pytest.fixture(scope="module")
def performance(corrections):
    return measure_performance(corrections)


def answered(rows):
    """Return what counts as answered: the label, or the most probable emotion where it is uncertain."""
    best = rows[[f"p_{label}" for label in LABELS]].to_numpy().argmax(axis=1)
    return rows["label"].where(rows["label"] != UNCERTAIN, pd.Series(np.array(LABELS, object)[best], rows.index))


def test_the_word_for_uncertain_is_that_of_the_predictor():
    assert UNCERTAIN == prediction_table.UNCERTAIN


def test_figures_are_those_of_scikit_learn(corrections, performance):
    said, answer = corrections["emotion"], answered(corrections)
    assert performance.figure("accuracy")["value"] == pytest.approx(accuracy_score(said, answer))
    assert performance.figure("UAR")["value"] == pytest.approx(balanced_accuracy_score(said, answer))
    recalls = recall_score(said, answer, labels=list(LABELS), average=None)
    for label, recall in zip(LABELS, recalls, strict=True):
        assert performance.figure(f"recall of {label}")["value"] == pytest.approx(recall)
        assert performance.figure(f"recall of {label}")["corrections"] == (said == label).sum()
    probabilities = corrections[[f"p_{label}" for label in LABELS]].to_numpy()
    targets = said.map(LABELS.index).to_numpy()
    assert performance.figure("ECE")["value"] == pytest.approx(calibration_error(probabilities, targets))
    assert sum(row["n"] for row in performance.reliability) == performance.num_corrections == len(corrections)


def test_intervals_are_those_over_speakers_and_sessions_of_unknown_ones(corrections, performance):
    speaker = corrections["speaker"].where(corrections["speaker"] != "", corrections["session_id"])
    table = pd.DataFrame({"utterance_id": range(len(corrections)), "speaker": speaker, "label": corrections["emotion"]})
    expected = speaker_intervals(table.assign(prediction=answered(corrections)), LABELS)
    assert performance.num_units == 3
    for name, key in (("accuracy", "accuracy"), ("UAR", "uar")):
        figure = performance.figure(name)
        assert [figure["low"], figure["high"]] == pytest.approx(expected[key])
    assert (performance.figures["low"] <= performance.figures["high"]).all()


def test_intervals_over_few_speakers_are_said_to_be_too_narrow(performance):
    assert any("no more than 3 speakers" in sentence for sentence in performance_in_words(performance))


def test_with_one_speaker_there_are_no_intervals():
    performance = measure_performance(feedback(segments()))
    assert performance.figures[["low", "high"]].isna().all(axis=None)
    assert any("no intervals" in sentence for sentence in performance_in_words(performance))


def test_an_emotion_that_only_people_know_is_never_recognised(corrections):
    rows = corrections.assign(emotion=corrections["emotion"].mask(corrections.index < 10, "jealous"))
    performance = measure_performance(rows)
    assert performance.figure("recall of jealous")["value"] == 0
    assert performance.figure("UAR")["value"] == pytest.approx(
        np.mean([performance.figure(f"recall of {label}")["value"] for label in (*LABELS, "jealous")])
    )


def test_stretches_without_scored_speech_do_not_count(corrections):
    silent = corrections.head(5).assign(label=NO_SPEECH)
    performance = measure_performance(pd.concat([corrections, silent], ignore_index=True))
    assert performance.num_corrections == len(corrections)
    assert performance.num_unscored == 5
    assert any("5 corrections without scored speech" in text for text in performance_in_words(performance))
    assert measure_performance(silent) is None


def test_agreement_of_people_is_over_pairs_who_corrected_the_same_segment():
    rows = feedback(segments(), num=40)
    second = rows.head(10).assign(author="cleo", emotion="happy")
    performance = measure_performance(pd.concat([rows, second], ignore_index=True))
    assert performance.agreement == pytest.approx((rows["emotion"].head(10) == "happy").mean())
    assert performance.authors.set_index("author")["corrections"].to_dict() == {"ben": 40, "cleo": 10}
    assert measure_performance(rows).agreement is None


@pytest.mark.parametrize("num", [1, FEWEST - 1, FEWEST])
def test_too_few_corrections_are_said_to_be_too_few(num):
    performance = measure_performance(feedback(segments(), num=num))
    assert performance.is_enough == (num >= FEWEST)
    assert performance_in_words(performance)[0].startswith("Too few") == (num < FEWEST)


def test_without_feedback_it_says_so():
    assert measure_performance(feedback(segments(), num=0)) is None
    assert "Nobody has corrected" in performance_in_words(None)[0]
