"""Prediction on new audio, by runs trained on `mfcc` vectors of tones."""

import errno
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

import ser_embed
import ser_head
from ser_embed.encoders import features
from ser_embed.errors import InputError
from ser_embed.store.reader import Store
from ser_head.evaluation.predictions import probability_matrix, read_predictions
from ser_head.inference import segment_scorer
from ser_head.inference.output_formats import WRITERS
from ser_head.inference.prediction_table import SILENT, UNCERTAIN
from ser_head.predict import main
from ser_head.runs.run import Run
from tests.ser_embed.audio.formats import encode
from tests.ser_embed.conftest import tone, write_corpus


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    data = write_corpus(folder / "data" / "tones", 24)
    ser_embed.extract("mfcc", data=data, store=folder / "mfcc.h5")
    return ser_head.train(store=folder / "mfcc.h5", protocol="random", epochs=2, out=folder / "run").run


def test_a_file_scores_as_its_stored_vector_does(run: Path) -> None:
    clip = run.parent / "data" / "tones" / "003.wav"
    table = ser_head.predict(clip, run=run).table
    with Store(run.parent / "mfcc.h5") as store:
        row = store.utterances["utterance_id"].tolist().index("tones/003")
        expected = Run.load(run).probabilities(store.read([row]))[0]
    probabilities = table.filter(like="p_").to_numpy()[0]
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    assert table["emotion"].tolist() == [Run.load(run).labels[expected.argmax()]]
    assert table["end_s"].iloc[0] == pytest.approx(soundfile.info(clip).duration, abs=1e-3)


def test_a_timeline_scores_each_window_alone(run: Path, tmp_path: Path) -> None:
    samples = np.concatenate([tone(32_000, 1), np.zeros(24_000, np.float32), tone(20_000, 2)])
    soundfile.write(tmp_path / "long.wav", samples, 16_000, subtype="FLOAT")
    table = ser_head.predict(tmp_path / "long.wav", run=run, window=1.0, hop=0.5).table
    np.testing.assert_allclose(table["start_s"], np.arange(len(table)) * 0.5)
    assert (table["end_s"] - table["start_s"]).max() <= 1.0
    assert table["end_s"].iloc[-1] == pytest.approx(len(samples) / 16_000, abs=1e-3)
    silent = table[table["emotion"] == SILENT]
    assert silent["start_s"].tolist() == [2.0, 2.5]
    assert silent.filter(like="p_").isna().all(axis=None)
    soundfile.write(tmp_path / "cut.wav", samples[8_000:24_000], 16_000, subtype="FLOAT")
    alone = ser_head.predict(tmp_path / "cut.wav", run=run).table
    np.testing.assert_allclose(alone.filter(like="p_").iloc[0], table.filter(like="p_").iloc[1], atol=1e-6)


def test_the_command_writes_lines_csv_and_json(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    soundfile.write(tmp_path / "a.flac", tone(16_000), 44_100)
    soundfile.write(tmp_path / "b.mp3", tone(48_000), 16_000)
    (tmp_path / "c.wav").write_bytes(b"words" * 50)
    out = tmp_path / "OUT.CSV"
    assert main(["--run", str(run), str(tmp_path), "--output", str(out), "--min-confidence", "0"]) == 3
    printed = capsys.readouterr()
    assert [line.split(": ")[0] for line in printed.out.splitlines()] == [
        str(tmp_path / "a.flac"),
        str(tmp_path / "b.mp3"),
    ]
    assert (
        printed.err.splitlines()[-1]
        == f"unreadable: {tmp_path / 'c.wav'}: not audio: neither wav, flac, ogg, opus nor mp3"
    )
    labels = Run.load(run).labels
    table = pd.read_csv(out)
    common_columns = ["file", "start_s", "end_s", "emotion", "confidence", "activation", "unfamiliarity"]
    assert table.columns.tolist() == [*common_columns, *(f"p_{label}" for label in labels)]
    assert set(table["emotion"]) <= set(labels)
    np.testing.assert_allclose(table.filter(like="p_").sum(axis=1), 1, atol=1e-5)
    assert main(["--run", str(run), str(tmp_path / "a.flac"), "--json", "--window", "0.2"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [window["start_s"] for window in document["files"][0]["windows"]][:3] == [0.0, 0.1, 0.2]


@pytest.mark.skipif(os.name == "nt", reason="needs names of any bytes, and pipes")
@pytest.mark.parametrize("options", [[], ["--window", "1"]])
def test_odd_files_are_named_and_the_others_answered(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture, options: list[str]
) -> None:
    sound = tone(32_000)
    soundfile.write(tmp_path / "good.wav", sound, 16_000)
    shutil.copy(tmp_path / "good.wav", os.fsencode(tmp_path / "bad") + b"\xff.wav")
    shutil.copy(tmp_path / "good.wav", tmp_path / "a\x1b[31m\nb.wav")
    soundfile.write(tmp_path / "slow.wav", sound[:200], 1)
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "zero.wav").symlink_to("/dev/zero")
    whole = encode(np.tile(sound, 4), 16_000, "ogg")
    (tmp_path / "cut.ogg").write_bytes(whole[: len(whole) // 2])
    out = tmp_path / "out.json"
    assert main(["--run", str(run), str(tmp_path), "--output", str(out), *options]) == 3
    printed = capsys.readouterr()
    assert {line.split(": ")[0] for line in printed.out.splitlines()} == {
        str(tmp_path / "good.wav"),
        rf"{tmp_path}/a\x1b[31m\nb.wav",
    }
    unreadable = [line for line in printed.err.splitlines() if line.startswith("unreadable: ")]
    assert len(unreadable) == 5
    assert {entry["file"] for entry in json.loads(out.read_text())["unreadable"]} == {
        str(tmp_path / name) for name in ("bad\udcff.wav", "slow.wav", "pipe.wav", "zero.wav", "cut.ogg")
    }


def test_on_a_full_disk_the_old_answers_stay_and_the_new_are_printed(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(tmp_path / "a.wav", tone(16_000), 16_000)
    out = tmp_path / "out.csv"
    out.write_text("old answers")

    def fill(_: object, path: Path) -> None:
        path.write_text("half of the n")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setitem(WRITERS, ".csv", fill)
    assert main(["--run", str(run), str(tmp_path / "a.wav"), "--output", str(out)]) == 1
    printed = capsys.readouterr()
    assert printed.out.startswith(f"{tmp_path / 'a.wav'}: ")
    assert printed.err.splitlines()[-1] == (
        f"error: cannot write {out} (No space left on device); the answers are on stdout"
    )
    assert out.read_text() == "old answers"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.wav", "out.csv"]


def test_an_output_that_cannot_be_written_is_refused_before_audio_is_read(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(segment_scorer, "load_embedder", None)
    (tmp_path / "file").touch()
    (tmp_path / "folder.csv").mkdir()
    for name, reason in [("file/a.csv", "file: Not a directory"), ("folder.csv", "folder.csv: Is a directory")]:
        assert main(["--run", str(run), "a.wav", "--output", str(tmp_path / name)]) == 2
        assert capsys.readouterr() == ("", f"error: cannot write to {tmp_path / reason}\n")


@pytest.mark.parametrize("values", [{"window": "3"}, {"window": 3, "hop": "1"}, {"min_confidence": "0.5"}])
def test_a_number_that_is_text_is_refused(run: Path, values: dict) -> None:
    with pytest.raises(InputError, match=r"has to be .*, not '\d"):
        ser_head.predict("a.wav", run=run, **values)


def test_bad_input_is_one_line(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "empty").mkdir()
    clip = str(run.parent / "data" / "tones" / "003.wav")
    for arguments, expected in [
        ([clip, "--run", str(tmp_path)], "expected a run folder"),
        ([str(tmp_path / "empty"), "--run", str(run)], "expected audio"),
        ([clip, "--run", str(run), "--hop", "1"], "--hop needs a --window"),
        ([clip, "--run", str(run), "--window", "0.01"], "--window has to be at least"),
        ([clip, "--run", str(run), "--window", "1", "--hop", "2"], "--hop has to be at most"),
        ([clip, "--run", str(run), "--output", "out.xls"], "--output has to end in .csv or .json"),
        ([clip, "--run", str(run), "--min-confidence", "50"], "--min-confidence has to be from 0 to 1"),
    ]:
        assert main(arguments) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert len(printed.err.splitlines()) == 1
        assert expected in printed.err


def test_another_encoder_under_the_same_name_is_refused(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(features.MFCC, "num_mels", 60)
    with pytest.raises(InputError, match="the run holds vectors with digest"):
        ser_head.predict(run.parent / "data" / "tones" / "003.wav", run=run)


def test_audio_unlike_anything_in_training_is_no_emotion_however_sure_the_head(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 32_000)
    soundfile.write(tmp_path / "noise.wav", noise, 16_000)
    files = [str(tmp_path / "noise.wav"), str(run.parent / "data" / "tones" / "003.wav")]
    assert main([*files, "--run", str(run), "--json"]) == 0
    printed = capsys.readouterr()
    strange, familiar = (file["windows"][0] for file in json.loads(printed.out)["files"])
    assert strange["emotion"] == UNCERTAIN
    assert strange["unfamiliar"]
    assert strange["unfamiliarity"] > 1 >= familiar["unfamiliarity"]
    assert not familiar["unfamiliar"]
    assert familiar["emotion"] in Run.load(run).labels
    assert printed.err.splitlines() == [
        "1 of 2 files unlike anything in training: uncertain; --min-confidence 0 answers them too"
    ]
    assert main([*files, "--run", str(run), "--min-confidence", "0"]) == 0
    printed = capsys.readouterr()
    assert UNCERTAIN not in printed.out
    assert re.search(r"\), activation 0\.\d\d, unlike anything in training$", printed.out.splitlines()[0])
    assert main([*files, "--run", str(run), "--min-confidence", "1"]) == 0
    assert capsys.readouterr().out.count(UNCERTAIN) == 2


def test_a_file_that_is_silent_throughout_is_unreadable(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    soundfile.write(tmp_path / "silent.wav", np.zeros(48_000), 16_000)
    for window in ([], ["--window", "1"]):
        assert main([str(tmp_path / "silent.wav"), "nofile.wav", "--run", str(run), *window]) == 3
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.splitlines()[0].startswith(f"unreadable: {tmp_path / 'silent.wav'}: silent")
        assert printed.err.splitlines()[1:] == ["unreadable: nofile.wav: missing: there is no such file"]


def test_nothing_read_is_an_empty_table_with_every_column(run: Path) -> None:
    table = ser_head.predict("nofile.wav", run=run).table
    assert len(table) == 0
    columns = ser_head.predict(run.parent / "data" / "tones" / "003.wav", run=run).table.columns
    assert table.columns.tolist() == columns.tolist()


@pytest.mark.parametrize("head", ["attention", "cnn"])
def test_a_run_on_frames_scores_files_and_windows_of_any_length(run: Path, tmp_path: Path, head: str) -> None:
    data, store = run.parent / "data", tmp_path / "frames.h5"
    ser_embed.extract("mfcc", data=data, store=store, pooling="frames")
    framewise = ser_head.train(store=store, head=head, protocol="random", epochs=1, out=tmp_path / "run").run
    clips = [data / "tones" / name for name in ("003.wav", "004.wav", "005.wav")]
    together = ser_head.predict(clips, run=framewise, enroll=clips[0]).table
    tested = read_predictions(framewise / "predictions.csv")
    names = [f"tones/{clip.stem}" for clip in clips] + tested["utterance_id"].tolist()
    with Store(store) as opened:
        rows = [opened.utterances["utterance_id"].tolist().index(name) for name in names]
        stored_frames = np.empty(len(rows), dtype=object)
        stored_frames[:] = [opened.read_clip(row) for row in rows]
    frames, test_frames = stored_frames[: len(clips)], stored_frames[len(clips) :]
    loaded = Run.load(framewise)
    np.testing.assert_allclose(probability_matrix(tested, loaded.labels), loaded.probabilities(test_frames), atol=1e-5)
    np.testing.assert_allclose(together.filter(regex="^p_"), loaded.probabilities(frames), atol=1e-5)
    np.testing.assert_allclose(together["unfamiliarity"], loaded.ood_score(frames), atol=1e-4)
    alone = ser_head.predict(clips[0], run=framewise, window=10).table
    np.testing.assert_allclose(alone.filter(regex="^p_"), together.filter(regex="^p_")[:1], atol=1e-5)
    assert len(ser_head.predict(clips, run=framewise, window=0.1).table) > len(clips)
    with pytest.raises(InputError, match="is on frames: it takes no profile"):
        ser_head.enroll(clips, "Ann", run=framewise)


def test_audio_is_standardised_like_the_corpus_it_is_said_to_be_from(run: Path, tmp_path: Path) -> None:
    data = write_corpus(tmp_path / "data" / "tones", 12)
    for file in write_corpus(tmp_path / "data" / "quiet", 12).glob("quiet/*.wav"):
        samples, rate_hz = soundfile.read(file)
        soundfile.write(file, samples / 10, rate_hz)
    ser_embed.extract("mfcc", data=data, store=tmp_path / "two.h5")
    flags = {"protocol": "random", "head": "svm", "normalization": "corpus"}
    both = ser_head.train(store=tmp_path / "two.h5", out=tmp_path / "run", **flags).run
    clip = data / "quiet" / "003.wav"
    with_corpus, without_corpus = (
        ser_head.predict(clip, run=both, corpus=name).table.filter(like="p_") for name in ("quiet", None)
    )
    with Store(tmp_path / "two.h5") as store:
        vectors = store.read([store.utterances["utterance_id"].tolist().index("quiet/003")])
    np.testing.assert_allclose(with_corpus, Run.load(both).probabilities(vectors, corpora=["quiet"]), atol=1e-6)
    np.testing.assert_allclose(without_corpus, Run.load(both).probabilities(vectors), atol=1e-6)
    assert np.abs(with_corpus.to_numpy() - without_corpus.to_numpy()).max() > 0.01
    with pytest.raises(InputError, match="--corpus has to be one of quiet, tones, not 'loud'"):
        ser_head.predict(clip, run=both, corpus="loud")
    with pytest.raises(InputError, match="--corpus has to be left out, as all corpora are standardised alike"):
        ser_head.predict(clip, run=run, corpus="tones")
