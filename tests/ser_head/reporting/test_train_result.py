"""A finished training as a notebook shows it."""

from pathlib import Path

import pytest

from ser_head.reporting.train_result import TrainResult
from tests.ser_head.fabricated import Case, fabricate, personalize


def test_it_shows_figures_and_plots_without_the_store(tmp_path: Path) -> None:
    run, store = fabricate(tmp_path)
    personalize(run, store, Case(), ("normalize",))
    store.unlink()
    shown = TrainResult.load(run)._repr_html_()
    assert "<html" not in shown
    assert str(run) in shown
    assert "kfold:4" in shown
    assert "No test speaker was in training." in shown
    for condition in ("enrolled:20", "plain", "unknown"):
        assert f"<td>{condition}</td>" in shown
    assert shown.count("<img ") >= 3
    assert "Confusion matrix of 4 classes" in shown


def test_shared_speakers_are_told(tmp_path: Path) -> None:
    run, _ = fabricate(tmp_path, disjoint=False, protocol="random")
    assert "Some test speakers were in training." in TrainResult.load(run)._repr_html_()


def test_in_one_line_it_is_its_main_figure(tmp_path: Path) -> None:
    run, _ = fabricate(tmp_path)
    result = TrainResult.load(run)
    uar, num_tested = result.metrics["test"]["uar"], result.metrics["n_test"]
    assert repr(result) == f"TrainResult(UAR {uar:.3f} on {num_tested} clips, kfold:4, run {run})"
    with pytest.raises(ValueError, match="expected a run folder"):
        TrainResult.load(tmp_path)
