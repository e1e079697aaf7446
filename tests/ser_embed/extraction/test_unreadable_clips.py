"""Unreadable and missing clips: what is reported, and which vectors stay in the store."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

import ser_embed
from ser_embed.extract import main
from ser_embed.store.reader import Store
from tests.ser_embed.conftest import tone, write_corpus
from tests.ser_embed.extraction.conftest import NUM_CLIPS, vector_bytes

DAMAGES = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:3_000]),
    "silent": lambda path: soundfile.write(path, np.zeros(8_000), 16_000),
    "not audio": lambda path: path.write_bytes(b"text" * 500),
    "NaN": lambda path: soundfile.write(path, np.full(8_000, np.nan), 16_000, subtype="FLOAT"),
    "too short": lambda path: soundfile.write(path, tone(399), 16_000),
    "git-lfs pointer": lambda path: path.write_bytes(b"version https://git-lfs.github.com/spec/v1\nsize 9\n"),
}


@pytest.mark.parametrize("reason", DAMAGES)
@pytest.mark.parametrize("num_clips", [1, 5])
def test_an_unreadable_clip_is_reported_and_the_others_are_extracted(
    tmp_path: Path, extract: Callable, capfd: pytest.CaptureFixture, reason: str, num_clips: int
) -> None:
    data = write_corpus(tmp_path / "data" / "tones", num_clips)
    DAMAGES[reason](data / "tones" / "000.wav")
    code = main(["--model", "mfcc", "--data", str(data), "--store", str(tmp_path / "s.h5")])
    out, err = capfd.readouterr()
    assert code == 3
    assert f"{num_clips - 1} extracted" in out
    assert "unreadable: tones/000.wav: " in err
    assert reason in err
    with Store(tmp_path / "s.h5") as store:
        assert len(store) == num_clips - 1
        assert store.unreadable[["utterance_id", "path"]].to_numpy().tolist() == [["tones/000", "tones/000.wav"]]
        assert reason in store.unreadable["reason"].iloc[0]
    soundfile.write(data / "tones" / "000.wav", tone(5_000), 16_000)  # repaired
    assert main(["--model", "mfcc", "--data", str(data), "--store", str(tmp_path / "s.h5")]) == 0
    with Store(tmp_path / "s.h5") as store:
        assert (len(store), len(store.unreadable)) == (num_clips, 0)


def test_a_clip_that_became_unreadable_is_removed_from_the_store(data: Path, extract: Callable) -> None:
    extract(data)
    (data / "tones" / "004.wav").write_bytes(b"")
    report = extract(data)
    assert (report.extracted, report.unchanged, report.clips) == (0, NUM_CLIPS - 1, NUM_CLIPS - 1)
    assert [clip["utterance_id"] for clip in report.unreadable] == ["tones/004"]
    with Store(data.parent / "s.h5") as store:
        assert "tones/004" not in store.utterances["utterance_id"].tolist()
        assert store.unreadable["utterance_id"].tolist() == ["tones/004"]


def test_a_limit_does_not_shorten_the_list_of_unreadable_clips(data: Path, extract: Callable) -> None:
    (data / "tones" / "020.wav").write_bytes(b"")
    extract(data)
    assert extract(data, limit=3).unreadable == ()
    with Store(data.parent / "s.h5") as store:
        assert store.unreadable["path"].tolist() == ["tones/020.wav"]


def _replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()  # not even root can read a folder as a file


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("make_missing", [Path.unlink, _replace_by_folder])
def test_a_clip_whose_file_is_missing_keeps_its_vector(
    data: Path, extract: Callable, caplog: pytest.LogCaptureFixture, make_missing: Callable, force: bool
) -> None:
    path = extract(data).store
    before, file = vector_bytes(path), data / "tones" / "004.wav"
    audio = file.read_bytes()
    make_missing(file)
    for _ in range(2):
        caplog.clear()
        report = extract(data, force=force)
        extracted = NUM_CLIPS - 1 if force else 0
        assert (report.extracted, report.unchanged, report.clips) == (extracted, NUM_CLIPS - 1 - extracted, NUM_CLIPS)
        assert [clip["path"] for clip in report.unreadable] == ["tones/004.wav"]
        assert "1 clips that cannot be read now keep their stored vectors, such as tones/004" in caplog.text
        assert vector_bytes(path) == before
        with Store(path) as store:
            assert store.unreadable["path"].tolist() == ["tones/004.wav"]
        assert len(ser_embed.inspect(path, verify=True)["disagreements"]) == 1  # the clip's file is missing
    if file.is_dir():
        file.rmdir()
    file.write_bytes(audio)
    report = extract(data)
    assert (report.extracted, report.unchanged, report.unreadable) == (0, NUM_CLIPS, ())
    assert ser_embed.inspect(path, verify=True)["disagreements"] == []


def test_a_whole_corpus_may_be_missing_for_a_while(data: Path, extract: Callable, tmp_path: Path) -> None:
    path = extract(data).store
    before = vector_bytes(path)
    for file in (data / "tones").glob("*.wav"):
        file.rename(tmp_path / file.name)
    report = extract(data)
    assert (report.extracted, report.unchanged, len(report.unreadable)) == (0, 0, NUM_CLIPS)
    assert vector_bytes(path) == before
    for file in tmp_path.glob("*.wav"):
        file.rename(data / "tones" / file.name)
    assert extract(data).unchanged == NUM_CLIPS


def test_a_run_that_can_read_no_clip_does_not_empty_the_store(
    data: Path, extract: Callable, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    extract(data)
    before = {file.name: file.read_bytes() for file in tmp_path.glob("s.h5*")}
    for file in (data / "tones").glob("*.wav"):
        file.write_bytes(b"")
    assert main(["--model", "mfcc", "--data", str(data), "--store", str(tmp_path / "s.h5")]) == 2
    expected = f"error: expected clips that can be read in {data}, but none of the {NUM_CLIPS} can be read, such as "
    assert capfd.readouterr() == ("", f"{expected}tones/000.wav: empty: 0 bytes\n")
    assert {file.name: file.read_bytes() for file in tmp_path.glob("s.h5*")} == before


def test_a_store_without_clips_is_not_an_error(data: Path, tmp_path: Path, extract: Callable) -> None:
    for file in (data / "tones").glob("*.wav"):
        file.write_bytes(b"")
    first, second = extract(data), extract(data)
    assert (first.clips, len(first.unreadable)) == (0, NUM_CLIPS)
    assert (second.clips, second.unreadable) == (0, first.unreadable)


@pytest.mark.parametrize("pooling", ["mean", "frames"])
def test_a_second_run_with_an_unreadable_clip_writes_nothing(data: Path, extract: Callable, pooling: str) -> None:
    (data / "tones" / "001.wav").write_bytes(b"")
    before = extract(data, pooling=pooling).store.stat().st_ino
    again = extract(data, pooling=pooling)
    assert (again.unchanged, len(again.unreadable)) == (NUM_CLIPS - 1, 1)
    assert again.store.stat().st_ino == before
