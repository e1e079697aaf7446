"""Training end to end on tiny stores: content of a run, honesty of its figures, errors for what cannot be trained."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import h5py
import numpy as np
import pandas as pd
import pytest

import ser_head
from ser_embed.errors import EXIT_BAD_INPUT, EXIT_DONE, InputError
from ser_embed.store.reader import Store
from ser_embed.tracking.registry import TRACKERS
from ser_head.config.training import TrainConfig
from ser_head.data.dataset import Dataset
from ser_head.data.splits import ClipMetadata, Protocol, make_splits
from ser_head.evaluation.metrics import compute_metrics
from ser_head.evaluation.predictions import primary_rows, probability_matrix, read_predictions
from ser_head.heads.networks import load_head
from ser_head.runs.run import Run
from ser_head.scoring.scorer import ScoringRequest, safe_log
from ser_head.train import main, summary
from ser_head.training import experiment, fold_runner
from ser_head.training.fold import prepare_fold
from ser_head.training.inputs import InputBuilder, validation_inputs
from ser_head.training.keras_trainer import KerasTrainer
from ser_head.training.sklearn_trainer import SklearnTrainer
from tests.ser_embed.tracking.recorder import Recorder
from tests.ser_head.conftest import Recipe, rows_of, write_store

RECIPE = Recipe(layers=("0", "1"), voice=1.0)
FOLDS = 3


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_store(tmp_path_factory.mktemp("store") / "tiny.h5", RECIPE)


@pytest.fixture(scope="module")
def trained(store, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "folds"
    return ser_head.train(store=store, protocol=f"kfold:{FOLDS}", epochs=6, out=out)


@pytest.fixture(scope="module")
def recorder():
    return Recorder()


@pytest.fixture(scope="module")
def personalized(store, recorder, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "personalized"
    settings = {"store": store, "protocol": "random", "personalized": "embedding", "epochs": 4}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TRACKERS, "mine", recorder.spec)
        return ser_head.train(**settings, track="mine", out=out)


def test_a_run_has_all_its_files(trained):
    heads = {f"fold_{fold}/{file}" for fold in range(1, FOLDS + 1) for file in ("head.keras", "fold.npz")}
    files = {"run.json", "metrics.json", "predictions.csv", "validation.csv", "history.csv", "report.html"}
    assert {path.relative_to(trained.run).as_posix() for path in trained.run.rglob("*.*")} == files | heads


def test_every_clip_is_scored_once_and_speakers_are_apart(trained):
    table = read_predictions(trained.run / "predictions.csv")
    assert sorted(table["utterance_id"]) == sorted(row["utterance_id"] for row in rows_of(RECIPE))
    assert trained.metrics["speaker_disjoint"] is True
    assert set(trained.metrics["conditions"]) == {"unknown"}
    assert trained.metrics["labels"] == ["angry", "happy", "sad"]


def test_every_figure_comes_from_the_predictions_on_disk(trained):
    metrics = json.loads((trained.run / "metrics.json").read_text())
    assert metrics == trained.metrics
    assert (
        compute_metrics(primary_rows(read_predictions(trained.run / "predictions.csv")), metrics["labels"])
        == metrics["test"]
    )
    assert compute_metrics(read_predictions(trained.run / "validation.csv"), metrics["labels"]) == metrics["validation"]


def test_the_saved_heads_alone_make_the_predictions(trained, store):
    table = read_predictions(trained.run / "predictions.csv")
    run = Run.load(trained.run)
    with Store(store) as opened:
        ids = opened.utterances["utterance_id"].tolist()
        for fold, rows in table.groupby("fold"):
            vectors = opened.read([ids.index(name) for name in rows["utterance_id"]])
            scored = np.asarray(load_head(trained.run / f"fold_{fold}/head.keras")(vectors))
            assert scored == pytest.approx(probability_matrix(rows, run.labels), abs=1e-5)


def test_the_scaling_is_that_of_the_training_clips(trained, store):
    run = Run.load(trained.run)
    with Store(store) as opened:
        vectors, speakers = opened.read(range(len(opened))), opened.column("speaker")
    for fold in run.about["folds"]:
        mean, variance = load_head(trained.run / fold["head"]).get_layer("scaling").get_weights()[:2]
        train_vectors = vectors[np.isin(speakers, fold["speakers"]["train"])].astype(np.float64)
        assert mean == pytest.approx(train_vectors.mean(axis=0), rel=1e-6)
        assert variance == pytest.approx(train_vectors.var(axis=0), rel=1e-5)
        assert not set(fold["speakers"]["train"]) & set(fold["speakers"]["test"])


def test_history_has_every_epoch_of_every_fold(trained):
    history = pd.read_csv(trained.run / "history.csv")
    assert history.columns.tolist() == ["fold", "epoch", "loss", "accuracy", "val_loss", "val_accuracy"]
    for fold, rows in history.groupby("fold"):
        assert rows["epoch"].tolist() == list(range(1, len(rows) + 1))
        best = Run.load(trained.run).about["folds"][fold - 1]["best_epoch"]
        assert rows["val_loss"].idxmin() == rows.index[best - 1]


def test_the_plain_head_beside_a_personalised_one_is_neither_in_the_history_nor_tracked(personalized, recorder):
    history = pd.read_csv(personalized.run / "history.csv")
    assert [point.step for point in recorder.points] == history["epoch"].tolist()
    assert [point.values["loss"] for point in recorder.points] == history["loss"].tolist()


def test_the_same_seed_gives_the_same_metrics_whatever_else_was_drawn(trained, store, tmp_path):
    np.random.seed(99)
    again = ser_head.train(store=store, protocol=f"kfold:{FOLDS}", epochs=6, out=tmp_path / "again")
    metrics = [hashlib.sha256((run / "metrics.json").read_bytes()).digest() for run in (trained.run, again.run)]
    assert metrics[0] == metrics[1]


def test_a_run_scores_by_the_mean_of_its_folds(trained, store):
    run = Run.load(trained.run)
    with Store(store) as opened:
        vectors = opened.read(range(10))
        expected = np.mean([load_head(trained.run / fold["head"])(vectors) for fold in run.about["folds"]], axis=0)
        assert run.probabilities(vectors, spec=opened.spec) == pytest.approx(expected, abs=1e-6)
        assert run.probabilities(vectors[:0]).shape == (0, 3)
        with pytest.raises(InputError, match="holds vectors with digest 'd1', not 'd2'"):
            run.probabilities(vectors, spec=replace(opened.spec, digest="d2"))
    with pytest.raises(InputError, match=r"takes vectors of shape \(clips, 2, 8\), not \(10, 1, 8\)"):
        run.probabilities(vectors[:, :1])


def test_a_personalised_head_is_scored_with_and_without_the_speaker(personalized, store):
    metrics = personalized.metrics
    assert metrics["speaker_disjoint"] is False
    assert metrics["test"] == metrics["conditions"]["closed"]
    conditions = {"closed", "unknown", "enrolled:1", "enrolled:5", "enrolled:20", "transductive", "plain"}
    assert metrics["conditions"].keys() == conditions
    assert {figures["n"] for figures in metrics["conditions"].values()} == {metrics["n_test"]}
    table = read_predictions(personalized.run / "predictions.csv")
    run = Run.load(personalized.run)
    with Store(store) as opened:
        ids = opened.utterances["utterance_id"].tolist()
        for condition in ("closed", "unknown"):
            rows = table[table["condition"] == condition]
            vectors = opened.read([ids.index(name) for name in rows["utterance_id"]])
            names = rows["speaker"].tolist() if condition == "closed" else ["nobody"] * len(rows)
            assert run.probabilities(vectors, names) == pytest.approx(probability_matrix(rows, run.labels), abs=1e-5)
        strangers = run.probabilities(vectors)
        assert strangers == pytest.approx(run.probabilities(vectors, ["nobody"] * len(vectors)))
        training_speakers = run.probabilities(vectors, rows["speaker"].tolist())
        assert np.abs(training_speakers - strangers).max() > 1e-3


@pytest.mark.parametrize("method", ["normalize", "features", "calibrate", "embedding,normalize,features,calibrate"])
def test_a_run_scores_an_enrolled_speaker_as_its_training_did(store, tmp_path, method):
    trained = ser_head.train(store=store, personalized=method, epochs=4, out=tmp_path / "run")
    table = read_predictions(trained.run / "predictions.csv")
    rows = table[table["condition"] == "transductive"]
    run = Run.load(trained.run)
    with Store(store) as opened:
        ids = opened.utterances["utterance_id"].tolist()
        vectors = opened.read([ids.index(name) for name in rows["utterance_id"]])
    names = rows["speaker"].to_numpy()
    enrolled = {name: vectors[names == name] for name in set(names)}
    scored = run.probabilities(vectors, names.tolist(), enrolled=enrolled)
    assert scored == pytest.approx(probability_matrix(rows, run.labels), abs=1e-5)


@pytest.mark.parametrize(
    ("settings", "trainings"),
    [
        ({"personalized": "normalize"}, 1),
        ({"personalized": "calibrate", "head": "svm"}, 1),
        ({"personalized": "normalize", "augment": "none"}, 2),
        ({"personalized": "features"}, 2),
        ({"personalized": "normalize", "protocol": "random"}, 2),  # validation speakers are training speakers
    ],
)
def test_one_training_serves_a_personalised_head_and_the_plain_one_where_they_are_the_same(
    store, tmp_path, monkeypatch, settings, trainings
):
    settings = {"epochs": 2, "protocol": "speaker", **settings}
    fits = []
    for trainer in (KerasTrainer, SklearnTrainer):
        fit = trainer.fit
        monkeypatch.setattr(trainer, "fit", lambda *args, fit=fit: fits.append(1) or fit(*args))
    once = ser_head.train(store=store, **settings, out=tmp_path / "once")
    assert len(fits) == trainings
    monkeypatch.setattr(fold_runner, "trains_identically", lambda *_: False)
    twice = ser_head.train(store=store, **settings, out=tmp_path / "twice")
    assert len(fits) == trainings + 2
    assert once.metrics == twice.metrics


def test_a_shuffled_speaker_table_gains_nothing(make_store, tmp_path):
    """Where voices differ much, a speaker's own clips help as an enrolment, and another speaker's do not."""
    path = make_store(speakers=10, takes=10, voice=4.0, signal=0.7, width=12)
    trained = ser_head.train(store=path, personalized="normalize", protocol="kfold:5", epochs=40, out=tmp_path / "run")
    conditions = trained.metrics["conditions"]
    assert conditions["enrolled:20"]["uar"] > conditions["plain"]["uar"] + 0.05
    table = read_predictions(trained.run / "predictions.csv")
    rows = table[(table["condition"] == "transductive") & (table["fold"] == 1)]
    (speaker, other_speaker) = sorted(set(rows["speaker"]))
    run = Run.load(trained.run)
    with Store(path) as opened:
        ids = opened.utterances["utterance_id"].tolist()
        clips = {
            name: opened.read([ids.index(clip) for clip in rows["utterance_id"][rows["speaker"] == name]])
            for name in (speaker, other_speaker)
        }
    labels = rows["label"][rows["speaker"] == speaker].to_numpy()
    (first, *_) = run.scorers
    matched = first.score([ScoringRequest(clips[speaker], clips[speaker])])
    mismatched = first.score([ScoringRequest(clips[speaker], clips[other_speaker])])
    names = np.array(run.labels)
    assert np.mean(names[matched.argmax(axis=1)] == labels) > np.mean(names[mismatched.argmax(axis=1)] == labels)


def test_the_weighted_layer_sum_finds_the_informative_layer(make_store, tmp_path):
    path = make_store(layers=("0", "1", "2"), informative=("1",), signal=1.0, takes=20)
    trained = ser_head.train(store=path, epochs=60, patience=1.0, dropout=0.0, out=tmp_path / "run")
    weights = Run.load(trained.run).about["folds"][0]["layer_weights"]
    assert np.argmax(weights) == 1
    assert weights[1] > 0.4


def test_a_store_that_stays_on_disk_can_be_trained_on(make_store):
    settings = TrainConfig(epochs=10)
    with Store(make_store(takes=20, signal=3.0)) as opened:
        data = Dataset(opened, memory_bytes=0)
        clips = ClipMetadata(data.speakers, data.clips["corpus"].to_numpy(object), data.targets)
        (split,) = make_splits(Protocol("speaker"), clips, settings.split, seed=0)
        trainer = KerasTrainer(data, settings, {})
        fold = prepare_fold(data, split, settings)
        trainer.fit(fold, lambda _: None)
        scored = trainer.predict(InputBuilder(data, fold, [], fold.personalizer).inputs(split.test))
    assert np.mean(scored.argmax(axis=1) == data.targets[split.test]) > 0.8


def test_a_head_trained_on_smoothed_labels_has_their_confidence(make_store):
    settings = TrainConfig(epochs=60, dropout=0.0, noise=0.0, weight_decay=0.0, label_smoothing=0.3)
    with Store(make_store(takes=20, signal=10.0)) as opened:
        data = Dataset(opened)
        clips = ClipMetadata(data.speakers, data.clips["corpus"].to_numpy(object), data.targets)
        (split,) = make_splits(Protocol("speaker"), clips, settings.split, seed=0)
        trainer = KerasTrainer(data, settings, {})
        fold = prepare_fold(data, split, settings)
        trainer.fit(fold, lambda _: None)
        scored = trainer.predict(InputBuilder(data, fold, [], fold.personalizer).inputs(split.train))
    assert np.mean(scored.max(axis=1)) == pytest.approx(1 - 0.3 + 0.3 / 3, abs=0.03)


def test_cross_corpus_is_scored_on_the_shared_emotions(make_store, tmp_path):
    rows = rows_of(Recipe(corpora=("a",), emotions=("sad", "angry", "calm")))
    rows += rows_of(Recipe(corpora=("b",), emotions=("sad", "angry", "fear")))
    path = make_store(rows=rows)
    trained = ser_head.train(store=path, protocol="cross:a:b", epochs=1, out=tmp_path / "run")
    assert trained.metrics["labels"] == ["angry", "sad"]
    assert trained.metrics["n_test"] == 48
    assert trained.metrics["speaker_disjoint"] is True


@pytest.mark.parametrize(
    ("recipe", "flags", "message"),
    [
        ({"emotions": ("",)}, [], "at least two emotions"),
        ({"emotions": ("sad",)}, [], "at least two emotions"),
        (
            {"speakers": 1},
            [],
            "tiny.h5: expected enough speakers for parts of 0.6, 0.2, 0.2, found 1; --protocol random splits",
        ),
        ({"named": False}, [], "72 clips name none; use --protocol random"),
        ({"named": False}, ["--personalized", "--protocol", "random"], "the training clips name no speaker"),
        ({}, ["--head", "gpt"], "--head has to be one of"),
        ({}, ["--layer", "12"], "expected a layer of"),
        ({}, ["--corpus", "iemocap"], "has no corpus 'iemocap'"),
        ({}, ["--protocol", "kfold:7"], "needs a corpus of at least 7 speakers"),
        ({}, ["--protocol", "cross:demo:other"], "has no corpus 'other'"),
        ({}, ["--protocol", "cross:demo:other", "--corpus", "demo"], "leave out --corpus"),
        ({}, ["--split", "0.5;0.5"], "--split"),
        ({}, ["--store", "nowhere.h5"], "no store at nowhere.h5"),
    ],
)
def test_a_training_that_is_impossible_is_one_line_and_leaves_nothing(
    make_store, tmp_path, capsys, recipe, flags, message
):
    store, out = make_store(**recipe), tmp_path / "runs" / "run"
    try:
        code = main(["--store", str(store), "--out", str(out), *flags])
    except SystemExit as stop:
        code = stop.code
    output = capsys.readouterr()
    assert code == EXIT_BAD_INPUT
    assert output.out == ""
    assert output.err.startswith("error: ")
    assert output.err.count("\n") == 1
    assert message in output.err
    assert not out.parent.exists()


def test_an_emotion_that_no_training_speaker_has_is_named(make_store, tmp_path):
    rows = [row for row in rows_of(Recipe()) if row["emotion"] != "sad" or row["speaker"] == "demo/3"]
    with pytest.raises(InputError, match=r"fold 1 of kfold:3 .* sad \(clips in all: 4, their speakers: 1\); correct"):
        ser_head.train(store=make_store(rows=rows), protocol="kfold:3", out=tmp_path / "run")


def test_a_training_that_diverges_says_so_and_leaves_nothing(store, tmp_path):
    with pytest.raises(InputError, match="training diverged"):
        ser_head.train(store=store, learning_rate=1e38, epochs=2, out=tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_a_training_that_is_terminated_says_so_and_leaves_nothing(store, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(experiment, "run_folds", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    assert main(["--store", str(store), "--out", str(tmp_path / "run")]) == 143
    assert capsys.readouterr() == ("", "stopped\n")
    assert not list(tmp_path.iterdir())


def test_a_run_that_cannot_be_written_is_one_line(store, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["--store", str(store), "--out", str(tmp_path / "file" / "run")]) == EXIT_BAD_INPUT
    assert capsys.readouterr() == ("", f"error: cannot write to {tmp_path / 'file'}: Not a directory\n")


def test_a_run_is_never_written_over(trained, store):
    with pytest.raises(InputError, match="expected a new folder for the run, but .*folds exists"):
        ser_head.train(store=store, out=trained.run)


def test_the_command_by_itself_uses_the_only_store_and_prints_one_object(tmp_path):
    (tmp_path / "embeddings").mkdir()
    write_store(tmp_path / "embeddings" / "tiny.h5", Recipe())
    command = [sys.executable, "-m", "ser_head.train", "--epochs", "1", "--json"]
    process = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (process.returncode, process.stderr) == (EXIT_DONE, "")
    document = json.loads(process.stdout)
    assert document["run"] == "runs/tiny-mlp-speaker"
    assert document["test"]["n"] == document["n_test"]
    assert Run.load(tmp_path / document["run"]).labels == ("angry", "happy", "sad")


def test_the_summary_says_whether_speakers_were_apart(trained, personalized):
    for result, words in ((trained, "no speaker in both training and test"), (personalized, "SPEAKERS SHARED")):
        assert words in summary(result)
        assert f"UAR {result.metrics['test']['uar']:.3f}" in summary(result)
        assert str(result.run) in summary(result)


def test_the_summary_counts_copies_among_the_clips(trained):
    assert len(summary(trained).splitlines()) == 3
    copied = {"clips": 2, "unknown": 0, "example": ["a", "b"]}
    leakage = {**trained.metrics["leakage"], "audio": copied, "duplicates": {"clips": 4, "example": ["a", "b"]}}
    lines = summary(replace(trained, metrics={**trained.metrics, "leakage": leakage})).splitlines()
    assert lines[2:4] == [
        "2 of 72 test clips sound exactly like a training clip, such as a and b.",
        "4 recordings of the corpus sound exactly like another, such as a and b.",
    ]
    assert lines[4].startswith("run ")


def test_every_seed_is_trained_and_their_spread_is_reported(make_store, tmp_path, monkeypatch):
    settings = {"store": make_store(), "epochs": 1, "protocol": "kfold:3", "seeds": 2}
    trained = ser_head.train(**settings, out=tmp_path / "sequential")
    recorder = Recorder()
    monkeypatch.setitem(TRACKERS, "mine", recorder.spec)
    parallel = ser_head.train(**settings, jobs=2, track="mine", out=tmp_path / "parallel")
    for name in ("metrics.json", "history.csv", "predictions.csv", "validation.csv"):
        assert (parallel.run / name).read_bytes() == (trained.run / name).read_bytes(), name
    assert parallel.metrics == trained.metrics
    assert sorted(point.series for point in recorder.points) == [
        f"seed_{seed}/fold_{fold}" for seed in (0, 1) for fold in (1, 2, 3)
    ]
    history = pd.read_csv(parallel.run / "history.csv").set_index("fold")
    for point in recorder.points:
        if point.series.startswith("seed_0"):
            row = history.loc[int(point.series[-1])].to_dict()
            assert {"epoch": point.step, **point.values} == pytest.approx(row, rel=1e-12)
    seeds = trained.metrics["seeds"]
    assert seeds["n"] == 2
    assert seeds["uar"]["values"][0] == trained.metrics["test"]["uar"]
    second_seed = ser_head.train(**{**settings, "seeds": 1, "seed": 1}, out=tmp_path / "second")
    assert seeds["uar"]["values"][1] == second_seed.metrics["test"]["uar"]
    assert ser_head.score(trained.run / "predictions.csv")["seeds"] == seeds


def test_leaks_are_counted_in_the_folds_of_the_first_seed(make_store, tmp_path):
    settings = {"store": make_store(), "epochs": 1, "protocol": "random"}
    one, two = (
        ser_head.train(**settings, seeds=seeds, out=tmp_path / str(seeds)).metrics["leakage"] for seeds in (1, 2)
    )
    assert one["speaker"]["clips"] > 0
    assert two == one


def test_validation_of_a_plain_head_knows_no_speaker(store):
    settings = TrainConfig(protocol="random")
    with Store(store) as opened:
        data = Dataset(opened)
        clips = ClipMetadata(data.speakers, data.corpora, data.targets)
        split = make_splits(Protocol.parse("random"), clips, settings.split, settings.seed)[0]
        fold = prepare_fold(data, split, settings)
        unknown = validation_inputs(data, fold, fold.training_personalizer, fold.generator())[0]
        vectors = unknown.inputs(split.validation)[0]
        np.testing.assert_array_equal(vectors, fold.scaling.read(data, split.validation))


def numbered_rows(recipe):
    """Return rows with a rating and votes: eight votes for the emotion of the row, one for each other."""
    numbers = {"angry": 4.0, "happy": 3.0, "sad": 1.0}
    votes = [{f"votes_{name}": 8 if name == row["emotion"] else 1 for name in numbers} for row in rows_of(recipe)]
    return [
        {**row, "rating": numbers[row["emotion"]], **row_votes}
        for row, row_votes in zip(rows_of(recipe), votes, strict=True)
    ]


@pytest.mark.parametrize("method", [(), "normalize,embedding,features", "calibrate"])
def test_a_number_is_learned_by_concordance_and_scored_again_by_the_saved_run(make_store, tmp_path, method):
    path = make_store(rows=numbered_rows(Recipe(takes=10)), signal=3.0)
    trained = ser_head.train(
        store=path, target="rating", personalized=method, protocol="kfold:3", epochs=30, out=tmp_path / "run"
    )
    assert trained.metrics["labels"] == []
    with pytest.raises(InputError, match="averages probabilities, but .* answers with a number"):
        ser_head.train(head="ensemble", members=[trained.run, trained.run], out=tmp_path / "both")
    assert trained.metrics["test"]["ccc"] > 0.7
    assert "CCC" in summary(trained)
    table = primary_rows(read_predictions(trained.run / "predictions.csv"))
    assert ser_head.score(trained.run / "predictions.csv")["test"] == trained.metrics["test"]
    run = Run.load(trained.run)
    with Store(path) as opened:
        ids = opened.utterances["utterance_id"].tolist()
        for scorer, (_, rows) in zip(run.scorers, table.groupby("fold"), strict=True):
            scored = scorer.score([ScoringRequest(opened.read([ids.index(name) for name in rows["utterance_id"]]))])
            assert scored[:, 0] == pytest.approx(rows["prediction"].to_numpy(np.float32), abs=1e-4)


def test_votes_are_learned_as_shares(make_store, tmp_path):
    path = make_store(rows=numbered_rows(Recipe(takes=10)), signal=4.0)
    settings = {"store": path, "epochs": 60, "patience": 1.0, "dropout": 0.0, "refit": "never"}
    trained = ser_head.train(**settings, target="votes", out=tmp_path / "votes")
    table = primary_rows(read_predictions(trained.run / "predictions.csv"))
    history = pd.read_csv(trained.run / "history.csv")
    assert trained.metrics["test"]["uar"] > 0.9
    entropy = -(0.8 * np.log(0.8) + 2 * 0.1 * np.log(0.1))  # no loss on the shares 8 : 1 : 1 is lower
    assert history["loss"].min() > 0.9 * entropy
    assert len(table) == trained.metrics["n_test"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target": "mood"}, r"--target has to be emotion, votes or a column of numbers .* \(.*rating.*\), not 'mood'"),
        ({"target": "rating", "head": "svm"}, "--target rating needs a network"),
        ({"target": "duration_s"}, "--target duration_s .* no clip of .*tiny.h5 has it"),
        ({"target": "rating", "search": 2}, "--search compares heads on classes"),
    ],
)
def test_an_impossible_target_is_refused(make_store, tmp_path, settings, message):
    with pytest.raises(InputError, match=message):
        ser_head.train(store=make_store(rows=numbered_rows(Recipe())), **settings, out=tmp_path / "run")


def test_an_ensemble_averages_its_members_log_probabilities(make_store, tmp_path):
    path = make_store(speakers=8)
    members = [
        ser_head.train(store=path, head=head, protocol="kfold:4", epochs=4, out=tmp_path / head).run
        for head in ("mlp", "svm")
    ]
    trained = ser_head.train(head="ensemble", members=members, by="emotion", out=tmp_path / "both")
    assert list(trained.metrics["by"]["emotion"]) == ["angry", "happy", "sad"]
    assert trained.metrics["n_test"] == trained.metrics["test"]["n"]
    assert ser_head.score(trained.run / "predictions.csv")["test"] == trained.metrics["test"]
    tables = [
        primary_rows(read_predictions(run / "predictions.csv")).set_index("utterance_id")
        for run in (*members, trained.run)
    ]
    labels = trained.metrics["labels"]
    log_probabilities = [safe_log(probability_matrix(table.loc[tables[0].index], labels)) for table in tables]
    temperature = tables[2].loc[tables[0].index, "temperature"].to_numpy()[:, None]
    logits = (log_probabilities[0] + log_probabilities[1]) / 2 / temperature
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert np.exp(log_probabilities[2]) == pytest.approx(expected, abs=1e-4)
    run = Run.load(trained.run)
    assert [member.config.head for member in run.members] == ["mlp", "svm"]
    with pytest.raises(InputError, match="needs at least two runs"):
        ser_head.train(head="ensemble", members=members[:1], out=tmp_path / "one")
    other_protocol = ser_head.train(store=path, epochs=1, out=tmp_path / "other").run
    with pytest.raises(InputError, match="differ in protocol"):
        ser_head.train(head="ensemble", members=[members[0], other_protocol], out=tmp_path / "mixed")
    with pytest.raises(InputError, match="both is an ensemble; name its members"):
        ser_head.train(head="ensemble", members=[members[0], trained.run], out=tmp_path / "nested")
    with pytest.raises(InputError, match="--protocol of an ensemble is that of its members, kfold:4, not loso"):
        ser_head.train(head="ensemble", members=members, protocol="loso", out=tmp_path / "parted")


def test_the_report_is_of_the_store_the_training_read(make_store, tmp_path, monkeypatch):
    path = make_store()
    other = make_store("other.h5", speakers=3)

    run_folds = experiment.run_folds

    def replaced_while_training(*args):
        results = run_folds(*args)
        os.replace(other, path)
        return results

    monkeypatch.setattr(experiment, "run_folds", replaced_while_training)
    run = ser_head.train(store=path, head="svm", epochs=1, out=tmp_path / "run").run
    with Store(path) as store:
        assert store.utterances["speaker"].nunique() == 3
    assert "6 speakers" in (run / "report.html").read_text("utf-8")


def test_vectors_that_changed_on_disk_are_not_trained_on(make_store, tmp_path, capsys):
    path = make_store()
    with h5py.File(path, "r+") as file:
        file["vectors"][5, 0, 2] += 1
    assert main(["--store", str(path), "--out", str(tmp_path / "run")]) == 2
    assert "are not those that were written (checksum)" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_an_ensemble_whose_store_has_moved_is_written_whole_or_not_at_all(make_store, tmp_path):
    path = make_store()
    members = [ser_head.train(store=path, head=head, out=tmp_path / head).run for head in ("svm", "forest")]
    path.rename(tmp_path / "moved.h5")
    with pytest.raises(InputError, match="no store at"):
        ser_head.train(head="ensemble", members=members, out=tmp_path / "lost")
    assert not (tmp_path / "lost").exists()
    ensemble = ser_head.train(head="ensemble", members=members, store=tmp_path / "moved.h5", out=tmp_path / "found")
    assert (ensemble.run / "report.html").is_file()
