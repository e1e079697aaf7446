"""Files: drafts of killed processes are swept, those of running ones are not."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from ser_embed.files import atomic_folder, atomic_write

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a signal that cannot be caught")


def _stop_halfway(path: Path, is_folder: bool) -> None:
    with (atomic_folder if is_folder else atomic_write)(path) as draft:
        (draft / "part" if is_folder else draft).write_text("half")
        time.sleep(60)


def _stop_between_renames(path: Path) -> None:
    rename = os.rename
    os.rename = lambda source, target: time.sleep(60) if target == path else rename(source, target)
    with atomic_folder(path) as draft:
        (draft / "new").touch()


def start_and_kill(target: object, *args: object, folder: Path, kill: bool = True) -> multiprocessing.Process:
    """Run a function in a process until its draft is there and, if asked to, kill it."""
    process = multiprocessing.get_context("spawn").Process(target=target, args=args)
    before = set(folder.iterdir())
    process.start()
    deadline = time.monotonic() + 30
    while set(folder.iterdir()) == before and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.2)
    if kill:
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    return process


@pytest.mark.parametrize("is_folder", [False, True])
def test_the_draft_of_a_killed_process_is_swept_by_the_next_write(tmp_path: Path, is_folder: bool) -> None:
    start_and_kill(_stop_halfway, tmp_path / "old", is_folder, folder=tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    with atomic_write(tmp_path / "new") as draft:
        draft.write_text("whole")
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_the_draft_of_a_running_process_stays(tmp_path: Path) -> None:
    process = start_and_kill(_stop_halfway, tmp_path / "old", False, folder=tmp_path, kill=False)
    try:
        with atomic_write(tmp_path / "new") as draft:
            draft.write_text("whole")
        assert len(list(tmp_path.iterdir())) == 2
    finally:
        process.kill()
        process.join()


def test_a_folder_that_was_moved_away_and_not_replaced_is_put_back(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "old").touch()
    start_and_kill(_stop_between_renames, tmp_path / "f", folder=tmp_path)
    assert not (tmp_path / "f").exists()
    with atomic_write(tmp_path / "other") as draft:
        draft.touch()
    assert os.listdir(tmp_path / "f") == ["old"]
    assert sorted(os.listdir(tmp_path)) == ["f", "other"]
