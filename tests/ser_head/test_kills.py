"""Killed and parallel processes of stage 2 lose nothing and leave nothing, in a process of its own that forks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs forks")
def test_fifty_kills_of_each_command_and_a_hundred_enrolments_at_the_same_time(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.ser_head.kills", str(tmp_path), "50", "100"]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    counts = json.loads(process.stdout.splitlines()[-1])
    for name in ("train", "enroll", "predict"):
        assert (counts[name]["kills"], counts[name]["problems"], counts[name]["left"]) == (50, [], [])
    assert counts["parallel"] == {"trials": 100, "with_all_12_clips": 100, "kept": [12]}


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs forks")
def test_thirty_kills_of_a_fine_tuning_change_no_weight(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.ser_head.finetuning_kills", str(tmp_path), "30"]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    counts = json.loads(process.stdout.splitlines()[-1])
    assert (counts["kills"], counts["problems"], counts["left"]) == (30, [], [])
    assert counts["completed"] > 0
