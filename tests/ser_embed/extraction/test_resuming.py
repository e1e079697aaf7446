"""Resuming of killed extractions: they continue from their part files and give the store of an uninterrupted run."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

import ser_embed
from ser_embed.errors import InputError
from ser_embed.store.reader import Store
from tests.ser_embed.conftest import tone, write_corpus
from tests.ser_embed.extraction.conftest import NUM_CLIPS, Killed, killed_after, vector_bytes


def test_a_killed_run_continues_where_it_stopped(
    data: Path, models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = str(models["hubert-large"])
    whole = ser_embed.extract(model, data=data, store=tmp_path / "whole.h5", chunk=5)
    with killed_after(2, monkeypatch), pytest.raises(Killed):
        ser_embed.extract(model, data=data, store=tmp_path / "resumed.h5", chunk=5)
    assert not (tmp_path / "resumed.h5").exists()
    report = ser_embed.extract(model, data=data, store=tmp_path / "resumed.h5", chunk=5)
    assert report.extracted == whole.extracted == NUM_CLIPS
    assert report.audio_s < whole.audio_s
    assert vector_bytes(tmp_path / "resumed.h5") == vector_bytes(tmp_path / "whole.h5")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["data", "resumed.h5", "whole.h5"]


def test_a_damaged_part_file_is_reported_and_the_old_store_kept(
    data: Path, extract: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extract(data, limit=3)
    before = (tmp_path / "s.h5").read_bytes()
    with killed_after(2, monkeypatch), pytest.raises(Killed):
        extract(data, chunk=5)
    part = min((tmp_path / "s.h5.parts").iterdir())
    damaged = bytearray(part.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    part.write_bytes(damaged)
    with pytest.raises(InputError, match=f"the part file .*{part.name} is damaged; delete it and run again"):
        extract(data, chunk=5)
    assert (tmp_path / "s.h5").read_bytes() == before
    part.unlink()
    assert extract(data, chunk=5).clips == NUM_CLIPS
    assert len(vector_bytes(tmp_path / "s.h5")) == NUM_CLIPS


def test_part_files_of_another_spec_are_refused(
    data: Path, extract: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with killed_after(1, monkeypatch), pytest.raises(Killed):
        extract(data, chunk=5)
    with pytest.raises(InputError, match="an unfinished extraction in .* holds vectors with pooling"):
        extract(data, pooling="frames")
    assert extract(data, pooling="frames", force=True).extracted == NUM_CLIPS


def test_a_file_deleted_before_the_resumed_run_keeps_its_vector(
    data: Path, extract: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    with killed_after(2, monkeypatch), pytest.raises(Killed):
        extract(data, chunk=5)
    (data / "tones" / "003.wav").unlink()
    report = extract(data, chunk=5)
    assert (report.extracted, report.unchanged, report.clips) == (NUM_CLIPS, 0, NUM_CLIPS)
    assert [clip["utterance_id"] for clip in report.unreadable] == ["tones/003"]


def test_a_clip_repaired_before_the_resumed_run_is_extracted(
    data: Path, extract: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("001.wav", "003.wav"):
        (data / "tones" / name).write_bytes(b"")
    with killed_after(2, monkeypatch), pytest.raises(Killed):
        extract(data, chunk=5)
    soundfile.write(data / "tones" / "003.wav", tone(5_000), 16_000)
    report = extract(data, chunk=5)
    assert (report.extracted, report.clips) == (NUM_CLIPS - 1, NUM_CLIPS - 1)
    assert [clip["utterance_id"] for clip in report.unreadable] == ["tones/001"]
    with Store(tmp_path / "s.h5") as store:
        assert store.unreadable["utterance_id"].tolist() == ["tones/001"]


def kill_and_resume(models: dict[str, Path], folder: Path, kills: int) -> dict:
    """Run the script `kill_and_resume.py`, which kills real extractions, and return its counts."""
    write_corpus(folder / "data" / "tones", 60)
    script = Path(__file__).with_name("kill_and_resume.py")
    command = [sys.executable, str(script), str(models["hubert-large"]), str(folder), str(kills)]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    shutil.rmtree(folder)
    return json.loads(process.stdout)


def test_sigkill_loses_nothing(models: dict[str, Path], tmp_path: Path) -> None:
    counts = kill_and_resume(models, tmp_path, 4)
    assert counts["kills"] == 4
    assert counts["damaged"] == []


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_hundred_sigkills_lose_nothing(models: dict[str, Path], tmp_path: Path) -> None:
    counts = kill_and_resume(models, tmp_path, 200)
    assert counts["kills"] == 200
    assert counts["damaged"] == []
