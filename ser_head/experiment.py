"""One training from store to run folder: clips, splits, a head per fold, its predictions and figures."""

import dataclasses
import json
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from ser_embed.errors import InputError
from ser_embed.store import Store
from ser_head.backend import keras
from ser_head.dataset import Dataset
from ser_head.metrics import metrics_document
from ser_head.networks import layer_weights, with_scaling
from ser_head.predictions import CLOSED, UNKNOWN, VALIDATION, prediction_rows
from ser_head.runs import FORMAT, VERSION, RunWriter
from ser_head.settings import TrainSettings, find_store
from ser_head.splits import Clips, Protocol, Split, are_disjoint, make_splits
from ser_head.training import Fitted, Fold, Trainer, prepare_fold

_PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Trained:
    """What a training gave.

    Attributes:
        run: the run folder.
        metrics: content of its metrics.json.
    """

    run: Path
    metrics: dict[str, Any]


@dataclass(frozen=True)
class _FoldResult:
    tested: pd.DataFrame
    strangers: pd.DataFrame
    validated: pd.DataFrame
    history: pd.DataFrame
    about: dict[str, Any]


def run_experiment(settings: TrainSettings) -> Trained:
    """Train as `settings` say and write the run.

    Raises:
        InputError: the store, or what is asked of it, cannot be worked with; nothing is written.
    """
    path = settings.store or find_store()
    settings = dataclasses.replace(settings, store=path)
    with Store(path) as store:
        data, splits = _plan(store, settings)
        with RunWriter(settings.out, _run_name(settings)) as writer:
            results = _train_folds(data, splits, settings, writer.folder)
            metrics = _write(writer, data, splits, settings, results)
            folder = writer.commit()
    from ser_head.report import write_report

    write_report(folder, path)
    return Trained(folder, metrics)


def _plan(store: Store, settings: TrainSettings) -> tuple[Dataset, list[Split]]:
    """Choose the clips and part them."""
    protocol = Protocol.parse(settings.protocol)
    if protocol.kind == "cross" and settings.corpus:
        raise InputError(f"{settings.protocol} names its corpora itself; leave out --corpus")
    cross = protocol.kind == "cross"
    corpora = (protocol.train, protocol.test) if cross else settings.corpus
    data = Dataset(store, settings.layer, corpora, shared=cross)
    clips = Clips(data.speakers, data.clips["corpus"].to_numpy(object), data.targets)
    splits = make_splits(protocol, clips, settings.split, settings.seed)
    for split in splits:
        missing = set(range(len(data.labels))) - set(data.targets[split.train])
        if missing:
            names = ", ".join(data.labels[place] for place in sorted(missing))
            raise InputError(f"fold {split.fold} of {settings.protocol} has no training clip that is {names}")
        if settings.personalized and not np.any(data.speakers[split.train] != ""):
            raise InputError("a personalised head needs to know who speaks, but the training clips name no speaker")
    return data, splits


def _train_folds(data: Dataset, splits: list[Split], settings: TrainSettings, folder: Path) -> list[_FoldResult]:
    most_known = max(len(set(data.speakers[split.train])) for split in splits) if settings.personalized else 0
    trainer = Trainer(data, settings, most_known)
    planned = np.cumsum([settings.epochs_for(len(split.train)) * (1 + settings.refits) for split in splits])
    results = []
    with tqdm(total=planned[-1], unit="epoch", disable=None) as bar:
        for split, reached in zip(splits, planned, strict=True):
            bar.set_description(f"fold {split.fold}/{len(splits)}")
            fold = prepare_fold(data, split, settings)
            fitted = trainer.fit(fold, bar.update)
            bar.update(reached - bar.n)  # early stopping saved these
            head = Path("head.keras") if len(splits) == 1 else Path(f"fold_{split.fold}/head.keras")
            (folder / head).parent.mkdir(exist_ok=True)
            with_scaling(trainer.network, fold.scaling).save(folder / head)
            results.append(_score_fold(data, trainer, fold, fitted, head))
    return results


def _score_fold(data: Dataset, trainer: Trainer, fold: Fold, fitted: Fitted, head: Path) -> _FoldResult:
    """Score a trained fold's test and validation clips, those of known speakers also as strangers'."""
    split = fold.split
    present = set(data.speakers[split.train]) - {""}
    heard = np.array([name in present for name in data.speakers[split.test]])
    conditions = np.where(heard, CLOSED, UNKNOWN).astype(object)
    tested = prediction_rows(data, split.test, trainer.predict(fold, split.test), split.fold, conditions)
    again = split.test[heard] if fold.known else split.test[:0]
    strangers = tested[:0]
    if len(again):
        strangers = prediction_rows(data, again, trainer.predict(fold, again, strangers=True), split.fold, UNKNOWN)
    validated = prediction_rows(data, split.validation, fitted.validated, split.fold, VALIDATION)
    history = pd.DataFrame(fitted.history)
    history.insert(0, "fold", split.fold)
    about = {
        "fold": split.fold,
        "head": head.as_posix(),
        "best_epoch": fitted.best_epoch,
        "refit": trainer.settings.refits,
        "layer_weights": layer_weights(trainer.network),
        "known": list(fold.known),
        "speakers": {part: sorted(set(data.speakers[getattr(split, part)])) for part in _PARTS},
    }
    return _FoldResult(tested, strangers, validated, history, about)


def _write(
    writer: RunWriter, data: Dataset, splits: list[Split], settings: TrainSettings, results: list[_FoldResult]
) -> dict[str, Any]:
    """Write everything but the heads; return the metrics."""
    # What the run is judged by comes first, what else was tried with the same clips after it.
    tested = pd.concat([*(each.tested for each in results), *(each.strangers for each in results)], ignore_index=True)
    validated = pd.concat([each.validated for each in results], ignore_index=True)
    disjoint = are_disjoint(splits, data.speakers)
    metrics = metrics_document(settings.protocol, disjoint, data.labels, tested, validated)
    writer.write_json("metrics.json", metrics)
    writer.write_json("run.json", _about(data, settings, results))
    tested.to_csv(writer.folder / "predictions.csv", index=False)
    validated.to_csv(writer.folder / "validation.csv", index=False)
    pd.concat([each.history for each in results]).to_csv(writer.folder / "history.csv", index=False)
    return metrics


def _about(data: Dataset, settings: TrainSettings, results: list[_FoldResult]) -> dict[str, Any]:
    """Return the content of run.json."""
    packages = ("twostage-ser", "numpy", "keras", keras.backend.backend())
    return {
        "format": FORMAT,
        "version": VERSION,
        "settings": settings.to_dict(),
        "seed": settings.seed,
        "spec": json.loads(data.store.spec.to_json()),
        "labels": list(data.labels),
        "layers": [data.store.layers[place] for place in data.layers],
        "clips": len(data),
        "folds": [each.about for each in results],
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
    }


def _run_name(settings: TrainSettings) -> str:
    """Return a folder's name that says what was trained on what."""
    head = f"{settings.head}-personalized" if settings.personalized else settings.head
    store = settings.store.stem if settings.store else ""
    return f"{store}-{head}-{settings.protocol}".replace(":", "-").replace("/", "-")
