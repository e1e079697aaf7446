"""Augmented copies in an experiment: trained on in their recording's fold, never scored and never enrolled."""

import dataclasses
import json
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import ser_head
from ser_embed.manifest import build_manifest
from ser_embed.store.reader import Store
from ser_embed.store.writer import StoreWriter
from ser_head.config.training import TrainConfig
from ser_head.data.dataset import Dataset
from ser_head.reporting.run_report import used_clips
from ser_head.runs.results import RunResults
from ser_head.training import keras_trainer, sklearn_trainer
from ser_head.training.fold import prepare_fold
from ser_head.training.inputs import training_inputs
from ser_head.training.plan import make_plan

NUM_COPIES = 2
PARTS = ("train", "validation", "test")


@pytest.fixture
def stores(make_store: Callable) -> tuple[Path, Path]:
    """A store of recordings, and one that has two copies of each beside them: the vectors, moved."""
    plain = make_store("plain.h5", speakers=5, takes=3, voice=1.0)
    with Store(plain) as store:
        clips, vectors, spec = store.utterances, store.read(range(len(store))), store.spec
    rows, copied = [], []
    random = np.random.default_rng(0)
    for row, vector in zip(clips.to_dict("records"), vectors, strict=True):
        rows.append({**row, "augmented_from": ""})
        copied.append(vector)
        for copy in range(1, NUM_COPIES + 1):
            name = row["utterance_id"]
            rows.append({**row, "utterance_id": f"{name}~{copy}", "augmented_from": name, "augmentation": "noise"})
            copied.append(vector + 5 + random.normal(size=vector.shape).astype(np.float32))
    table = build_manifest(rows)
    vectors_by_name = {row["utterance_id"]: vector for row, vector in zip(rows, copied, strict=True)}
    augmented = plain.with_name("augmented.h5")
    with StoreWriter(augmented, spec, {}) as writer:
        writer.add(table, [vectors_by_name[name] for name in table["utterance_id"]])
        writer.commit()
    return plain, augmented


@pytest.mark.parametrize("protocol", ["speaker", "random", "kfold:4", "loso"])
def test_splits_are_those_of_the_recordings_and_copies_are_trained_on_with_them(
    stores: tuple[Path, Path], protocol: str
) -> None:
    config = TrainConfig(protocol=protocol, seeds=2)
    names = []
    for path in stores:
        with Store(path) as store:
            data = Dataset(store)
            plan = make_plan(data, config)
            splits = [*plan.splits, *(split for other in plan.other_splits.values() for split in other)]
            names.append(
                [
                    {part: data.clips["utterance_id"].iloc[getattr(split, part)].tolist() for part in PARTS}
                    for split in splits
                ]
            )
    for plain, augmented in zip(*names, strict=True):
        assert augmented["validation"] == plain["validation"]
        assert augmented["test"] == plain["test"]
        assert augmented["train"] == sorted(f"{name}{suffix}" for name in plain["train"] for suffix in ("", "~1", "~2"))
    finding = plan.audit.findings["augmented"]
    assert (finding.clips, finding.example) == (0, None)
    assert plan.audit.findings["sentence"].unknown == 45


def test_statistics_are_measured_on_recordings_alone(stores: tuple[Path, Path]) -> None:
    config = TrainConfig(protocol="speaker", personalized=("normalize", "embedding"))
    folds = []
    for path in stores:
        with Store(path) as store:
            data = Dataset(store)
            folds.append(prepare_fold(data, make_plan(data, config).splits[0], config))
    plain, augmented = folds
    np.testing.assert_array_equal(plain.scaling.mean, augmented.scaling.mean)
    np.testing.assert_array_equal(plain.scaling.variance, augmented.scaling.variance)
    speakers, same_speakers = (fold.personalizer.training_speakers for fold in folds)
    assert speakers.names == same_speakers.names
    for field in ("means", "variances", "counts"):
        np.testing.assert_array_equal(getattr(speakers, field), getattr(same_speakers, field))
    np.testing.assert_allclose(plain.class_weights, augmented.class_weights, rtol=1e-6)


def test_copies_are_trained_on_in_the_session_of_their_recording_and_never_enrolled(
    stores: tuple[Path, Path],
) -> None:
    config = TrainConfig(protocol="speaker", personalized=("normalize",))
    with Store(stores[1]) as store:
        data = Dataset(store)
        fold = prepare_fold(data, make_plan(data, config).splits[0], config)
        builder = training_inputs(data, fold, fold.split.train, np.random.default_rng(0))
        session_of = {}
        for number, session in enumerate(builder._sessions):
            assert not data.clips["augmented_from"].iloc[session.enrolled].any()
            session_of |= dict.fromkeys(session.scored.tolist(), number)
        assert any(len(session.enrolled) for session in builder._sessions)
        together = builder.inputs(fold.split.train)[0]
        for position, clip in enumerate(fold.split.train):
            session = builder._sessions[session_of[int(data.recordings[clip])]]
            assert data.recordings[clip] not in session.enrolled
            state = builder._describe(session)
            vectors = fold.scaling.read(data, np.array([clip]))
            expected = builder._personalizer.inputs(vectors, [state], np.zeros(1, int))[0]
            np.testing.assert_allclose(together[position], expected[0], atol=1e-5)


@pytest.mark.parametrize(("head", "module"), [("mlp", keras_trainer), ("svm", sklearn_trainer)])
def test_figures_count_recordings_and_refitting_takes_the_copies_of_validation_clips(
    stores: tuple[Path, Path], tmp_path: Path, head: str, module: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned: list[int] = []

    def watch(data: Dataset, fold: object, clips: np.ndarray, random: np.random.Generator) -> object:
        learned.append(len(clips))
        return training_inputs(data, fold, clips, random)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "training_inputs", watch)
    folder = ser_head.train(
        store=stores[1], head=head, protocol="kfold:5", epochs=2, refit="whole", out=tmp_path / "run"
    ).run
    copies = 1 + NUM_COPIES
    # Of training, with validation clips, and of all folds: recordings and copies.
    assert set(learned) == {27 * copies, 36 * copies, 45 * copies}
    about, metrics = (json.loads((folder / name).read_text()) for name in ("run.json", "metrics.json"))
    assert (about["clips"], about["copies"], metrics["n_test"]) == (45, 90, 45)
    predictions = pd.read_csv(folder / "predictions.csv")
    assert not predictions["utterance_id"].str.contains("~").any()
    with Store(stores[1]) as store:
        assert len(used_clips(RunResults.load(folder), store)) == 45


def test_lost_copies_are_logged_once(stores: tuple[Path, Path], caplog: pytest.LogCaptureFixture) -> None:
    with Store(stores[1]) as store:
        data = Dataset(store)
        data.left_out = ("demo/9-sad-0~1", "demo/9-sad-0~2")
        with caplog.at_level(logging.WARNING):
            make_plan(data, dataclasses.replace(TrainConfig(), seeds=3))
    assert caplog.messages == [
        "2 augmented copies are left out: their recording is not among the clips, such as that of demo/9-sad-0~1"
    ]
