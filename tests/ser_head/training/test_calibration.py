"""Calibration of a head trained on all clips: on answers for speakers who were new to the heads of the folds."""

import json

import numpy as np
import pytest

import ser_head
from ser_embed.store.reader import Store
from ser_head.evaluation.predictions import probability_matrix, read_predictions
from ser_head.personalization.output_adaptation import ValidationSession
from ser_head.personalization.speakers import TrainingSpeakers
from ser_head.runs.results import RunResults
from ser_head.runs.run import Run
from ser_head.scoring.temperature import apply_temperature, fit_temperature
from ser_head.training.calibration import HeldOutAnswers, sessions_among
from ser_head.training.fold_runner import median_epoch
from tests.ser_head.conftest import Recipe, write_store

RECIPE = Recipe(layers=("0", "1"), voice=1.0, signal=0.7)
FOLDS = 3
SETTINGS = {
    "mlp": {"head": "mlp", "epochs": 4},
    "personalized": {"head": "lda", "personalized": "normalize,calibrate"},
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_store(tmp_path_factory.mktemp("store") / "tiny.h5", RECIPE)


@pytest.fixture(scope="module", params=SETTINGS)
def runs(request, store, tmp_path_factory):
    """Return the folders of a run that keeps a head per fold, and of one that keeps a head of all clips."""
    out, settings = tmp_path_factory.mktemp("runs"), SETTINGS[request.param]
    return [
        ser_head.train(store=store, protocol=f"kfold:{FOLDS}", refit=refit, out=out / refit, **settings).run
        for refit in ("folds", "whole")
    ]


def test_the_figures_are_those_of_the_folds_to_the_byte(runs):
    for name in ("predictions.csv", "validation.csv", "history.csv", "metrics.json"):
        folds, whole = ((run / name).read_bytes() for run in runs)
        assert folds == whole, name


def test_one_head_is_kept_and_the_folds_stay_on_record(runs):
    folds, whole = (json.loads((run / "run.json").read_text()) for run in runs)
    assert len(list(runs[1].rglob("fold.npz"))) == 1
    assert len(list(runs[1].glob("head.*"))) == 1
    (entry,) = whole["folds"]
    speakers = sorted({name for fold in folds["folds"] for name in fold["speakers"]["test"]})
    assert entry["speakers"] == {"train": speakers, "validation": [], "test": []}
    assert entry["best_epoch"] == median_epoch([fold["best_epoch"] for fold in folds["folds"]])
    assert [fold["speakers"] for fold in whole["tested_folds"]] == [fold["speakers"] for fold in folds["folds"]]
    assert RunResults.load(runs[0]).kept_epochs == RunResults.load(runs[1]).kept_epochs


def test_the_report_says_what_was_done(runs):
    folds, whole = ((run / "report.html").read_text() for run in runs)
    sentence = f"These are the figures of {FOLDS} heads"
    assert sentence not in folds
    assert sentence in whole


def test_the_temperature_is_fitted_on_answers_for_new_speakers(runs):
    table = read_predictions(runs[0] / "predictions.csv")
    table = table[table["condition"] == "unknown"]
    run = Run.load(runs[0])
    if run.config.personalized:
        pytest.skip("a personalised head is calibrated on enrolled speakers too, whom the table does not have")
    temperatures = table["temperature"].to_numpy()[:, np.newaxis]
    raw = apply_temperature(probability_matrix(table, run.labels), 1 / temperatures)
    targets = table["label"].map(run.labels.index).to_numpy()
    entry = Run.load(runs[1]).about["folds"][0]
    assert entry["temperature"] == pytest.approx(fit_temperature(raw, targets), rel=1e-3)


def test_the_threshold_of_strangeness_is_that_of_new_speakers(runs, store):
    table = read_predictions(runs[0] / "predictions.csv").drop_duplicates("utterance_id")
    run = Run.load(runs[0])
    distances = []
    with Store(store) as opened:
        ids = opened.utterances["utterance_id"].tolist()
        for fold, scorer in zip(run.about["folds"], run.scorers, strict=True):
            rows = table.loc[table["fold"] == fold["fold"], "utterance_id"].map(ids.index)
            distances.append(scorer.ood_score(opened.read(rows.tolist())) * scorer.ood_detector.threshold)
    whole = Run.load(runs[1]).scorers[0]
    assert whole.ood_detector.threshold == pytest.approx(1.1 * np.percentile(np.concatenate(distances), 99))
    assert len(whole.ood_detector.examples) == len(ids)


def test_the_kept_head_scores_all_clips_better_than_the_heads_of_the_folds(runs, store):
    """It has learned from them: what it answers for them is no figure."""
    with Store(store) as opened:
        vectors, emotions = opened.read(range(len(opened))), opened.column("emotion")
    accuracies = []
    for folder in runs:
        run = Run.load(folder)
        answers = np.array(run.labels, dtype=object)[run.probabilities(vectors).argmax(axis=1)]
        accuracies.append((answers == emotions).mean())
    tested = json.loads((runs[1] / "metrics.json").read_text())["test"]["accuracy"]
    assert accuracies[1] > tested
    assert len(Run.load(runs[1]).scorers) == 1


def test_sessions_name_the_same_speakers_among_all_of_them():
    names = ("a", "b", "c", "d")
    nobody = np.zeros((4, 1, 1))
    speakers = TrainingSpeakers(names, nobody, nobody, np.zeros((4, 2), np.int64), np.zeros((4, 2)))
    no_outputs = np.zeros((0, 2))
    session = ValidationSession(no_outputs, np.array([2, 0, 1]), no_outputs, np.zeros(0, np.int64))
    answers = HeldOutAnswers(no_outputs, np.zeros(0), (session,), ("a", "c", "d"), np.zeros(0))
    (moved,) = sessions_among(speakers, answers)
    assert [names[position] for position in moved.order] == ["d", "a", "c"]


@pytest.mark.parametrize(("epochs", "median"), [([3, 9, 4], 4), ([2, 5], 4), ([None, None], None)])
def test_the_median_of_the_best_epochs_is_rounded(epochs, median):
    assert median_epoch(epochs) == median
