"""Run folders: written whole or not at all, never over another run, and refused if damaged."""

import json
from pathlib import Path

import pytest

from ser_embed.errors import InputError
from ser_head.runs import location
from ser_head.runs.run import Run
from ser_head.runs.writer import RunWriter


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(location, "RUNS", tmp_path / "runs")


def write(destination=None):
    with RunWriter(destination, "mlp") as writer:
        writer.write_json("run.json", {})
        return writer.commit()


def test_runs_of_one_name_are_numbered(tmp_path):
    assert [write().relative_to(tmp_path).as_posix() for _ in range(3)] == ["runs/mlp", "runs/mlp-2", "runs/mlp-3"]
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["mlp", "mlp-2", "mlp-3"]


def test_a_requested_folder_may_exist_if_it_is_empty(tmp_path):
    (tmp_path / "mine").mkdir()
    assert write(tmp_path / "mine") == tmp_path / "mine"
    with pytest.raises(InputError, match="expected a new folder for the run, but .*mine exists"):
        write(tmp_path / "mine")


def test_the_working_directory_is_no_new_folder():
    with pytest.raises(InputError, match="expected a new folder for the run"):
        write(Path("."))


def test_a_second_training_into_one_folder_is_refused_before_it_begins(tmp_path):
    with RunWriter(tmp_path / "mine", "mlp") as first:
        with pytest.raises(InputError, match="another training is writing to .*mine; .* choose another --out"):
            RunWriter(tmp_path / "mine", "mlp")
        first.write_json("run.json", {})
        first.commit()
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_crash_leaves_no_half_run(tmp_path):
    with pytest.raises(ZeroDivisionError), RunWriter(None, "mlp") as writer:
        writer.write_json("run.json", {"half": 1 / 0})
    assert not list((tmp_path / "runs").iterdir())


def test_a_number_that_json_cannot_hold_is_an_error():
    with pytest.raises(ValueError, match="not JSON compliant"), RunWriter(None, "mlp") as writer:
        writer.write_json("metrics.json", {"uar": float("nan")})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "expected a run folder with a run.json, found none"),
        ("{", "is damaged: run.json cannot be used"),
        ("[]", "is damaged: run.json cannot be used"),
        (json.dumps({"format": "other", "version": 9}), "expected ser-run 1, but .*run.json is other 9"),
        (json.dumps({"format": "ser-run", "version": 1}), "is damaged: run.json cannot be used"),
    ],
)
def test_a_folder_that_is_no_run_is_refused(tmp_path, text, message):
    if text is not None:
        (tmp_path / "run.json").write_text(text)
    with pytest.raises(InputError, match=message):
        Run.load(tmp_path)
