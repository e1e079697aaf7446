"""Fine-tuning as a command and a function: a run like any other, whose folders anyone can open."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
import transformers
from scipy.special import softmax

import ser_embed
import ser_head
from ser_embed.encoders.training_clips import read_training_clips
from ser_embed.errors import EXIT_BAD_INPUT, EXIT_DONE, EXIT_SOME_UNREADABLE, InputError
from ser_embed.files import exclusive_lock
from ser_embed.store.reader import Store
from ser_head.config.finetuning import FinetuneConfig
from ser_head.data.dataset import Dataset
from ser_head.finetune import main
from ser_head.runs.run import Run
from ser_head.scoring.scorer import Scorer
from ser_head.training.experiment import run_name
from tests.ser_embed.conftest import models, tone, write_corpus  # noqa: F401 (a fixture)

FAST = {"protocol": "kfold:4", "epochs": 2, "batch_size": 4, "crop": 0.3, "baseline": "lda", "device": "cpu"}


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    previous = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(previous)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("finetune")


@pytest.fixture(scope="module")
def data(folder):
    return write_corpus(folder / "data" / "tones", 24)


@pytest.fixture(scope="module")
def encoder(models):  # noqa: F811
    return str(models["hubert-large"])


@pytest.fixture(scope="module")
def settings(folder, data):
    return {**FAST, "data": data, "cache": folder / "cache"}


@pytest.fixture(scope="module")
def quick(settings):
    """Return settings of one fold and one epoch."""
    return {**settings, "protocol": "random", "epochs": 1, "baseline": "none"}


@pytest.fixture(scope="module")
def result(folder, encoder, settings):
    return ser_head.finetune(encoder, **settings, unfreeze="last:2", out=folder / "run")


def flags(settings: dict, **changes) -> list[str]:
    """Return settings as a command line."""
    values = {**settings, **changes}
    return [part for name, value in values.items() for part in (f"--{name.replace('_', '-')}", str(value))]


def test_it_is_a_run_with_its_folds_and_its_baseline(result):
    names = {path.relative_to(result.run).as_posix() for path in result.run.rglob("*") if path.is_file()}
    for fold in (1, 2, 3, 4):
        assert {f"fold_{fold}/model/{name}" for name in ("model.safetensors", "config.json")} <= names
    assert {"run.json", "metrics.json", "predictions.csv", "history.csv", "report.html"} <= names
    assert result.metrics["n_test"] == 24
    assert result.metrics["speaker_disjoint"]
    baseline = result.metrics["baseline"]
    own = json.loads((result.run / "baseline" / "metrics.json").read_text())
    assert (baseline["head"], baseline["test"]["uar"]) == ("lda", own["test"]["uar"])
    difference = result.metrics["test"]["uar"] - own["test"]["uar"]
    assert baseline["difference"]["uar"] == pytest.approx(difference)
    folds = [
        pd.read_csv(path / "predictions.csv").set_index("utterance_id")["fold"]
        for path in (result.run, result.run / "baseline")
    ]
    assert folds[0].sort_index().equals(folds[1].sort_index())
    history = pd.read_csv(result.run / "history.csv")
    assert {"fold", "epoch", "loss", "val_loss", "val_uar"} <= set(history)
    report = (result.run / "report.html").read_text("utf-8")
    assert "Was it worth training the encoder?" in report
    assert "Its last 2 layers were trained further" in report
    assert "A small model" not in report
    assert "frozen encoder, lda" in result._repr_html_()


def test_the_run_is_named_after_encoder_and_what_is_trained():
    config = FinetuneConfig(model="facebook/hubert-base-ls960", unfreeze="lora:8", protocol="kfold:4")
    assert run_name(config) == "hubert-base-ls960-lora-8-finetuned-kfold-4"


def test_predictions_are_the_calibrated_logits_of_stock_transformers(result, data):
    run, table = Run.load(result.run), pd.read_csv(result.run / "predictions.csv")
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=True)
    for fold in run.about["folds"]:
        network = transformers.AutoModelForAudioClassification.from_pretrained(
            result.run / f"fold_{fold['fold']}" / "model"
        )
        rows = table[table["fold"] == fold["fold"]].head(3)
        for _, row in rows.iterrows():
            waveform, rate = soundfile.read(
                data / "tones" / f"{row['utterance_id'].split('/')[1]}.wav", dtype="float32"
            )
            values = extractor(waveform, sampling_rate=rate, return_tensors="pt").input_values
            with torch.no_grad():
                logits = network.eval()(values).logits[0].numpy()
            expected = softmax(logits / fold["temperature"])
            assert row[[f"p_{label}" for label in run.labels]].to_numpy(float) == pytest.approx(expected, abs=1e-4)


def test_it_predicts_new_audio_as_the_mean_of_its_folds(result, tmp_path):
    soundfile.write(tmp_path / "new.wav", tone(9_000, 77), 16_000)
    predictor = ser_head.Predictor(result.run)
    probabilities = predictor.predict(tmp_path / "new.wav").to_json()
    assert "new.wav" in json.dumps(probabilities)
    several = ser_head.predict([tmp_path / "new.wav"], run=result.run)
    assert len(several.to_json()["files"] if "files" in several.to_json() else several.to_json()) >= 1


def test_it_is_compared_and_combined(result, folder):
    comparison = ser_head.compare([result.run, result.run / "baseline"])
    assert {(row["head"], row["layer"]) for row in comparison.rows()} == {("finetuned", "last:2"), ("lda", "weighted")}
    ensemble = ser_head.train(head="ensemble", members=[result.run, result.run / "baseline"], out=folder / "both")
    assert ensemble.metrics["n_test"] == 24
    assert len(Run.load(folder / "both").members) == 2
    report = " ".join((folder / "both" / "report.html").read_text("utf-8").split())
    assert "For 1 of its 2 members, that speech model was itself trained to hear emotions." in report


def test_the_tuned_encoder_knows_whom_it_heard(result, data, folder):
    heard = read_training_clips(result.run / "fold_1" / "model")
    tested = pd.read_csv(result.run / "predictions.csv").query("fold == 1")["speaker"].unique()
    assert set(heard["speaker"]).isdisjoint(tested)
    store = ser_embed.extract(result.run / "fold_1" / "model", data=data, store=folder / "tuned.h5").store
    with pytest.raises(InputError, match="fine-tuned on"):
        ser_head.train(store=store, head="lda", protocol="loso", out=folder / "leaky")
    assert not (folder / "leaky").exists()


def test_a_tuned_encoder_that_is_tuned_again_has_not_forgotten(result, tmp_path, quick):
    first = result.run / "fold_1" / "model"
    data = write_corpus(tmp_path / "data" / "others", 12, ("calm", "angry"))
    for index, path in enumerate((data / "others").glob("*.wav")):
        soundfile.write(path, tone(5_000, 100 + index), 16_000)
    again = ser_head.finetune(str(first), **{**quick, "data": data}, out=tmp_path / "again")
    heard = read_training_clips(again.run / "model")
    assert set(read_training_clips(first)["utterance_id"]) < set(heard["utterance_id"])
    assert heard["utterance_id"].str.startswith("others/").any()


def test_the_same_settings_give_the_same_run(result, encoder, settings, folder):
    again = ser_head.finetune(encoder, **{**settings, "baseline": "none"}, unfreeze="last:2", out=folder / "again")
    assert (result.run / "predictions.csv").read_bytes() == (again.run / "predictions.csv").read_bytes()
    assert not list((folder / "cache").glob("*.checkpoints"))
    assert "baseline" not in again.metrics


class Recorded(Exception):
    """What a test raises in place of a training, once it knows its checkpoint."""


@pytest.fixture
def checkpoint_of(monkeypatch):
    """Return the function that gives the checkpoint of the first training of a command."""

    def record(self, task, *_):
        raise Recorded(task.checkpoint)

    def checkpoint_of(encoder: str, **settings):
        monkeypatch.setattr("ser_embed.finetuning.trainer.Tuner.train", record)
        with pytest.raises(Recorded) as recorded:
            ser_head.finetune(encoder, **settings)
        monkeypatch.undo()
        return recorded.value.args[0]

    return checkpoint_of


def test_a_checkpoint_is_of_its_settings_and_clips_alone(encoder, quick, tmp_path, checkpoint_of):
    data = write_corpus(tmp_path / "data" / "tones", 12)
    settings = {**quick, "data": data, "cache": tmp_path / "cache"}
    names = [checkpoint_of(encoder, **settings, **changes) for changes in ({}, {"out": tmp_path / "other", "jobs": 2})]
    assert names[0] == names[1]
    for changes in ({"balance": 0.5}, {"augment": "gain"}, {"augment": "clipping"}):
        names.append(checkpoint_of(encoder, **settings, **changes))
    soundfile.write(data / "tones" / "003.wav", tone(9_000, 77), 16_000)
    names.append(checkpoint_of(encoder, **settings))
    assert len({name.name for name in names}) == 5


def test_a_run_that_ends_removes_its_own_checkpoints_alone(encoder, quick, folder, tmp_path, checkpoint_of):
    other = checkpoint_of(encoder, **quick, seed=7)
    other.parent.mkdir(parents=True)
    other.write_bytes(b"of a training that was stopped")
    ser_head.finetune(encoder, **quick, out=tmp_path / "run")
    assert [path.name for path in other.parent.parent.iterdir()] == [other.parent.name]
    shutil.rmtree(other.parent.parent)


def test_the_same_fine_tuning_does_not_run_twice_at_a_time(encoder, quick, tmp_path, checkpoint_of):
    folder = checkpoint_of(encoder, **quick).parent
    with (
        exclusive_lock(folder),
        pytest.raises(InputError, match="another fine-tuning is writing to .*; wait for it or choose another --cache"),
    ):
        ser_head.finetune(encoder, **quick, out=tmp_path / "run")


def test_a_cache_of_another_encoder_or_a_damaged_one_is_made_anew(encoder, quick, tmp_path, checkpoint_of, caplog):
    model = tmp_path / "encoder"
    settings = {**quick, "cache": tmp_path / "cache"}
    shutil.copytree(encoder, model)
    checkpoint_of(str(model), **settings)
    (store,) = (tmp_path / "cache").glob("*.h5")
    whole = store.read_bytes()
    store.write_bytes(whole[: len(whole) // 2])
    checkpoint_of(str(model), **settings)
    assert "is damaged" in caplog.text
    network = transformers.HubertModel.from_pretrained(model)
    network.encoder.layer_norm.weight.data *= 1.5
    network.save_pretrained(model)
    checkpoint_of(str(model), **settings)
    assert re.search("holds vectors with digest .*: it is made anew, as it is a cache", caplog.text)
    with Store(store) as opened:
        assert len(opened) == 24


def test_frames_that_are_not_cached_give_nearly_the_same(result, encoder, settings, folder, monkeypatch):
    monkeypatch.chdir(folder)
    live = ser_head.finetune(
        encoder, **{**settings, "baseline": "none", "cache": "none"}, unfreeze="last:2", out=folder / "live"
    )
    cached, computed = (pd.read_csv(run / "predictions.csv").filter(like="p_") for run in (result.run, live.run))
    assert np.abs(cached - computed).to_numpy().max() < 1e-3


@pytest.mark.parametrize("unfreeze", ["head", "lora:2", "all"])
def test_other_choices_of_what_is_trained(unfreeze, encoder, quick, folder):
    out = folder / unfreeze.replace(":", "-")
    result = ser_head.finetune(encoder, **quick, unfreeze=unfreeze, out=out)
    assert Run.load(result.run).scorers


def test_copies_are_trained_on_and_nothing_else(encoder, quick, folder):
    result = ser_head.finetune(encoder, **quick, augment=("gain", "noise"), augment_copies=1, out=folder / "augmented")
    tested = pd.read_csv(result.run / "predictions.csv")["utterance_id"]
    heard = read_training_clips(result.run / "model")["utterance_id"]
    assert not tested.str.contains("~").any()
    assert not heard.str.contains("~").any()
    assert sorted([*tested, *heard]) == [f"tones/{index:03}" for index in range(24)]
    plain = ser_head.finetune(encoder, **quick, out=folder / "plain")
    assert (plain.run / "model" / "model.safetensors").read_bytes() != (
        result.run / "model" / "model.safetensors"
    ).read_bytes()


def test_no_more_frames_are_read_at_once_than_fit_in_a_window(encoder, quick, tmp_path, monkeypatch):
    monkeypatch.setattr("ser_head.data.dataset.WINDOW_BYTES", 1)
    monkeypatch.setattr("ser_embed.finetuning.trainer._READ_AT_ONCE", 2)
    read, score, sizes = Dataset.read, Scorer.score, []
    monkeypatch.setattr(Dataset, "read", lambda *args: sizes.append(len(args[1])) or read(*args))
    monkeypatch.setattr(
        Scorer, "score", lambda *args: sizes.append(sum(len(part.vectors) for part in args[1])) or score(*args)
    )
    ser_head.finetune(encoder, **{**quick, "batch_size": 2}, out=tmp_path / "run")
    assert max(sizes) == 2


def test_unreadable_clips_are_listed_and_the_rest_is_trained_on(encoder, quick, tmp_path, capsys):
    data = write_corpus(tmp_path / "data" / "tones", 24)
    (data / "tones" / "003.wav").write_bytes(b"no audio")
    command = flags({**quick, "data": data}, model=encoder, out=tmp_path / "run")
    assert main(command) == EXIT_SOME_UNREADABLE
    assert "003.wav" in capsys.readouterr().err
    assert (tmp_path / "run" / "run.json").is_file()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unfreeze": "some"}, "--unfreeze has to be head, last:N, lora:R or all, not 'some'"),
        ({"unfreeze": "last:9"}, "last:9 needs 9 blocks, but the encoder has 3"),
        ({"model": "mfcc"}, "expected a transformer, but 'mfcc' is a feature set"),
        ({"epochs": 0}, "--epochs has to be at least 1, not 0"),
        ({"baseline": "cnn"}, "--baseline has to be one of .*, not 'cnn'"),
        ({"augment": "echo"}, "echo"),
        ({"data": "nowhere"}, "nowhere"),
        ({"dtype": "float16"}, "--dtype has to be one of auto, float32, bfloat16, not 'float16'"),
        ({"device": "cpu,cpu", "data": "nowhere"}, "device has to be auto, cpu, .*, not 'cpu,cpu'"),
        ({"preset": "brown-2023"}, "--preset has to be one of ntu-2024, vit-2024, not 'brown-2023'"),
    ],
)
def test_bad_input_is_one_line(changes, message, encoder, settings, tmp_path, capsys):
    command = flags(settings, **{"model": encoder, "out": tmp_path / "run", **changes})
    assert main(command) == EXIT_BAD_INPUT
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.strip().splitlines()) == 1
    assert re.search(message, captured.err)
    assert not (tmp_path / "run").exists()


def test_a_damaged_model_is_told(result, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(result.run, run)
    path = run / "fold_1" / "model" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="fold_1/model/model.safetensors is not what its digest"):
        _ = Run.load(run).scorers


def test_the_command_answers_with_one_json_object(encoder, quick, tmp_path, capsys):
    command = flags(quick, model=encoder, out=tmp_path / "run")
    assert main([*command, "--json"]) == EXIT_DONE
    assert json.loads(capsys.readouterr().out)["run"] == str(tmp_path / "run")
