"""Results of a run: what is read from its folder, and errors that name what is missing."""

import json

import pandas as pd
import pytest

from ser_embed.errors import InputError
from ser_head.runs.results import RunResults
from tests.ser_head.fabricated import Case, edit_json, fabricate, make_numeric, personalize


@pytest.mark.parametrize("history", [None, "fold\n"])
def test_a_run_without_epochs_is_read(tmp_path, history):
    run, _ = fabricate(tmp_path)
    (run / "history.csv").unlink() if history is None else (run / "history.csv").write_text(history)
    assert len(RunResults.load(run).history) == 0


def test_kept_epochs_leave_out_folds_without_epochs(tmp_path):
    run, _ = fabricate(tmp_path)
    folds = json.loads((run / "run.json").read_text())["folds"]
    edit_json(run / "run.json", folds=[{**folds[0], "best_epoch": None}, *folds[1:]])
    assert RunResults.load(run).kept_epochs == {2: 13, 3: 14, 4: 15}


def test_predictions_of_a_run_without_classes_are_numbers(tmp_path):
    run, _ = fabricate(tmp_path)
    make_numeric(run, Case())
    results = RunResults.load(run)
    assert results.labels == []
    expected = pd.read_csv(run / "predictions.csv")[["label", "prediction"]]
    pd.testing.assert_frame_equal(results.tested[["label", "prediction"]], expected)
    assert results.shown_gain is None


def test_predictions_that_are_no_numbers_are_refused(tmp_path):
    run, _ = fabricate(tmp_path)
    make_numeric(run, Case())
    predictions = pd.read_csv(run / "predictions.csv").assign(prediction="loud")
    predictions.to_csv(run / "predictions.csv", index=False)
    with pytest.raises(
        InputError, match=r"expected a number.* in column prediction of .*predictions\.csv, found 'loud'"
    ):
        RunResults.load(run)


@pytest.mark.parametrize(("labels", "figure"), [(["happy", "sad"], "uar"), ([], "ccc")])
def test_figures_that_are_missing_are_named(tmp_path, labels, figure):
    run, _ = fabricate(tmp_path)
    edit_json(run / "metrics.json", labels=labels, test={"accuracy": 0.5, "mae": 1.0})
    with pytest.raises(InputError, match=rf"has no test\.{figure}$"):
        RunResults.load(run)
    edit_json(run / "metrics.json", protocol=None, test=None)
    with pytest.raises(InputError, match=r"has no protocol, test$"):
        RunResults.load(run)


def test_the_gain_with_most_clips_is_shown(tmp_path):
    run, store = fabricate(tmp_path)
    assert RunResults.load(run).shown_gain is None
    personalize(run, store, Case(), ("normalize",))
    assert RunResults.load(run).shown_gain == "enrolled:20"
