"""Fabricated runs: a run folder and its store with random content in the right format, made without training."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, f1_score, precision_recall_fscore_support

from ser_embed.manifest import build_manifest
from ser_embed.spec import EmbeddingSpec
from ser_embed.store.reader import Store
from ser_embed.store.writer import StoreWriter
from ser_head.config.training import TrainConfig
from ser_head.data.scaling import Alignment
from ser_head.evaluation.calibration import calibration_error, coverage_curve, reliability_table
from ser_head.evaluation.metrics import compute_metrics, scored_figures
from ser_head.evaluation.predictions import probability_matrix
from ser_head.personalization.output_adaptation import OutputCalibration
from ser_head.personalization.personalizer import Personalizer
from ser_head.personalization.speakers import TrainingSpeakers
from ser_head.runs.document import FORMAT, VERSION
from ser_head.scoring.scorer import Scorer
from ser_head.scoring.scorer_file import SCORER_FILE, save_scorer

LABELS = ("angry", "happy", "neutral", "sad")
SPEC = EmbeddingSpec(
    model="hubert-tiny",
    revision="",
    digest="d1",
    layers=("0", "1", "2"),
    pooling="mean",
    width=8,
    rate_hz=16_000,
    normalization="zero-mean-unit-variance",
    trim_db=None,
    level_db=None,
    arithmetic="float32",
)


@dataclass(frozen=True)
class Case:
    """Properties of a fabricated run. `skill` is added to the score of the true class before the softmax."""

    corpus: str = "ravdess"
    speakers: tuple[str, ...] = tuple(f"ravdess/{number:02}" for number in range(1, 9))
    labels: tuple[str, ...] = LABELS
    clips_each: int = 6
    folds: int = 4
    skill: float = 1.5
    seed: int = 0
    protocol: str = "kfold:4"
    disjoint: bool = True
    spec: EmbeddingSpec = SPEC
    synthetic: bool = False


def fabricate(folder: Path, case: Case | None = None, **changes) -> tuple[Path, Path]:
    """Write a run folder and a store and return both paths; `changes` are fields of `Case`."""
    case = replace(case or Case(), **changes)
    clips = manifest(case)
    store = folder / "store.h5"
    folder.mkdir(parents=True, exist_ok=True)
    write_store(store, case, clips)
    run = folder / "run"
    run.mkdir()
    predictions = predict(case, clips)
    predictions.to_csv(run / "predictions.csv", index=False)
    write_json(run / "metrics.json", measure(case, predictions))
    write_json(run / "run.json", about(case))
    (run / "head.keras").touch()
    history(case).to_csv(run / "history.csv", index=False)
    return run, store


def personalize(run: Path, store: Path, case: Case, methods: tuple[str, ...]) -> None:
    """Turn a fabricated run into a personalised one, scored under every condition, better with more enrolled clips."""
    extra_skill = {
        "unknown": 0.0,
        "plain": 0.1,
        "enrolled:1": 0.2,
        "enrolled:5": 0.5,
        "enrolled:20": 1,
        "transductive": 2,
    }
    tables = [
        predict(replace(case, skill=case.skill + extra), manifest(case)).assign(condition=name)
        for name, extra in extra_skill.items()
    ]
    predictions = pd.concat(tables, ignore_index=True)
    predictions.to_csv(run / "predictions.csv", index=False)
    edit_json(run / "metrics.json", **scored_figures(predictions, case.labels))
    document = json.loads((run / "run.json").read_text("utf-8"))
    with Store(store) as opened:
        folds = [write_fold(run, opened, case, methods, fold) for fold in document["folds"]]
    edit_json(run / "run.json", settings={**document["settings"], "personalized": methods}, folds=folds)


def write_fold(run: Path, store: Store, case: Case, methods: tuple[str, ...], fold: dict) -> dict:
    """Write head and scorer of a personalised fold; return its entry of run.json."""
    test = [name for index, name in enumerate(case.speakers) if index % case.folds == fold["fold"] - 1]
    train = tuple(name for name in case.speakers if name not in test)
    vectors = store.read(np.arange(len(store)), [len(case.spec.layers) - 1]).astype(np.float64)
    speakers = store.utterances["speaker"].to_numpy()
    train_vectors = vectors[np.isin(speakers, train)]
    scaling = Alignment(train_vectors.mean(axis=0), train_vectors.var(axis=0))
    scaled = scaling.apply(vectors)
    means = np.stack([scaled[speakers == name].mean(axis=0) for name in train]).astype(np.float32)
    counts, numbers = np.ones((len(train), len(case.labels)), np.int64), np.zeros((len(train), 2), np.float32)
    training_speakers = TrainingSpeakers(train, means, np.ones_like(means), counts, numbers)
    prior = np.full(len(case.labels), 1 / len(case.labels))
    scorer = Scorer(
        lambda inputs: inputs[0], scaling, Personalizer(methods, training_speakers), OutputCalibration((1.0,), prior)
    )
    folder = Path(f"fold_{fold['fold']}")
    (run / folder).mkdir()
    (run / folder / "head.keras").touch()
    entry = save_scorer(scorer, run / folder / SCORER_FILE)
    return {**fold, **entry, "head": f"{folder}/head.keras", "speakers": {"test": test, "train": list(train)}}


def make_numeric(run: Path, case: Case) -> None:
    """Turn a fabricated run into one whose head predicts a number."""
    random = np.random.default_rng(case.seed)
    clips = predict(case, manifest(case))[["utterance_id", "speaker", "fold", "condition"]]
    truth = random.uniform(1, 5, len(clips))
    table = clips.assign(label=truth, prediction=0.7 * truth + random.normal(1, 0.5, len(clips)))
    table.to_csv(run / "predictions.csv", index=False)
    test = compute_metrics(table, ())
    settings = json.loads((run / "run.json").read_text("utf-8"))["settings"]
    edit_json(run / "run.json", labels=[], settings={**settings, "target": "duration_s"})
    edit_json(run / "metrics.json", labels=[], test=test, conditions={"unknown": test})


def about(case: Case) -> dict:
    """Return run.json."""
    settings = TrainConfig(protocol=case.protocol, layer="last", corpus=(case.corpus,), seed=case.seed)
    return {
        "format": FORMAT,
        "version": VERSION,
        "settings": settings.to_dict(),
        "spec": asdict(case.spec),
        "labels": list(case.labels),
        "layers": [case.spec.layers[-1]],
        "versions": {"python": "3.11.0"},
        "folds": [
            {"fold": 1 + fold, "head": "head.keras", "known": [], "layer_weights": None, "best_epoch": 12 + fold}
            for fold in range(case.folds)
        ],
    }


def manifest(case: Case) -> pd.DataFrame:
    """Return the manifest: every speaker says every emotion `clips_each` times."""
    rows = [
        {
            "utterance_id": f"{case.corpus}/{number:02}_{emotion}_{take}",
            "path": f"{number:02}_{emotion}_{take}.wav",
            "corpus": case.corpus,
            "speaker": speaker,
            "emotion": emotion,
            "duration_s": 1.5 + 0.1 * take + 0.05 * number,
            **({"synthetic": "yes"} if case.synthetic else {}),
        }
        for number, speaker in enumerate(case.speakers)
        for emotion in case.labels
        for take in range(case.clips_each)
    ]
    return build_manifest(rows)


def write_store(path: Path, case: Case, clips: pd.DataFrame) -> None:
    """Write vectors that differ by emotion and by speaker."""
    random = np.random.default_rng(case.seed)
    shape = (len(case.spec.layers), case.spec.width)
    centres = {name: random.normal(0, 2, shape) for name in sorted({*clips["emotion"], *clips["speaker"]})}
    frames = 3 if case.spec.pooling == "frames" else None
    with StoreWriter(path, case.spec, {"python": "3.11.0"}) as writer:
        vectors = [
            (centres[clip.emotion] + centres[clip.speaker] + random.normal(size=shape)).astype(np.float32)
            for clip in clips.itertuples()
        ]
        writer.add(clips, [np.stack([vector] * frames) for vector in vectors] if frames else vectors)
        writer.commit()


def predict(case: Case, clips: pd.DataFrame) -> pd.DataFrame:
    """Return predictions.csv of a head of the case's skill."""
    random = np.random.default_rng(case.seed + 1)
    truth = np.array([case.labels.index(emotion) for emotion in clips["emotion"]])
    scores = random.normal(size=(len(clips), len(case.labels))) + case.skill * np.eye(len(case.labels))[truth]
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    table = clips[["utterance_id", "speaker"]].assign(
        label=clips["emotion"], prediction=np.array(case.labels)[probabilities.argmax(axis=1)]
    )
    for column, label in enumerate(case.labels):
        table["p_" + label] = probabilities[:, column]
    folds = {speaker: number % case.folds for number, speaker in enumerate(case.speakers)}
    return table.assign(fold=1 + clips["speaker"].map(folds), condition="unknown")


def measure(case: Case, predictions: pd.DataFrame) -> dict:
    """Return metrics.json, its scalar metrics computed by scikit-learn."""
    truth, predicted, labels = predictions["label"], predictions["prediction"], list(case.labels)
    uar = float(balanced_accuracy_score(truth, predicted))
    scores = precision_recall_fscore_support(truth, predicted, labels=labels, zero_division=0)
    probabilities, targets = probability_matrix(predictions, labels), truth.map(labels.index).to_numpy(int)
    test = {
        "accuracy": float((truth == predicted).mean()),
        "uar": uar,
        "macro_f1": float(f1_score(truth, predicted, labels=labels, average="macro", zero_division=0)),
        "log_loss": 1.0,
        "ece": calibration_error(probabilities, targets),
        "reliability": reliability_table(probabilities, targets),
        "coverage": coverage_curve(probabilities, targets),
        "ci95": {"accuracy": [uar - 0.05, uar + 0.05], "uar": [uar - 0.05, uar + 0.05]},
        "per_class": {
            label: dict(zip(("precision", "recall", "f1", "support"), map(float, values), strict=True))
            for label, values in zip(labels, zip(*scores, strict=True), strict=True)
        },
        "confusion": confusion_matrix(truth, predicted, labels=labels).tolist(),
    }
    return {
        "protocol": case.protocol,
        "speaker_disjoint": case.disjoint,
        "labels": labels,
        "n_test": len(predictions),
        "test": test,
        "conditions": {"unknown": {name: test[name] for name in ("accuracy", "uar", "macro_f1")}},
    }


def history(case: Case) -> pd.DataFrame:
    """Return history.csv of folds that stop at different epochs."""
    random = np.random.default_rng(case.seed + 2)
    rows = [
        {
            "fold": 1 + fold,
            "epoch": epoch,
            "loss": 1.6 * 0.9**epoch + random.normal(0, 0.03),
            "accuracy": 1 - 0.75 * 0.93**epoch + random.normal(0, 0.01),
            "val_loss": 1.2 * 0.95**epoch + 0.5 + random.normal(0, 0.03),
            "val_accuracy": 0.65 - 0.4 * 0.88**epoch + random.normal(0, 0.02),
        }
        for fold in range(case.folds)
        for epoch in range(1, 21 + 3 * fold)
    ]
    return pd.DataFrame(rows)


def write_json(path: Path, document: dict) -> None:
    """Write one JSON file."""
    path.write_text(json.dumps(document, indent=1), "utf-8")


def edit_json(path: Path, **changes) -> None:
    """Change entries of a JSON file; None removes an entry."""
    document = {**json.loads(path.read_text("utf-8")), **changes}
    write_json(path, {name: value for name, value in document.items() if value is not None})
