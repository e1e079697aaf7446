"""Every tracker: what is read back by the tool's own reader, what is written where, and that nothing is sent."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ser_embed.tracking.registry import TRACKERS
from tests.ser_embed.tracking.small_run import CURVES, REPORT, RUN

ROOT = Path(__file__).parents[3]
NAMES = [pytest.param(name, marks=pytest.mark.slow if name == "mlflow" else ()) for name in TRACKERS]


@pytest.fixture(scope="module", params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    """A tracker whose package is installed."""
    name = request.param
    if importlib.util.find_spec(TRACKERS[name].package) is None:
        pytest.skip(f"{TRACKERS[name].package} is not installed: pip install '.[{name}]'")
    return name


@pytest.fixture(scope="module")
def tracked(name: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder in which a run was tracked, beside an empty home, and what the tool's reader sees."""
    folder = tmp_path_factory.mktemp(name)
    for part in ("home", "work"):
        (folder / part).mkdir()
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("WANDB_", "TRACKIO_", "MLFLOW_"))}
    home = {"HOME": str(folder / "home"), "USERPROFILE": str(folder / "home"), "PYTHONPATH": str(ROOT)}
    process = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.ser_embed.tracking.small_run", name],
        capture_output=True,
        text=True,
        cwd=folder / "work",
        env={name: value for name, value in kept.items() if not name.startswith("XDG_")} | home,
    )
    assert process.returncode == 0, process.stderr
    assert "--track" not in process.stderr  # no warning
    return folder, json.loads(process.stdout)


def test_the_reader_sees_settings_curves_and_figures(name: str, tracked: tuple[Path, dict[str, Any]]) -> None:
    _, read = tracked
    config = {key: value for key, value in read["config"].items() if key != "command"}
    assert {key: str(value) for key, value in config.items()} == {key: str(value) for key, value in RUN.config.items()}
    curves = {key.replace("mfcc=100", "mfcc_100") if name == "mlflow" else key: CURVES[key] for key in CURVES}
    assert read["curves"] == curves
    assert read["figures"] == {"test/uar": 0.625}  # what is not finite is left out


def test_the_reader_sees_tables_and_the_report(tracked: tuple[Path, dict[str, Any]]) -> None:
    folder, read = tracked
    (table,) = read["tables"].items()
    assert table[0] == "test/confusion"
    for cell in ("predicted angry", "angry", "3", "sad", "low"):
        assert cell in table[1]
    assert (folder / "work" / REPORT).read_text("utf-8") in read["files"]


def test_it_prints_nothing_and_writes_into_one_folder(name: str, tracked: tuple[Path, dict[str, Any]]) -> None:
    folder, read = tracked
    assert read["printed"] == ""
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    outside = {path for path in files if not path.startswith(f"work/tracking/{name}/")}
    assert outside == {f"work/{REPORT}"}
