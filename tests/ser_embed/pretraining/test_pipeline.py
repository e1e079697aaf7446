"""Tests of whole pre-trainings of a tiny network: saved files, resuming, continuing, speakers, refused input."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
import transformers
from safetensors.torch import load_file

import ser_embed
from ser_embed.encoders.base import EncoderOptions
from ser_embed.encoders.registry import load_encoder
from ser_embed.encoders.speaker_embeddings import speaker_names, speaker_vectors
from ser_embed.encoders.training_clips import TRAINING_CLIPS_FILE, describe, read_training_clips, write_training_clips
from ser_embed.errors import InputError
from ser_embed.manifest import TRAINING_CLIP_COLUMNS
from ser_embed.pretrain import main
from ser_embed.pretraining import pipeline, trainer
from ser_embed.pretraining.audio_cache import PIECE_SAMPLES, load_waveforms
from ser_embed.pretraining.checkpoint import save_model
from ser_embed.pretraining.clips import find_clips
from ser_embed.pretraining.model import MaskedPrediction
from ser_embed.tracking.registry import TRACKERS
from tests.ser_embed.conftest import tone
from tests.ser_embed.pretraining.conftest import NO_DROPOUT, TINY
from tests.ser_embed.tracking.recorder import Recorder

SMALL: dict[str, Any] = {
    "targets": "mfcc=8,prosody=4",
    "epochs": 2,
    "batch": 6,
    "crop_s": 0.3,
    "mask_length": 3,
    "validation": 0.3,
    "validate_every": 3,
    "save_every": 2,
    "workers": 2,
    "augment": 0.3,
    "device": "cpu",
}


@pytest.fixture(scope="module")
def trained(speech: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished pre-training of a tiny network, with every kind of dropout."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "tiny.json").write_text(json.dumps({**TINY, "attention_dropout": 0.1, "layerdrop": 0.3}))
    ser_embed.pretrain(folder / "out", data=speech, config=str(folder / "tiny.json"), **SMALL)
    return folder / "out"


def arguments_of(trained: Path, speech: Path) -> dict[str, Any]:
    return {"data": speech, "config": str(trained.parent / "tiny.json"), **SMALL}


def same_tensors(first_path: Path, second_path: Path) -> bool:
    first, second = load_file(first_path), load_file(second_path)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_transformers_and_this_library_load_the_model_alike(trained: Path) -> None:
    network = transformers.HubertModel.from_pretrained(trained).eval()
    extractor = transformers.AutoFeatureExtractor.from_pretrained(trained)
    encoder = load_encoder(str(trained), EncoderOptions(pooling="frames", dtype="float32"))
    assert encoder.notes == ()  # none of its properties had to be guessed
    clip = tone(9_000)
    values = extractor(clip, sampling_rate=16_000, return_tensors="pt").input_values
    with torch.inference_mode():
        output = network(values, output_hidden_states=True)
    (frames,) = encoder.encode([clip])()
    np.testing.assert_allclose(frames[:, -1], output.last_hidden_state[0], atol=1e-5)
    np.testing.assert_allclose(frames[:, 0], output.hidden_states[0][0], atol=1e-5)
    np.testing.assert_allclose(frames[:, 1], output.hidden_states[1][0], atol=1e-5)
    weights = load_file(trained / "model.safetensors")
    assert weights.keys() == transformers.HubertModel(network.config).state_dict().keys()


def test_log_and_settings_are_saved(trained: Path) -> None:
    record = json.loads((trained / "pretraining.json").read_text())
    assert record["settings"]["targets"] == "mfcc=8,prosody=4"
    report = record["report"]
    assert report["speakers"] == 4
    assert [file["path"] for file in report["unreadable"]] == ["broken.wav"]
    log = pd.read_csv(trained / "log.csv")
    assert log["step"].iloc[-1] == report["steps"]
    for name in ("validation_loss", "validation_accuracy"):
        assert log[name].iloc[-1] == pytest.approx(report[name])
    assert report["validation_error"] is None
    mean_loss = log[["validation_loss mfcc=8", "validation_loss prosody=4"]].mean(axis=1)
    np.testing.assert_allclose(log["validation_loss"].dropna(), mean_loss.dropna())
    assert {path.name for path in trained.iterdir()} == {
        "cache", "clusters.safetensors", "config.json", "heads.safetensors", "labels", "log.csv", "model.safetensors",
        "preprocessor_config.json", "pretraining.json",
    }  # fmt: skip


def test_weights_in_half_precision_give_nearly_the_same_vectors(trained: Path, speech: Path, tmp_path: Path) -> None:
    model = MaskedPrediction(transformers.HubertModel.from_pretrained(trained), (8, 4))
    save_model(model, True, (), tmp_path, half=True)
    assert {tensor.dtype for tensor in load_file(tmp_path / "model.safetensors").values()} == {torch.float16}
    assert next(model.network.parameters()).dtype == torch.float32
    exact, rounded = (
        load_encoder(str(folder), EncoderOptions(dtype="float32")).encode([tone(8_000)])()[0]
        for folder in (trained, tmp_path)
    )
    np.testing.assert_allclose(rounded, exact, atol=0.02)


class _StoppedError(Exception):
    pass


def stop_and_resume(output: Path, arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch, saves: int) -> Any:
    """Stop a run after `saves` checkpoints, and finish it with a second call."""
    save_checkpoint = trainer.save_checkpoint
    saves_left = saves

    def save_and_stop(*args: Any) -> None:
        nonlocal saves_left
        save_checkpoint(*args)
        saves_left -= 1
        if not saves_left:
            torch.manual_seed(99)  # the random state of the second process is another one
            raise _StoppedError

    monkeypatch.setattr(trainer, "save_checkpoint", save_and_stop)
    with pytest.raises(_StoppedError):
        ser_embed.pretrain(output, **arguments)
    monkeypatch.undo()
    assert not (output / "model.safetensors").exists()
    return ser_embed.pretrain(output, **{**arguments, "save_every": 3, "workers": 1})


def assert_tracked(recorder: Recorder, output: Path) -> None:
    """Check that a stopped run was tracked as failed, and the resumed one whole, with the rows of the first."""
    assert recorder.endings == [False, True]
    assert [run.name for run in recorder.runs] == ["out", "out"]
    assert recorder.runs[1].config["batch"] == SMALL["batch"]
    first = recorder.calls[1:].index("start") - 1  # points of the stopped run
    rows: dict[int, dict[str, float]] = {}
    for point in recorder.points[first:]:
        assert (point.series, point.axis) == ("", "step")
        rows.setdefault(point.step, {}).update(point.values)
    log = pd.read_csv(output / "log.csv").set_index("step")
    assert rows == {step: pytest.approx(row.dropna().to_dict()) for step, row in log.iterrows()}
    report = json.loads((output / "pretraining.json").read_text())["report"]
    assert recorder.results[0].figures["validation_loss"] == report["validation_loss"]


@pytest.mark.parametrize("saves", [1, 2])
def test_a_resumed_run_has_the_same_weights_as_one_that_was_not_stopped(
    trained: Path, speech: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saves: int
) -> None:
    recorder = Recorder()
    with pytest.MonkeyPatch.context() as registry:
        registry.setitem(TRACKERS, "mine", recorder.spec)
        arguments = {**arguments_of(trained, speech), "track": "mine"}
        report = stop_and_resume(tmp_path / "out", arguments, monkeypatch, saves)
    assert_tracked(recorder, tmp_path / "out")
    for name in ("model.safetensors", "heads.safetensors", "clusters.safetensors"):
        assert same_tensors(trained / name, tmp_path / "out" / name), name
    assert report.validation_loss == json.loads((trained / "pretraining.json").read_text())["report"]["validation_loss"]
    steps = pd.read_csv(tmp_path / "out" / "log.csv")["step"]
    assert steps.is_monotonic_increasing
    assert steps.is_unique


def test_functionals_are_reported_and_their_head_is_resumed(
    speech: Path, tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = {**SMALL, "data": speech, "config": tiny, "functionals": 0.5}
    report = ser_embed.pretrain(tmp_path / "whole", **arguments)
    resumed = stop_and_resume(tmp_path / "resumed", arguments, monkeypatch, saves=1)
    assert same_tensors(tmp_path / "whole" / "model.safetensors", tmp_path / "resumed" / "model.safetensors")
    assert resumed.validation_error == report.validation_error
    assert f"functionals' error {report.validation_error:.3f}" in report.summary()
    log = pd.read_csv(tmp_path / "whole" / "log.csv")
    assert log["validation_error"].iloc[-1] == pytest.approx(report.validation_error)
    assert json.loads((tmp_path / "whole" / "config.json").read_text())["layerdrop"] == 0


def test_all_crops_may_be_unmasked(speech: Path, tiny: str, tmp_path: Path) -> None:
    report = ser_embed.pretrain(tmp_path / "out", data=speech, config=tiny, **{**SMALL, "functionals": 1.0})
    assert report.validation_loss is None
    assert report.validation_accuracy is None
    assert 0.1 < report.validation_error < 10
    assert "held out: functionals' error" in report.summary()


def test_a_setting_missing_from_an_older_record_has_its_default(trained: Path, speech: Path, tmp_path: Path) -> None:
    old = shutil.copytree(trained, tmp_path / "old")
    record = json.loads((old / "pretraining.json").read_text())
    del record["settings"]["functionals"], record["report"]["validation_error"]
    (old / "pretraining.json").write_text(json.dumps(record))
    assert ser_embed.pretrain(old, **arguments_of(trained, speech)).validation_error is None
    with pytest.raises(InputError, match=r"holds a pre-training with functionals 0\.0, not 0\.5"):
        ser_embed.pretrain(old, **arguments_of(trained, speech), functionals=0.5)


def test_a_finished_run_is_unchanged_and_other_settings_are_refused(trained: Path, speech: Path) -> None:
    before = (trained / "model.safetensors").stat().st_mtime_ns
    report = ser_embed.pretrain(trained, **arguments_of(trained, speech))
    assert report.elapsed_s == 0
    assert (trained / "model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(InputError, match="holds a pre-training with seed 0, not 1; choose another --output"):
        ser_embed.pretrain(trained, **arguments_of(trained, speech), seed=1)


def test_a_run_stopped_before_training_starts_again_and_changed_audio_is_refused(
    trained: Path, speech: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> None:
        raise _StoppedError

    audio = shutil.copytree(speech, tmp_path / "audio")
    output = tmp_path / "out"
    record_path = output / "pretraining.json"
    arguments = {**arguments_of(trained, speech), "data": audio, "epochs": 1}
    monkeypatch.setattr(pipeline, "run_on_devices", stop)
    with pytest.raises(_StoppedError):
        ser_embed.pretrain(output, **arguments)
    record_path.unlink()
    with pytest.raises(_StoppedError):
        ser_embed.pretrain(output, **{**arguments, "targets": "mfcc=5"})
    monkeypatch.undo()
    moved = audio.rename(tmp_path / "moved")
    arguments = {**arguments, "targets": "mfcc=5", "data": moved}
    report = ser_embed.pretrain(output, **arguments)
    assert report.targets == ("mfcc=5",)
    soundfile.write(moved / "000.wav", tone(9_999), 16_000)
    record_path.write_text(json.dumps({**json.loads(record_path.read_text()), "report": None}))
    with pytest.raises(InputError, match="moved is not what .*out began with"):
        ser_embed.pretrain(output, **arguments)


def test_the_loss_falls(speech: Path, tiny: str, tmp_path: Path) -> None:
    arguments = {**SMALL, "targets": "mfcc=6", "epochs": 10, "augment": 0.0, "validate_every": 1_000}
    ser_embed.pretrain(tmp_path / "out", data=speech, config=tiny, learning_rate=1e-2, **arguments)
    log = pd.read_csv(tmp_path / "out" / "log.csv")
    assert log["loss"].iloc[-1] < 0.9 * np.log(6)


def test_continuing_starts_with_the_network_clusters_and_heads_of_the_model(
    trained: Path, speech: Path, tmp_path: Path
) -> None:
    arguments = {**SMALL, "targets": "auto", "epochs": 1, "learning_rate": 1e-12, "head_learning_rate": 1e-12}
    ser_embed.pretrain(tmp_path / "out", data=speech, model=str(trained), **arguments)
    for name in ("model.safetensors", "heads.safetensors"):
        before, after = load_file(trained / name), load_file(tmp_path / "out" / name)
        for key, tensor in before.items():
            torch.testing.assert_close(after[key], tensor, rtol=0, atol=1e-6)
    assert same_tensors(trained / "clusters.safetensors", tmp_path / "out" / "clusters.safetensors")


def test_a_base_model_is_continued_on_one_of_its_layers(
    models: dict[str, Path], speech: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = models["hubert-base"]
    arguments = {**SMALL, "targets": f"{source}@2=5", "epochs": 1}
    report = ser_embed.pretrain(tmp_path / "out", data=speech, model=str(source), **arguments)
    assert report.steps == json.loads((tmp_path / "out" / "pretraining.json").read_text())["report"]["steps"]
    assert "waveforms are normalised" in caplog.text
    before, after = (load_file(folder / "model.safetensors") for folder in (source, tmp_path / "out"))
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert not (tmp_path / "out" / TRAINING_CLIPS_FILE).exists()
    with pytest.raises(InputError, match="expected a HuBERT to continue from, but .* is wavlm"):
        ser_embed.pretrain(tmp_path / "no", data=speech, model=str(models["wavlm-base"]), **{**SMALL, "epochs": 1})


def test_what_labels_a_model_has_learned_from_passes_on(models: dict[str, Path], speech: Path, tmp_path: Path) -> None:
    continued, clustered = (shutil.copytree(models["hubert-base"], tmp_path / name) for name in ("one", "two"))
    clip = dict.fromkeys(TRAINING_CLIP_COLUMNS, "x")
    for folder, part in ((continued, "validation"), (clustered, "train")):
        clips = [{**clip, "part": part}, {**clip, "utterance_id": folder.name, "part": "train"}]
        write_training_clips(folder, pd.DataFrame(clips))
    arguments = {**SMALL, "targets": f"{clustered}@2=5", "epochs": 1}
    ser_embed.pretrain(tmp_path / "out", data=speech, model=str(continued), **arguments)
    passed_on = read_training_clips(tmp_path / "out")
    assert passed_on["utterance_id"].tolist() == ["one", "two", "x"]
    assert set(passed_on["part"]) == {"train"}
    assert load_encoder(str(tmp_path / "out")).spec.tuned_on == describe(passed_on)


def check_speaker_vector_shifts_the_mean(folder: Path, vector: np.ndarray) -> None:
    """Check mean(f + e) = mean(f) + e: a store of means and a speaker's vector are enough to use PAPT downstream."""
    frames, mean = (
        load_encoder(str(folder), EncoderOptions("final", pooling, dtype="float32")).encode([tone(20_000)])()[0]
        for pooling in ("frames", "mean")
    )
    assert np.abs(vector).max() > 1e-3
    np.testing.assert_allclose((frames[:, 0] + vector).mean(axis=0), mean[0] + vector, rtol=0, atol=1e-6)


def test_speaker_embeddings_are_saved_and_new_speakers_enrolled(trained: Path, speech: Path, tmp_path: Path) -> None:
    arguments = {**SMALL, "targets": "auto", "epochs": 1, "head_learning_rate": 1e-2}
    ser_embed.pretrain(tmp_path / "papt", data=speech, model=str(trained), speaker_embeddings=True, **arguments)
    speakers = load_file(tmp_path / "papt" / "speakers.safetensors")
    assert speaker_names(tmp_path / "papt") == ["s0", "s1", "s2", "s3"]
    assert speakers["vectors"].shape == (5, 16)
    torch.testing.assert_close(speakers["vectors"], speakers["table"] @ speakers["linear"].T)
    assert not speakers["vectors"][0].any()
    assert speakers["vectors"][1:].abs().sum(dim=1).min() > 0

    check_speaker_vector_shifts_the_mean(tmp_path / "papt", speaker_vectors(tmp_path / "papt")["s2"])

    new_speech = shutil.copytree(speech, tmp_path / "new")
    table = (new_speech / "manifest.csv").read_text().replace(",s1,", ",anna,").replace(",s3,", ",bert,")
    (new_speech / "manifest.csv").write_text(table)
    arguments = {**arguments, "model": str(tmp_path / "papt"), "data": new_speech}
    ser_embed.pretrain(tmp_path / "enrolled", speakers_only=True, **arguments)
    assert speaker_names(tmp_path / "enrolled") == ["s0", "s1", "s2", "s3", "anna", "bert"]
    assert same_tensors(tmp_path / "papt" / "model.safetensors", tmp_path / "enrolled" / "model.safetensors")
    assert same_tensors(tmp_path / "papt" / "heads.safetensors", tmp_path / "enrolled" / "heads.safetensors")
    after = load_file(tmp_path / "enrolled" / "speakers.safetensors")
    assert torch.equal(after["linear"], speakers["linear"])
    for row in (2, 4):  # s1 and s3 have no clips any more
        assert torch.equal(after["table"][row], speakers["table"][row])
    mean = speakers["table"][1:].mean(dim=0)
    assert not torch.equal(after["table"][5], mean)
    assert torch.equal(after["vectors"][0], torch.zeros(16))


@pytest.mark.parametrize("folder_name", ["emodb", "recordings"])
def test_clips_are_listed_with_and_without_a_corpus(folder_name: str, tmp_path: Path) -> None:
    folder = tmp_path / folder_name
    folder.mkdir()
    for name in ("03a01Fa", "16b02Wb"):
        soundfile.write(folder / f"{name}.ogg", tone(9_000), 16_000, format="OGG", subtype="OPUS")
    clips = find_clips(tmp_path)
    assert len(clips) == 2
    assert set(clips["speaker"]) == ({"emodb/03", "emodb/16"} if folder_name == "emodb" else {""})
    waveforms = load_waveforms(tmp_path, clips, tmp_path / "cache", 2)
    assert len(waveforms.counts) == 2
    soundfile.write(folder / "03a01Fa.ogg", tone(12_000), 16_000, format="OGG", subtype="OPUS")
    decoded_again = load_waveforms(tmp_path, clips, tmp_path / "cache", 2)
    assert decoded_again.counts[0] > waveforms.counts[0]  # since the file has changed


def test_long_clips_are_stored_in_pieces(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "long.wav", tone(PIECE_SAMPLES + 5_000), 16_000)
    waveforms = load_waveforms(tmp_path, find_clips(tmp_path), tmp_path / "cache", 1)
    assert waveforms.counts.tolist() == [PIECE_SAMPLES, 5_000]
    np.testing.assert_allclose(
        waveforms.clip(1), tone(PIECE_SAMPLES + 5_000)[PIECE_SAMPLES:], atol=5e-5
    )  # rounded to 16 bits twice


def test_bad_input_is_refused_with_a_reason(speech: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for arguments, reason in [
        ({"data": tmp_path / "nowhere"}, "expected a data folder, but there is none"),
        ({"data": empty}, "expected audio in .*empty, found none"),
        ({"data": speech, "config": "maxi"}, "config has to be mini or a JSON file"),
        ({"data": speech, "targets": "words"}, "targets have to be mfcc, prosody, manner or MODEL@LAYER"),
        ({"data": speech, "batch": 0}, "batch has to be positive"),
        ({"data": speech, "batch": "6"}, "batch has to be a whole number, not '6'"),
        ({"data": speech, "speakers_only": True}, "name its folder with --model"),
        ({"data": speech, "speakers_only": True, "model": "m", "functionals": 0.5}, "functionals train the network"),
        ({"data": speech, "functionals": 0.1}, "0.1 of 6 crops are less than one crop per step"),
        ({"data": speech, "functionals": 0.5, "crop_s": 0.04}, "functionals need crops of at least 0.045 s"),
    ]:
        with pytest.raises(InputError, match=reason):
            ser_embed.pretrain(tmp_path / "out", **{**SMALL, **arguments})
        assert not (tmp_path / "out").exists()
    (empty / "thesis.txt").write_text("all of it")
    with pytest.raises(InputError, match="expected a pre-training or an empty folder"):
        ser_embed.pretrain(empty, data=speech, **SMALL)
    assert (empty / "thesis.txt").read_text() == "all of it"


def test_the_command_prints_a_summary_and_its_exit_code_reports_unreadable_files(
    trained: Path, speech: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = arguments_of(trained, speech)
    flags = [text for name, value in arguments.items() for text in (f"--{name.replace('_', '-')}", str(value))]
    assert main([*flags, "--output", str(trained), "--json"]) == 3
    out, err = capsys.readouterr()
    assert json.loads(out)["targets"] == ["mfcc=8", "prosody=4"]
    assert "unreadable: broken.wav: not audio" in err


@pytest.mark.slow
@pytest.mark.parametrize("functionals", [0.0, 0.5])
def test_two_processes_train_the_same_model_as_one(speech: Path, tmp_path: Path, functionals: float) -> None:
    (tmp_path / "tiny.json").write_text(json.dumps({**TINY, **NO_DROPOUT}))
    for name, device in (("one", "cpu"), ("two", "cpu,cpu")):
        arguments = {**SMALL, "device": device, "dtype": "float32", "functionals": functionals}
        ser_embed.pretrain(tmp_path / name, data=speech, config=str(tmp_path / "tiny.json"), **arguments)
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-3, atol=1e-4)
