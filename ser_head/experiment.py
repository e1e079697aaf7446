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
from ser_head.heads import HEADS
from ser_head.leakage import audit, require_disjoint
from ser_head.metrics import metrics_document
from ser_head.predictions import judged_first
from ser_head.rounds import Round, Rounds
from ser_head.runs import FORMAT, VERSION, RunWriter
from ser_head.settings import TrainSettings, find_store
from ser_head.splits import Clips, Protocol, Split, are_disjoint, make_splits
from ser_head.subgroups import with_groups


@dataclass(frozen=True)
class Trained:
    """What a training gave.

    Attributes:
        run: the run folder.
        metrics: content of its metrics.json.
    """

    run: Path
    metrics: dict[str, Any]


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
            rounds = _train_folds(data, splits, settings, writer.folder)
            metrics = _write(writer, data, splits, settings, rounds)
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
    data = Dataset(store, settings.layer, corpora, shared=cross, frames=HEADS[settings.head].takes_frames)
    clips = Clips(data.speakers, data.clips["corpus"].to_numpy(object), data.targets)
    splits = make_splits(protocol, clips, settings.split, settings.seed)
    require_disjoint(audit(data.clips, splits), settings.protocol)
    with_groups(data.clips, data.clips, settings.by)  # a column that is not there is better missed now
    for split in splits:
        missing = set(range(len(data.labels))) - set(data.targets[split.train])
        if missing:
            names = ", ".join(data.labels[place] for place in sorted(missing))
            raise InputError(f"fold {split.fold} of {settings.protocol} has no training clip that is {names}")
        if settings.personalized and not np.any(data.speakers[split.train] != ""):
            raise InputError("a personalised head needs to know who speaks, but the training clips name no speaker")
    return data, splits


def _train_folds(data: Dataset, splits: list[Split], settings: TrainSettings, folder: Path) -> list[Round]:
    rounds = Rounds(data, settings, max(len(set(data.speakers[split.train])) for split in splits))
    heads = 2 if settings.personalized else 1  # a plain one beside it
    planned = np.cumsum([heads * settings.epochs_for(len(split.train)) * (1 + settings.refits) for split in splits])
    results = []
    with tqdm(total=planned[-1], unit="epoch", disable=None) as bar:
        for split, reached in zip(splits, planned, strict=True):
            bar.set_description(f"fold {split.fold}/{len(splits)}")
            place = Path() if len(splits) == 1 else Path(f"fold_{split.fold}")
            results.append(rounds.run(split, folder / place, bar.update))
            results[-1].about["head"] = (place / results[-1].about["head"]).as_posix()
            bar.update(reached - bar.n)  # early stopping saved these
    return results


def _write(
    writer: RunWriter, data: Dataset, splits: list[Split], settings: TrainSettings, rounds: list[Round]
) -> dict[str, Any]:
    """Write everything but the heads; return the metrics."""
    tested = judged_first(pd.concat([each.tested for each in rounds], ignore_index=True))
    tested = with_groups(tested, data.clips, settings.by)
    validated = pd.concat([each.validated for each in rounds], ignore_index=True)
    metrics = metrics_document(
        settings.protocol,
        are_disjoint(splits, data.speakers),
        data.labels,
        tested,
        validated,
        leakage=audit(data.clips, splits).to_dict(),
        by=settings.by,
    )
    writer.write_json("metrics.json", metrics)
    writer.write_json("run.json", _about(data, settings, rounds))
    tested.to_csv(writer.folder / "predictions.csv", index=False)
    validated.to_csv(writer.folder / "validation.csv", index=False)
    pd.concat([each.history for each in rounds]).to_csv(writer.folder / "history.csv", index=False)
    return metrics


def _about(data: Dataset, settings: TrainSettings, rounds: list[Round]) -> dict[str, Any]:
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
        "folds": [each.about for each in rounds],
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
    }


def _run_name(settings: TrainSettings) -> str:
    """Return a folder's name that says what was trained on what."""
    head = "-".join([settings.head, *(["personalized"] if settings.personalized else [])])
    store = settings.store.stem if settings.store else ""
    return f"{store}-{head}-{settings.protocol}".replace(":", "-").replace("/", "-")
