"""Tracked trainings: what trackers get, that they change nothing in a run, and what is refused before it begins."""

import importlib.util
import json
import logging

import pandas as pd
import pytest

import ser_head
from ser_embed.errors import EXIT_BAD_INPUT, InputError
from ser_embed.tracking.registry import TRACKERS
from ser_head.train import main
from ser_head.training import parallel
from tests.ser_embed.tracking.recorder import MOMENTS, Recorder
from tests.ser_head.conftest import Recipe, write_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_store(tmp_path_factory.mktemp("store") / "tiny.h5", Recipe())


def record(recorders, monkeypatch):
    for name, recorder in recorders.items():
        monkeypatch.setitem(TRACKERS, name, recorder.spec)
    return ",".join(recorders)


def test_a_run_is_tracked_whole_beside_trackers_that_fail(store, tmp_path, monkeypatch, caplog):
    recorder = Recorder()
    failing = {moment: Recorder(fails_at=moment) for moment in MOMENTS}
    names = record({**failing, "sound": recorder}, monkeypatch)
    tracked = ser_head.train(store=store, protocol="random", epochs=3, out=tmp_path / "run", track=names)
    warnings = [message for _, level, message in caplog.record_tuples if level >= logging.WARNING]
    assert sorted(text.split()[1] for text in warnings) == sorted(MOMENTS)

    (run,) = recorder.runs
    assert (run.name, run.command) == ("run", "train")
    settings = json.loads((tracked.run / "run.json").read_text())["settings"]
    assert json.loads(json.dumps(run.config)) == {**settings, "encoder": "tiny"}
    assert "track" not in settings
    rows = [{"fold": int(p.series[-1]), p.axis: p.step, **p.values} for p in recorder.points]
    history = pd.read_csv(tracked.run / "history.csv")
    pd.testing.assert_frame_equal(pd.DataFrame(rows)[history.columns], history)
    (results,) = recorder.results
    test = tracked.metrics["test"]
    assert results.figures["test/uar"] == test["uar"]
    assert results.figures["test/ci95/uar/low"] == test["ci95"]["uar"][0]
    assert results.figures["test/per_class/sad/recall"] == test["per_class"]["sad"]["recall"]
    assert results.figures["validation/ece"] == tracked.metrics["validation"]["ece"]
    conditions = tracked.metrics["conditions"]
    assert conditions
    for condition, figures in conditions.items():
        assert results.figures[f"conditions/{condition}/accuracy"] == figures["accuracy"]
    assert [row[1:] for row in results.tables["test/confusion"].rows] == test["confusion"]
    table = pd.DataFrame(results.tables["test/per_class"].rows, columns=results.tables["test/per_class"].columns)
    assert table.set_index("label").to_dict("index") == test["per_class"]
    assert results.files == [tracked.run / "report.html"]
    assert results.files[0].is_file()
    assert recorder.endings == [True]


def test_a_head_without_epochs_and_an_ensemble_are_tracked_by_their_results(make_store, tmp_path, monkeypatch):
    recorder = Recorder()
    track = record({"mine": recorder}, monkeypatch)
    lda = ser_head.train(store=make_store(), head="lda", out=tmp_path / "lda", track=track)
    ser_head.train(store=make_store(), head="ensemble", members=[lda.run, lda.run], out=tmp_path / "both", track=track)
    assert recorder.points == []
    assert [run.name for run in recorder.runs] == ["lda", "both"]
    assert [results.figures["test/uar"] for results in recorder.results] == [lda.metrics["test"]["uar"]] * 2


def test_a_training_that_fails_ends_its_run_as_failed(store, tmp_path, monkeypatch):
    recorder = Recorder()
    track = record({"mine": recorder}, monkeypatch)
    with pytest.raises(InputError, match="diverged"):
        ser_head.train(store=store, learning_rate=1e30, epochs=2, track=track, out=tmp_path / "run")
    assert recorder.endings == [False]
    assert recorder.results == []


@pytest.mark.parametrize(
    ("track", "words"),
    [("tensorboard,aim", "--track has to be made of"), ("mlflow", "--track mlflow needs mlflow, which is not install")],
)
def test_what_cannot_be_tracked_is_one_line_before_anything_is_done(track, words, store, tmp_path, monkeypatch, capsys):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: name != "mlflow" and find_spec(name, *rest) or None
    )
    monkeypatch.setattr(parallel, "FoldRunner", None)
    monkeypatch.chdir(tmp_path)
    assert main(["--store", str(store), "--track", track, "--out", "run"]) == EXIT_BAD_INPUT
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert words in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
