"""The engine on a corpus of tones: resuming, changes, bad clips, two at once, damage."""

import contextlib
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from filelock import FileLock

import ser_embed
from ser_embed.encoders.base import EncoderOptions
from ser_embed.encoders.features import FeatureEncoder
from ser_embed.errors import InputError, SerError
from ser_embed.extract import main
from ser_embed.extraction import chunks as extraction
from ser_embed.extraction import pipeline
from ser_embed.spec import EmbeddingSpec
from ser_embed.store.reader import Store
from tests.ser_embed.conftest import tone, write_corpus

NUM_CLIPS = 23


def stub(options: EncoderOptions | None = None) -> FeatureEncoder:
    """An encoder that costs nothing: a clip's mean level and length."""
    pooling = (options or EncoderOptions()).pooling or "mean"
    spec = EmbeddingSpec("stub", "", "stub", ("features",), pooling, 2, 16_000, "none", None, None, "float32")
    return FeatureEncoder(spec, lambda waveform: np.array([[np.abs(waveform).mean(), len(waveform)]], np.float32))


@pytest.fixture
def stubbed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., pipeline.ExtractReport]:
    """`ser_embed.extract` with the stub in place of every encoder."""
    monkeypatch.setattr(pipeline, "load_encoder", lambda model, options: stub(options))

    def extract(data: Path, **settings: object) -> pipeline.ExtractReport:
        return ser_embed.extract("mfcc", data=data, store=data.parent / "s.h5", **settings)

    return extract


def contents(path: Path) -> dict[str, bytes]:
    with Store(path) as store:
        return {name: store.read_clip(row).tobytes() for row, name in enumerate(store.utterances["utterance_id"])}


class Killed(BaseException):
    """Stands for a kill that Python lives to see."""


@contextlib.contextmanager
def killed_after(parts: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let an extraction die after it has written so many parts."""
    write, written = extraction.PartFolder.write, []

    def write_or_die(*args: object) -> None:
        if len(written) == parts:
            raise Killed
        written.append(write(*args))  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(extraction.PartFolder, "write", write_or_die)
        yield


def test_a_killed_run_goes_on_where_it_stopped(
    data: Path, models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = str(models["hubert-large"])
    whole = ser_embed.extract(model, data=data, store=tmp_path / "whole.h5", chunk=5)
    with killed_after(2, monkeypatch), pytest.raises(Killed):
        ser_embed.extract(model, data=data, store=tmp_path / "broken.h5", chunk=5)
    assert not (tmp_path / "broken.h5").exists()
    report = ser_embed.extract(model, data=data, store=tmp_path / "broken.h5", chunk=5)
    assert report.extracted == whole.extracted == NUM_CLIPS
    assert report.audio_s < whole.audio_s
    assert contents(tmp_path / "broken.h5") == contents(tmp_path / "whole.h5")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["broken.h5", "data", "whole.h5"]


def test_only_new_and_changed_clips_are_extracted_again(data: Path, stubbed: Callable) -> None:
    assert stubbed(data).extracted == NUM_CLIPS
    before = (data.parent / "s.h5").stat()
    again = stubbed(data)
    assert (again.extracted, again.unchanged) == (0, NUM_CLIPS)
    assert (data.parent / "s.h5").stat().st_ino == before.st_ino  # not even written again
    soundfile.write(data / "tones" / "004.wav", tone(9_999, 4), 16_000)
    soundfile.write(data / "tones" / "900.wav", tone(5_000, 9), 16_000)
    with (data / "tones" / "manifest.csv").open("a") as manifest:
        manifest.write("900.wav,sad,s1,30\n")
    changed = stubbed(data)
    assert (changed.extracted, changed.unchanged, changed.clips) == (2, NUM_CLIPS - 1, NUM_CLIPS + 1)
    with Store(data.parent / "s.h5") as store:
        row = store.utterances["utterance_id"].tolist().index("tones/004")
        assert store.read([row])[0, 0, 1] == 9_999


def test_a_label_put_right_needs_no_extraction(data: Path, stubbed: Callable) -> None:
    stubbed(data)
    manifest = data / "tones" / "manifest.csv"
    manifest.write_text(manifest.read_text().replace("000.wav,angry", "000.wav,fear"))
    assert stubbed(data).extracted == 0
    with Store(data.parent / "s.h5") as store:
        assert store.utterances["emotion"].iloc[0] == "fear"


def test_another_corpus_is_added_to_the_store(data: Path, stubbed: Callable) -> None:
    write_corpus(data / "more", 4)
    stubbed(data, corpus=("tones",))
    report = stubbed(data, corpus=("more",))
    assert (report.extracted, report.clips) == (4, NUM_CLIPS + 4)
    with Store(data.parent / "s.h5") as store:
        names = store.utterances["utterance_id"].tolist()
    assert names == sorted(names)


def test_clips_that_are_gone_stay_in_the_store_and_are_named(
    data: Path, stubbed: Callable, capfd: pytest.CaptureFixture
) -> None:
    stubbed(data)
    manifest = data / "tones" / "manifest.csv"
    lines = manifest.read_text().splitlines(keepends=True)
    manifest.write_text("".join(line for line in lines if not line.startswith("003")))
    assert stubbed(data).clips == NUM_CLIPS
    told = (
        f"1 stored clips are no longer in {data}, such as tones/003; they are kept in the store; --prune drops them\n"
    )
    assert capfd.readouterr().err == told


@pytest.mark.parametrize("force", [False, True])
def test_only_clips_that_are_gone_from_the_corpora_of_this_run_are_pruned(
    data: Path, stubbed: Callable, capfd: pytest.CaptureFixture, force: bool
) -> None:
    write_corpus(data / "more", 4)
    path = stubbed(data).store
    before = contents(path)
    for corpus in ("tones", "more"):
        manifest = data / corpus / "manifest.csv"
        lines = manifest.read_text().splitlines(keepends=True)
        manifest.write_text("".join(line for line in lines if not line.startswith("003")))
    (data / "tones" / "004.wav").unlink()
    options = ["--model", "mfcc", "--data", str(data), "--store", str(path), *(["--force"] if force else [])]
    assert main([*options, "--prune", "--corpus", "tones", "--limit", "10"]) == 3
    out, err = capfd.readouterr()
    assert out.endswith(" unchanged, 1 unreadable, 1 dropped\n")
    assert "no longer" not in err
    assert contents(path) == {name: vector for name, vector in before.items() if name != "tones/003"}
    inode = path.stat().st_ino
    assert stubbed(data, corpus="tones", prune=True).dropped == 0
    assert path.stat().st_ino == inode


def test_a_clip_that_became_unreadable_leaves_the_store(data: Path, stubbed: Callable) -> None:
    stubbed(data)
    (data / "tones" / "004.wav").write_bytes(b"")
    report = stubbed(data)
    assert (report.extracted, report.unchanged, report.clips) == (0, NUM_CLIPS - 1, NUM_CLIPS - 1)
    assert [clip["utterance_id"] for clip in report.unreadable] == ["tones/004"]
    with Store(data.parent / "s.h5") as store:
        assert "tones/004" not in store.utterances["utterance_id"].tolist()
        assert store.unreadable["utterance_id"].tolist() == ["tones/004"]


def test_a_limit_does_not_shorten_the_list_of_unreadable_clips(data: Path, stubbed: Callable) -> None:
    (data / "tones" / "020.wav").write_bytes(b"")
    stubbed(data)
    assert stubbed(data, limit=3).unreadable == ()
    with Store(data.parent / "s.h5") as store:
        assert store.unreadable["path"].tolist() == ["tones/020.wav"]


def test_a_corpus_may_have_columns_called_source_and_row(data: Path, stubbed: Callable) -> None:
    header, *lines = (data / "tones" / "manifest.csv").read_text().splitlines()
    text = [f"{header},source,row", *(f"{line},studio,{number}" for number, line in enumerate(lines))]
    (data / "tones" / "manifest.csv").write_text("\n".join(text))
    path = stubbed(data).store
    with Store(path) as store:
        assert store.utterances["source"].tolist() == ["studio"] * NUM_CLIPS
        assert store.utterances["row"].tolist() == list(range(NUM_CLIPS))
    before = path.stat().st_ino
    assert stubbed(data).unchanged == NUM_CLIPS
    assert path.stat().st_ino == before  # nothing in them is taken for news


def test_a_store_never_mixes_specs(data: Path, stubbed: Callable, tmp_path: Path) -> None:
    stubbed(data)
    before = (tmp_path / "s.h5").read_bytes()
    with pytest.raises(InputError, match=r"s.h5 holds vectors with pooling 'mean', not 'frames'"):
        stubbed(data, pooling="frames")
    assert (tmp_path / "s.h5").read_bytes() == before
    assert stubbed(data, pooling="frames", force=True).extracted == NUM_CLIPS


def test_a_part_that_was_damaged_is_named_and_the_old_store_kept(
    data: Path, stubbed: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stubbed(data, limit=3)
    before = (tmp_path / "s.h5").read_bytes()
    with killed_after(2, monkeypatch), pytest.raises(Killed):
        stubbed(data, chunk=5)
    part = min((tmp_path / "s.h5.parts").iterdir())
    damaged = bytearray(part.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    part.write_bytes(damaged)
    with pytest.raises(InputError, match=f"the part file .*{part.name} is damaged; delete it and run again"):
        stubbed(data, chunk=5)
    assert (tmp_path / "s.h5").read_bytes() == before
    part.unlink()
    assert stubbed(data, chunk=5).clips == NUM_CLIPS
    assert len(contents(tmp_path / "s.h5")) == NUM_CLIPS


def test_parts_of_another_spec_are_not_mixed_in(
    data: Path, stubbed: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with killed_after(1, monkeypatch), pytest.raises(Killed):
        stubbed(data, chunk=5)
    with pytest.raises(InputError, match="an unfinished extraction in .* holds vectors with pooling"):
        stubbed(data, pooling="frames")
    assert stubbed(data, pooling="frames", force=True).extracted == NUM_CLIPS


def test_the_second_of_two_extractors_is_told_and_stops(data: Path, stubbed: Callable, tmp_path: Path) -> None:
    with FileLock(tmp_path / "s.h5.lock"), pytest.raises(InputError, match="another extraction is writing to"):
        stubbed(data)
    assert not (tmp_path / "s.h5").exists()


BAD = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:3_000]),
    "silent": lambda path: soundfile.write(path, np.zeros(8_000), 16_000),
    "not audio": lambda path: path.write_bytes(b"text" * 500),
    "NaN": lambda path: soundfile.write(path, np.full(8_000, np.nan), 16_000, subtype="FLOAT"),
    "too short": lambda path: soundfile.write(path, tone(399), 16_000),
    "git-lfs pointer": lambda path: path.write_bytes(b"version https://git-lfs.github.com/spec/v1\nsize 9\n"),
}


@pytest.mark.parametrize("reason", BAD)
@pytest.mark.parametrize("num_clips", [1, 5])
def test_a_bad_clip_is_named_and_the_rest_extracted(
    tmp_path: Path, stubbed: Callable, capfd: pytest.CaptureFixture, reason: str, num_clips: int
) -> None:
    data = write_corpus(tmp_path / "data" / "tones", num_clips)
    BAD[reason](data / "tones" / "000.wav")
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
    soundfile.write(data / "tones" / "000.wav", tone(5_000), 16_000)  # and once it is put right
    assert main(["--model", "mfcc", "--data", str(data), "--store", str(tmp_path / "s.h5")]) == 0
    with Store(tmp_path / "s.h5") as store:
        assert (len(store), len(store.unreadable)) == (num_clips, 0)


def _cannot_be_opened(path: Path) -> None:
    path.unlink()
    path.mkdir()  # a folder cannot be read, by root neither


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("lose", [Path.unlink, _cannot_be_opened])
def test_a_clip_whose_file_is_away_keeps_its_vector(
    data: Path, stubbed: Callable, capfd: pytest.CaptureFixture, lose: Callable, force: bool
) -> None:
    path = stubbed(data).store
    before, file = contents(path), data / "tones" / "004.wav"
    saved = file.read_bytes()
    lose(file)
    for _ in range(2):
        report = stubbed(data, force=force)
        again = NUM_CLIPS - 1 if force else 0
        assert (report.extracted, report.unchanged, report.clips) == (again, NUM_CLIPS - 1 - again, NUM_CLIPS)
        assert [clip["path"] for clip in report.unreadable] == ["tones/004.wav"]
        assert "1 clips that cannot be read now keep their stored vectors, such as tones/004" in capfd.readouterr().err
        assert contents(path) == before
        with Store(path) as store:
            assert store.unreadable["path"].tolist() == ["tones/004.wav"]
        assert len(ser_embed.inspect(path, verify=True)["disagreements"]) == 1  # the file is not there
    if file.is_dir():
        file.rmdir()
    file.write_bytes(saved)
    report = stubbed(data)
    assert (report.extracted, report.unchanged, report.unreadable) == (0, NUM_CLIPS, ())
    assert ser_embed.inspect(path, verify=True)["disagreements"] == []


def test_a_whole_corpus_may_be_away_for_a_while(data: Path, stubbed: Callable, tmp_path: Path) -> None:
    path = stubbed(data).store
    before = contents(path)
    for file in (data / "tones").glob("*.wav"):
        file.rename(tmp_path / file.name)
    report = stubbed(data)
    assert (report.extracted, report.unchanged, len(report.unreadable)) == (0, 0, NUM_CLIPS)
    assert contents(path) == before
    for file in tmp_path.glob("*.wav"):
        file.rename(data / "tones" / file.name)
    assert stubbed(data).unchanged == NUM_CLIPS


def test_a_file_that_went_away_before_the_resume_keeps_its_vector(
    data: Path, stubbed: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    with killed_after(2, monkeypatch), pytest.raises(Killed):
        stubbed(data, chunk=5)
    (data / "tones" / "003.wav").unlink()
    report = stubbed(data, chunk=5)
    assert (report.extracted, report.unchanged, report.clips) == (NUM_CLIPS, 0, NUM_CLIPS)
    assert [clip["utterance_id"] for clip in report.unreadable] == ["tones/003"]


def test_a_store_is_not_emptied(data: Path, stubbed: Callable, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    stubbed(data)
    before = {file.name: file.read_bytes() for file in tmp_path.glob("s.h5*")}
    for file in (data / "tones").glob("*.wav"):
        file.write_bytes(b"")
    assert main(["--model", "mfcc", "--data", str(data), "--store", str(tmp_path / "s.h5")]) == 2
    expected = f"error: expected clips that can be read in {data}, but none of the {NUM_CLIPS} can be read, such as "
    assert capfd.readouterr() == ("", f"{expected}tones/000.wav: empty: 0 bytes\n")
    assert {file.name: file.read_bytes() for file in tmp_path.glob("s.h5*")} == before


def test_a_store_without_clips_may_stay_so(data: Path, tmp_path: Path, stubbed: Callable) -> None:
    for file in (data / "tones").glob("*.wav"):
        file.write_bytes(b"")
    first, second = stubbed(data), stubbed(data)
    assert (first.clips, len(first.unreadable)) == (0, NUM_CLIPS)
    assert (second.clips, second.unreadable) == (0, first.unreadable)


def test_a_batch_of_every_length_and_a_clip_too_long(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = stub()
    encoder.max_clip_s = 0.5
    monkeypatch.setattr(pipeline, "load_encoder", lambda model, options: encoder)
    report = ser_embed.extract("mfcc", data=data, store=tmp_path / "s.h5", batch_seconds=0.001)
    lengths = [4_000 + 257 * (index * 7 % 23) for index in range(NUM_CLIPS)]
    assert report.extracted == sum(length <= 8_000 for length in lengths)
    assert all("too long" in clip["reason"] for clip in report.unreadable)


def test_a_clip_put_right_before_the_resume_is_read_in_that_run(
    data: Path, stubbed: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("001.wav", "003.wav"):
        (data / "tones" / name).write_bytes(b"")
    with killed_after(2, monkeypatch), pytest.raises(Killed):
        stubbed(data, chunk=5)
    soundfile.write(data / "tones" / "003.wav", tone(5_000), 16_000)
    report = stubbed(data, chunk=5)
    assert (report.extracted, report.clips) == (NUM_CLIPS - 1, NUM_CLIPS - 1)
    assert [clip["utterance_id"] for clip in report.unreadable] == ["tones/001"]
    with Store(tmp_path / "s.h5") as store:
        assert store.unreadable["utterance_id"].tolist() == ["tones/001"]


@pytest.mark.parametrize("pooling", ["mean", "frames"])
def test_a_second_run_with_a_bad_clip_writes_nothing(data: Path, stubbed: Callable, pooling: str) -> None:
    (data / "tones" / "001.wav").write_bytes(b"")
    before = stubbed(data, pooling=pooling).store.stat().st_ino
    again = stubbed(data, pooling=pooling)
    assert (again.unchanged, len(again.unreadable)) == (NUM_CLIPS - 1, 1)
    assert again.store.stat().st_ino == before


def test_vectors_that_are_not_finite_are_never_stored(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ill = len(soundfile.read(data / "tones" / "004.wav")[0])
    encoder = stub()
    encoder._frames_of = lambda wave: np.array([[0, np.nan if len(wave) == ill else 1]], np.float32)
    monkeypatch.setattr(pipeline, "load_encoder", lambda model, options: encoder)
    report = ser_embed.extract("mfcc", data=data, store=tmp_path / "s.h5")
    reason = "the encoder gave numbers that are not finite"
    assert report.unreadable == ({"utterance_id": "tones/004", "path": "tones/004.wav", "reason": reason},)
    with Store(tmp_path / "s.h5") as store:
        assert len(store) == NUM_CLIPS - 1
        assert np.isfinite(store.vectors[:]).all()


def test_no_more_clips_than_a_chunk_are_in_memory(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held, most, lock = set(), [0], threading.Lock()
    load = extraction.load_clip

    def counted(path: Path, preparation: object) -> object:
        with lock:
            held.add(path.stem)
            most[0] = max(most[0], len(held))
        return load(path, preparation)  # type: ignore[arg-type]

    def encode(waveforms: Sequence[np.ndarray]) -> Callable[[], list[np.ndarray]]:
        done = stub().encode(waveforms)

        def result() -> list[np.ndarray]:
            with lock:
                for name in sorted(held)[: len(waveforms)]:
                    held.remove(name)
            return done()

        return result

    encoder = stub()
    monkeypatch.setattr(encoder, "encode", encode)
    monkeypatch.setattr(extraction, "load_clip", counted)
    monkeypatch.setattr(pipeline, "load_encoder", lambda model, options: encoder)
    ser_embed.extract("mfcc", data=data, store=tmp_path / "s.h5", chunk=6, workers=4, batch_seconds=0.5)
    assert 0 < most[0] <= 6


def test_several_devices_share_the_work(data: Path, models: dict[str, Path], tmp_path: Path) -> None:
    model = str(models["hubert-base"])
    ser_embed.extract(model, data=data, store=tmp_path / "one.h5", chunk=5, layers="1", device="cpu")
    two = ser_embed.extract(model, data=data, store=tmp_path / "two.h5", chunk=5, layers="1", device="cpu,cpu")
    assert two.extracted == NUM_CLIPS
    assert two.audio_s > 0
    assert contents(tmp_path / "one.h5") == contents(tmp_path / "two.h5")


def test_a_device_that_fails_is_one_line(
    data: Path, stubbed: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise SerError("the process on cuda:1 failed")

    monkeypatch.setattr(pipeline, "encode_on", fail)
    assert main(["--model", "mfcc", "--data", str(data), "--store", str(tmp_path / "s.h5")]) == 1
    assert capfd.readouterr() == ("", "error: the process on cuda:1 failed\n")


def _with_files_of_at_most(num_bytes: int, data: Path, store: Path) -> None:
    import resource
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, num_bytes))
    pipeline.load_encoder = lambda model, options: stub(options)  # type: ignore[assignment]
    os.dup2(os.open(store.parent / "err", os.O_WRONLY | os.O_CREAT), 2)  # what HDF5 itself prints counts too
    sys.exit(main(["--model", "mfcc", "--data", str(data), "--store", str(store)]))


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes")
def test_a_full_disk_is_one_line_and_the_old_store_stays(data: Path, stubbed: Callable, tmp_path: Path) -> None:
    stubbed(data, limit=3)
    before = contents(tmp_path / "s.h5")
    process = multiprocessing.get_context("spawn").Process(
        target=_with_files_of_at_most, args=(20_000, data, tmp_path / "s.h5")
    )
    process.start()
    process.join()
    lines = (tmp_path / "err").read_text().splitlines()
    assert process.exitcode == 1
    assert len(lines) == 1
    assert "cannot write the store: File too large" in lines[0]
    assert contents(tmp_path / "s.h5") == before
    assert stubbed(data).clips == NUM_CLIPS


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_one_line(data: Path, stubbed: Callable, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="cannot write in"):
        stubbed(data)


def test_the_store_cannot_be_where_a_file_is_in_the_way(data: Path, stubbed: Callable, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write in"):
        ser_embed.extract("mfcc", data=data, store=tmp_path / "file" / "s.h5")


def test_bad_usage_is_one_line_and_exit_code_2(
    data: Path, tmp_path: Path, capfd: pytest.CaptureFixture, models: dict[str, Path]
) -> None:
    (tmp_path / "bad.h5").write_text("no store")
    (tmp_path / "nothing").mkdir()
    model = str(models["hubert-base"])
    for arguments, expected in [
        (["--model", "hubert-huge"], "unknown model 'hubert-huge'"),
        (["--model", "mfcc", "--data", str(tmp_path / "nothing")], str(tmp_path / "nothing")),
        (["--model", "mfcc", "--data", str(tmp_path / "nowhere")], str(tmp_path / "nowhere")),
        (["--model", "mfcc", "--data", str(data), "--corpus", "crema-d"], "crema-d"),
        (["--model", "mfcc", "--data", str(data), "--store", str(tmp_path / "bad.h5")], "expected a store"),
        (["--model", "mfcc", "--data", str(data), "--store", str(tmp_path)], f"such as {tmp_path / 'bad.h5'}, but"),
        (["--model", "mfcc", "--data", str(data), "--chunk", "0"], "chunk has to be positive, not 0"),
        (["--model", "mfcc", "--data", str(data), "--batch-seconds", "nan"], "batch seconds has to be positive"),
        (["--model", "mfcc", "--data", str(data), "--batch-seconds", "inf"], "batch seconds has to be positive"),
        (["--model", model, "--data", str(data), "--layers", "77"], "not '77'"),
        (["--model", "mfcc", "--data", str(data), "--limit", "x"], "invalid int value"),
    ]:
        try:
            code = main(arguments)
        except SystemExit as leaving:
            code = leaving.code
        out, err = capfd.readouterr()
        assert (code, out, err.count("\n")) == (2, "", 1), err
        assert expected in err
    assert {entry.name for entry in tmp_path.iterdir()} == {"bad.h5", "data", "nothing"}


@pytest.mark.parametrize(
    ("layers", "stored"), [(2, ("2",)), ([0, "2"], ("0", "2")), (np.arange(2), ("0", "1")), (("last",), ("final",))]
)
def test_layers_may_be_numbers(
    data: Path, tmp_path: Path, models: dict[str, Path], layers: object, stored: tuple[str, ...]
) -> None:
    model = str(models["hubert-large"])
    assert ser_embed.extract(model, data=data, store=tmp_path / "s.h5", layers=layers, limit=1).spec.layers == stored


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"limit": "5"}, "--limit has to be a whole number, not '5'"),
        ({"chunk": 2.5}, r"--chunk has to be a whole number, not 2\.5"),
        ({"chunk": None}, "--chunk has to be a whole number, not None"),
        ({"batch_seconds": "8"}, "--batch-seconds has to be a number, not '8'"),
        ({"trim_db": [30]}, r"--trim-db has to be a number, not \[30\]"),
        ({"layers": None}, "layers have to be all, last or among features, not 'None'"),
    ],
)
def test_a_value_of_the_wrong_type_is_bad_input(data: Path, tmp_path: Path, settings: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ser_embed.extract("mfcc", data=data, store=tmp_path / "s.h5", **settings)
    assert not (tmp_path / "s.h5").exists()


def test_notes_wait_for_the_checks(
    data: Path, tmp_path: Path, capfd: pytest.CaptureFixture, models: dict[str, Path]
) -> None:
    (data / "hollow").mkdir()
    (data / "hollow" / "manifest.csv").write_text("path,emotion,speaker\n")
    ser_embed.extract("mfcc", data=data, store=tmp_path / "mfcc.h5", limit=1)
    assert capfd.readouterr().err.startswith("hollow left out: ")
    command = ["--model", str(models["hubert-base"]), "--data", str(data), "--layers", "1", "--limit", "1"]
    assert main([*command, "--store", str(tmp_path / "mfcc.h5")]) == 2
    (error,) = capfd.readouterr().err.splitlines()
    assert "mfcc.h5 holds vectors with model 'mfcc'" in error
    assert main([*command, "--store", str(tmp_path / "new.h5")]) == 0
    corpus, model = capfd.readouterr().err.splitlines()
    assert corpus.startswith("hollow left out: ")
    assert model.endswith("has no preprocessor_config.json: waveforms are normalised")


def test_json_is_one_object_on_stdout(data: Path, tmp_path: Path, stubbed: Callable, capsys) -> None:
    assert main(["--model", "mfcc", "--data", str(data), "--store", str(tmp_path / "s.h5"), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["clips"] == NUM_CLIPS
    assert document["spec"]["layers"] == ["features"]


def kill_and_resume(models: dict[str, Path], folder: Path, kills: int) -> dict:
    """Run the driver beside this file, which kills real extractions; return what it counted."""
    write_corpus(folder / "data" / "tones", 60)
    driver = Path(__file__).with_name("kill_and_resume.py")
    command = [sys.executable, str(driver), str(models["hubert-large"]), str(folder), str(kills)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    shutil.rmtree(folder)
    return json.loads(finished.stdout)


def test_sigkill_loses_nothing(models: dict[str, Path], tmp_path: Path) -> None:
    counted = kill_and_resume(models, tmp_path, 8)
    assert counted["kills"] == 8
    assert counted["damaged"] == []


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_hundred_sigkills_lose_nothing(models: dict[str, Path], tmp_path: Path) -> None:
    counted = kill_and_resume(models, tmp_path, 200)
    assert counted["kills"] == 200
    assert counted["damaged"] == []
