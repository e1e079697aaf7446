"""One training from store to run folder: clips, splits, a head per fold, its predictions and figures."""

import dataclasses
import json
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from ser_embed.store.reader import Store
from ser_head.config import TrainConfig, find_store
from ser_head.data.dataset import Dataset
from ser_head.data.splits import Split, are_disjoint
from ser_head.evaluation.groups import columns_of, with_groups
from ser_head.evaluation.metrics import metrics_document
from ser_head.evaluation.predictions import primary_rows_first
from ser_head.heads.backend import keras
from ser_head.heads.registry import HEADS
from ser_head.runs.ensemble import combined_predictions, copy_members, load_members, settings_of_members
from ser_head.runs.run import FORMAT, VERSION
from ser_head.runs.writer import RunWriter
from ser_head.training.fold_runner import FoldResult
from ser_head.training.parallel import FoldJob, run_folds
from ser_head.training.plan import Plan, choose_clips, make_plan


@dataclass(frozen=True)
class TrainResult:
    """What a training gave.

    Attributes:
        run: the run folder.
        metrics: content of its metrics.json.
    """

    run: Path
    metrics: dict[str, Any]


def run_experiment(config: TrainConfig) -> TrainResult:
    """Train as `settings` say and write the run.

    Raises:
        InputError: the store, or what is asked of it, cannot be worked with; nothing is written.
    """
    if HEADS[config.head].kind == "ensemble":
        return _run_ensemble(config)
    path = config.store or find_store()
    config = dataclasses.replace(config, store=path)
    with Store(path) as store:
        data = choose_clips(store, config)
        plan = make_plan(data, config)
        with RunWriter(config.out, _run_name(config)) as writer:
            rounds = run_folds(data, config, _tasks(plan, config, writer.folder))
            metrics = _write(writer, data, plan, config, rounds)
            folder = writer.commit()
    return _reported(folder, path, metrics)


def _run_ensemble(config: TrainConfig) -> TrainResult:
    """Combine other runs, and score the combination as any head."""
    members = load_members(config.members)
    first = members[0]
    config = settings_of_members(config, first)
    path = config.store or find_store()
    tested, validated = combined_predictions(members)
    with Store(path) as store:
        first.require_spec(store.spec)
        tested = with_groups(tested, store.utterances, config.by)
    known = json.loads((first.folder / "metrics.json").read_text("utf-8"))
    metrics = metrics_document(
        config.protocol,
        known["speaker_disjoint"],
        first.labels,
        tested,
        validated,
        leakage=known.get("leakage"),
        by=columns_of(tested),
    )
    with RunWriter(config.out, _run_name(config)) as writer:
        places = copy_members(members, writer.folder)
        temperature = float(tested["temperature"].mean())
        about = {**first.about, "settings": config.to_dict(), "folds": [], "members": places}
        writer.write_json("run.json", {**about, "temperature": temperature})
        writer.write_json("metrics.json", metrics)
        tested.to_csv(writer.folder / "predictions.csv", index=False)
        validated.to_csv(writer.folder / "validation.csv", index=False)
        folder = writer.commit()
    return _reported(folder, path, metrics)


def _reported(folder: Path, store: Path, metrics: dict[str, Any]) -> TrainResult:
    from ser_head.reporting.run_report import write_report

    write_report(folder, store)
    return TrainResult(folder, metrics)


def _tasks(plan: Plan, config: TrainConfig, folder: Path) -> list[FoldJob]:
    """Return the rounds to do: the heads of the first seed are kept, further seeds only tell how figures spread."""
    kept = [FoldJob(split, config.seed, folder / _place(split, plan)) for split in plan.splits]
    return kept + [FoldJob(split, seed, None) for seed, splits in plan.others.items() for split in splits]


def _place(split: Split, plan: Plan) -> Path:
    return Path() if len(plan.splits) == 1 else Path(f"fold_{split.fold}")


def _write(
    writer: RunWriter, data: Dataset, plan: Plan, config: TrainConfig, rounds: list[FoldResult]
) -> dict[str, Any]:
    """Write everything but the heads; return the metrics."""
    first = rounds[: len(plan.splits)]
    for split, each in zip(plan.splits, first, strict=True):
        each.about["head"] = (_place(split, plan) / each.about["head"]).as_posix()
    tested = primary_rows_first(pd.concat([each.tested for each in rounds], ignore_index=True))
    tested = with_groups(tested, data.clips, config.by)
    validated = pd.concat([each.validated for each in first], ignore_index=True)
    metrics = metrics_document(
        config.protocol,
        are_disjoint(plan.splits, data.speakers),
        data.labels,
        tested,
        validated,
        leakage=plan.audit.to_dict(),
        by=config.by,
    )
    writer.write_json("metrics.json", metrics)
    writer.write_json("run.json", _about(data, config, first))
    tested.to_csv(writer.folder / "predictions.csv", index=False)
    validated.to_csv(writer.folder / "validation.csv", index=False)
    pd.concat([each.history for each in first]).to_csv(writer.folder / "history.csv", index=False)
    if config.search:
        pd.concat([each.tried for each in first]).to_csv(writer.folder / "search.csv", index=False)
    return metrics


def _about(data: Dataset, config: TrainConfig, rounds: list[FoldResult]) -> dict[str, Any]:
    """Return the content of run.json."""
    packages = ("twostage-ser", "numpy", "keras", keras.backend.backend())
    return {
        "format": FORMAT,
        "version": VERSION,
        "settings": config.to_dict(),
        "seed": config.seed,
        "spec": json.loads(data.store.spec.to_json()),
        "labels": list(data.labels),
        "layers": [data.store.layers[place] for place in data.layers],
        "clips": len(data),
        "folds": [each.about for each in rounds],
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
    }


def _run_name(config: TrainConfig) -> str:
    """Return a folder's name that says what was trained on what."""
    head = "-".join([config.head, *(["personalized"] if config.personalized else [])])
    store = config.store.stem if config.store else ""
    return f"{store}-{head}-{config.protocol}".replace(":", "-").replace("/", "-")
