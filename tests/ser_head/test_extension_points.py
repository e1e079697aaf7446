"""Extension points of stage 2: heads, methods, protocols, output formats registered from outside, used end to end."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import ser_embed
import ser_head
from ser_embed.store.reader import Store
from ser_head.data.splits import PROTOCOLS, ProtocolSpec, Split
from ser_head.evaluation.predictions import primary_rows, probability_matrix, read_predictions
from ser_head.heads.registry import HEADS, KerasHeadSpec, SklearnHeadSpec
from ser_head.heads.sklearn_heads import KINDS, SklearnKind
from ser_head.inference.output_formats import WRITERS
from ser_head.personalization.methods import METHODS, Method
from ser_head.personalization.speakers import SpeakerDescription
from ser_head.scoring.calibrators import CALIBRATORS, Calibrator
from tests.ser_embed.conftest import write_corpus


def score_again(run: Path, store: Path, condition: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the probabilities that a run wrote for the clips of a condition, and those of the loaded run."""
    table = read_predictions(run / "predictions.csv")
    rows = table[table["condition"] == condition]
    loaded = ser_head.Run.load(run)
    with Store(store) as opened:
        ids = opened.utterances["utterance_id"].tolist()
        vectors = opened.read([ids.index(name) for name in rows["utterance_id"]])
    return probability_matrix(rows, loaded.labels), loaded.probabilities(vectors)


def test_a_network_is_one_entry(make_store, tmp_path, monkeypatch):
    monkeypatch.setitem(HEADS, "tiny", KerasHeadSpec(summary="one hidden layer of 8 units", hidden=(8,)))
    store = make_store(signal=3.0)
    result = ser_head.train(store=store, head="tiny", epochs=30, out=tmp_path / "run")
    assert result.metrics["test"]["uar"] > 0.6
    written, again = score_again(result.run, store, "unknown")
    assert again == pytest.approx(written, abs=1e-5)
    assert "one hidden layer of 8 units" in (result.run / "report.html").read_text("utf-8")


def test_an_estimator_is_one_entry_and_its_kind(make_store, tmp_path, monkeypatch):
    from sklearn.neighbors import KNeighborsClassifier

    kind = SklearnKind(
        "knn",
        KNeighborsClassifier,
        lambda problem: KNeighborsClassifier(3, algorithm="brute"),  # a tree would be one more type to trust
        lambda estimator, dimensions: np.maximum(estimator.predict_proba(dimensions), 1e-3),
    )
    monkeypatch.setitem(KINDS, "knn", kind)
    monkeypatch.setitem(HEADS, "knn", SklearnHeadSpec(summary="three nearest neighbours", kind="knn"))
    monkeypatch.setattr(
        "ser_head.heads.sklearn_heads.TRUSTED", ["sklearn.neighbors._classification.KNeighborsClassifier"]
    )
    store = make_store(signal=3.0)
    result = ser_head.train(store=store, head="knn", out=tmp_path / "run")
    assert result.metrics["test"]["uar"] > 0.6
    written, again = score_again(result.run, store, "unknown")
    assert again == pytest.approx(written, abs=1e-5)


class CountClips(Method):
    """Method that feeds the network the number of enrolled clips, and halves the vectors of unknown speakers."""

    summary = "counts the clips of a voice"

    def input_width(self, width: int, table_rows: int) -> int:
        return 1

    def describe(self, speaker: SpeakerDescription, *_: Any) -> tuple[np.ndarray, ...]:
        return np.array([np.log1p(len(speaker.enrolled))], np.float32), np.float32(
            0.5 if not len(speaker.enrolled) else 1
        )

    def transform(self, vectors: np.ndarray, *arrays: np.ndarray) -> np.ndarray:
        return vectors * arrays[1][:, None, None]


def test_a_personalisation_method_is_one_entry(make_store, tmp_path, monkeypatch):
    monkeypatch.setitem(METHODS, "count", CountClips())
    store = make_store(signal=2.0, takes=8)
    result = ser_head.train(store=store, personalized="count", epochs=20, out=tmp_path / "run")
    assert {"unknown", "enrolled:1", "enrolled:20", "transductive", "plain"} <= set(result.metrics["conditions"])
    written, again = score_again(result.run, store, "unknown")
    assert again == pytest.approx(written, abs=1e-5)
    loaded = ser_head.Run.load(result.run)
    with Store(store) as opened:
        vectors = opened.read(range(6))
    enrolled = loaded.probabilities(vectors, ["x"] * 6, enrolled={"x": vectors})
    assert np.abs(enrolled - loaded.probabilities(vectors)).max() > 1e-4
    assert "counts the clips of a voice (count)" in (result.run / "report.html").read_text("utf-8")


def test_a_calibrator_is_one_entry(make_store, tmp_path, monkeypatch):
    class Halfway(Calibrator):
        """Half of the head's answer, half of the classes' shares among the validation clips."""

        def fit(self, probabilities, targets):
            return (np.bincount(targets, minlength=probabilities.shape[1]) / len(targets)).tolist()

        def apply(self, probabilities, parameters):
            return (0.5 * probabilities + 0.5 * np.array(parameters)).astype(np.float32)

    monkeypatch.setitem(CALIBRATORS, "halfway", Halfway())
    store = make_store(signal=3.0)
    runs = {
        name: ser_head.train(store=store, calibration=name, refit="never", epochs=10, out=tmp_path / name).run
        for name in ("halfway", "none")
    }
    written, again = score_again(runs["halfway"], store, "unknown")
    assert again == pytest.approx(written, abs=1e-5)
    uncalibrated, again = score_again(runs["none"], store, "unknown")
    assert again == pytest.approx(uncalibrated, abs=1e-5)
    assert written == pytest.approx(0.5 * uncalibrated + 0.5 / 3, abs=1e-5)  # the validation classes are even


def test_a_protocol_is_one_entry(make_store, tmp_path, monkeypatch):
    def split_takes(protocol: Any, clips: Any, shares: Any, random: Any) -> list[Split]:
        rows = np.arange(len(clips.speakers))
        return [Split(1, rows[rows % 4 > 1], rows[rows % 4 == 1], rows[rows % 4 == 0])]

    spec = ProtocolSpec(("takes",), split_takes, "Every fourth take was kept for the test.", keeps_speakers_apart=False)
    monkeypatch.setitem(PROTOCOLS, "takes", spec)
    result = ser_head.train(store=make_store(), protocol="takes", epochs=2, out=tmp_path / "run")
    assert result.metrics["protocol"] == "takes"
    rows = primary_rows(read_predictions(result.run / "predictions.csv"))
    assert rows["utterance_id"].str.endswith("-0").all()
    assert "Every fourth take was kept for the test." in (result.run / "report.html").read_text("utf-8")


def test_an_output_format_is_one_entry(tmp_path, monkeypatch):
    def write_tsv(predictions: Any, path: Path) -> None:
        predictions.table.to_csv(path, sep="\t", index=False)

    monkeypatch.setitem(WRITERS, ".tsv", write_tsv)
    data = write_corpus(tmp_path / "data" / "tones", 12)
    ser_embed.extract("mfcc", data=data, store=tmp_path / "mfcc.h5")
    run = ser_head.train(store=tmp_path / "mfcc.h5", protocol="random", head="svm", out=tmp_path / "run").run
    output = tmp_path / "answers.tsv"
    predictions = ser_head.predict(data / "tones" / "003.wav", run=run, output=output)
    pd.testing.assert_frame_equal(pd.read_csv(output, sep="\t"), predictions.table, check_dtype=False)


def test_the_registries_are_plain_dicts():
    for registry in (HEADS, METHODS, PROTOCOLS, WRITERS, KINDS):
        assert type(registry) is dict
        assert all(isinstance(name, str) for name in registry)
