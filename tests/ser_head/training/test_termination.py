"""Termination of a training by SIGTERM: exit code 143, and nothing of it is left, at whatever moment it comes."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ser_embed.termination import EXIT_TERMINATED
from ser_head.reporting import run_report
from ser_head.train import main
from ser_head.training import fold_runner
from tests.ser_head.conftest import Recipe, write_store

ROOT = Path(__file__).parents[3]
MOMENTS = {
    "when a fold is prepared": (fold_runner, "prepare_fold"),
    "when a scorer is saved": (fold_runner, "save_scorer"),
    "when clips are scored": (fold_runner, "score_condition"),
    "when the report is written": (run_report, "render_page"),
}


@pytest.fixture
def store(tmp_path) -> Path:
    (tmp_path / "runs").mkdir()
    return write_store(tmp_path / "tiny.h5", Recipe())


@pytest.mark.parametrize("moment", MOMENTS)
def test_it_leaves_nothing(tmp_path, store, monkeypatch, capsys, moment):
    module, name = MOMENTS[moment]
    original = getattr(module, name)

    def stop(*args, **kwargs):
        signal.raise_signal(signal.SIGTERM)
        return original(*args, **kwargs)

    monkeypatch.setattr(module, name, stop)
    assert main(["--store", str(store), "--head", "lda", "--out", str(tmp_path / "runs" / "mine")]) == EXIT_TERMINATED
    assert capsys.readouterr().err.endswith("stopped\n")
    assert not list((tmp_path / "runs").iterdir())


def test_a_report_that_fails_costs_no_training(tmp_path, store, monkeypatch):
    def fail(*_, **__):
        raise OSError("no space left")

    monkeypatch.setattr(run_report, "render_page", fail)
    assert main(["--store", str(store), "--head", "lda", "--out", str(tmp_path / "runs" / "mine")]) == 1
    assert (tmp_path / "runs" / "mine" / "run.json").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("jobs", ["1", "2"])
@pytest.mark.parametrize("delay_s", [0.0, 0.5, 3.0, 6.0])
def test_a_process_leaves_nothing(tmp_path, store, jobs, delay_s):
    arguments = ["--store", str(store), "--protocol", "kfold:3", "--jobs", jobs, "--epochs", "2000"]
    command = [sys.executable, "-m", "ser_head.train", *arguments, "--out", str(tmp_path / "runs" / "mine")]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        while not list((tmp_path / "runs").glob(".mine.tmp-*")) and process.poll() is None:
            time.sleep(0.05)
        time.sleep(delay_s)
        process.terminate()
        _, err = process.communicate(timeout=60)
    assert process.returncode == EXIT_TERMINATED, err
    assert err.endswith("stopped\n")
    assert not list((tmp_path / "runs").iterdir())
