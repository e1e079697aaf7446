"""Real speech: heads compared with a linear SVM on the same vectors and folds; run by `make test-corpus`."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import recall_score
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import ser_embed
import ser_head
from ser_embed.store.reader import Store

pytestmark = [pytest.mark.corpus, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def store(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("egemaps") / "egemaps.h5"
    assert ser_embed.extract("egemaps", data=data_dir, corpus=("emodb", "ravdess"), store=path).clips == 535 + 1440
    return path


@pytest.mark.parametrize(("corpus", "protocol", "folds"), [("emodb", "loso", 10), ("ravdess", "kfold:6", 6)])
def test_the_default_head_is_as_good_as_a_linear_svm(
    store: Path, tmp_path: Path, corpus: str, protocol: str, folds: int
) -> None:
    trained = ser_head.train(store=store, corpus=(corpus,), protocol=protocol, out=tmp_path / "run")
    predictions = pd.read_csv(trained.run / "predictions.csv")
    assert predictions["fold"].nunique() == folds
    assert predictions.groupby("speaker")["fold"].nunique().max() == 1
    assert trained.metrics["speaker_disjoint"] is True
    reference = svm_uar(store, predictions)
    print(f"{corpus} {protocol}: head {trained.metrics['test']['uar']:.3f}, linear SVM {reference:.3f}")
    assert trained.metrics["test"]["uar"] >= reference - 0.02


def test_a_temperature_halves_the_calibration_error_of_a_support_vector_machine(store: Path, tmp_path: Path) -> None:
    trained = ser_head.train(store=store, corpus=("ravdess",), head="svm", protocol="kfold:6", out=tmp_path / "run")
    before, after = (trained.metrics["calibration"][when]["ece"] for when in ("before", "after"))
    print(f"ravdess kfold:6, svm: calibration error {before:.3f} before the temperature, {after:.3f} after")
    assert after <= before / 2


def svm_uar(store: Path, predictions: pd.DataFrame) -> float:
    """Return the UAR of scikit-learn's linear SVM, C = 0.01, balanced, trained and scaled outside each fold."""
    with Store(store) as opened:
        rows = {name: row for row, name in enumerate(opened.utterances["utterance_id"])}
        vectors = opened.read([rows[name] for name in predictions["utterance_id"]])[:, 0]
    labels = predictions["label"].to_numpy()
    predicted = labels.copy()
    for fold in predictions["fold"].unique():
        is_test = (predictions["fold"] == fold).to_numpy()
        scaler = StandardScaler().fit(vectors[~is_test])
        svm = SVC(kernel="linear", C=0.01, class_weight="balanced").fit(
            scaler.transform(vectors[~is_test]), labels[~is_test]
        )
        predicted[is_test] = svm.predict(scaler.transform(vectors[is_test]))
    return float(recall_score(labels, predicted, average="macro", labels=np.unique(labels)))
