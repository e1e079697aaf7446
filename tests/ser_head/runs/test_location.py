"""Location of runs: the newest of `runs/`, one that is named, or the head that ships, which is told."""

import os
from pathlib import Path

import pytest

from ser_head.runs.location import SHIPPED, is_shipped, newest_run, profiles_of, resolve_run

EMODB = SHIPPED["emodb"].folder


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    caplog.set_level("INFO")


def write(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "run.json").write_text("{}")
    return folder


def test_the_newest_run_is_the_one_written_last_whatever_was_added_later(tmp_path: Path) -> None:
    assert newest_run(tmp_path) is None
    assert newest_run(tmp_path / "nowhere") is None
    for name in ("b", "a", ".c.tmp-7"):  # the last one of a training that still writes
        write(tmp_path / name)
    os.utime(tmp_path / "b" / "run.json", (1, 1))
    (tmp_path / "b" / "profiles").mkdir()
    assert newest_run(tmp_path) == tmp_path / "a"


def test_without_a_run_it_is_the_head_that_ships_and_that_is_told_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    assert resolve_run(None) == EMODB
    (record,) = caplog.records
    assert record.getMessage().startswith(
        "no run in runs/: taking the head that ships (EmoDB: German, acted, ten voices"
    )


def test_a_run_of_ones_own_comes_first_and_needs_no_word(caplog: pytest.LogCaptureFixture) -> None:
    run = write(Path("runs/mine"))
    assert resolve_run(None) == run
    assert resolve_run("elsewhere") == Path("elsewhere")
    assert resolve_run(run) == run
    assert not caplog.records


def test_the_head_that_ships_has_a_name_unless_a_run_of_that_name_is_here(caplog: pytest.LogCaptureFixture) -> None:
    Path("emodb").mkdir()  # a corpus may well be called so
    assert resolve_run("emodb") == resolve_run(Path("emodb")) == EMODB
    (Path("emodb") / "run.json").write_text("{}")
    assert resolve_run("emodb") == Path("emodb")
    assert not caplog.records


def test_profiles_of_a_head_that_ships_are_where_one_works(tmp_path: Path) -> None:
    assert is_shipped(EMODB / ".." / EMODB.name)
    assert profiles_of(EMODB) == Path("profiles")
    assert not is_shipped(tmp_path)
    assert profiles_of(tmp_path) == tmp_path / "profiles"
