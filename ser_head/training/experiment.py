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
from ser_head.config import TrainSettings, find_store
from ser_head.data.dataset import Dataset
from ser_head.data.splits import Split, are_disjoint
from ser_head.evaluation.groups import columns_of, with_groups
from ser_head.evaluation.metrics import metrics_document
from ser_head.evaluation.predictions import judged_first
from ser_head.heads.backend import keras
from ser_head.heads.registry import HEADS
from ser_head.runs.ensemble import combined_predictions, copy_members, load_members, settings_of_members
from ser_head.runs.run import FORMAT, VERSION
from ser_head.runs.writer import RunWriter
from ser_head.training.fold_runner import Round
from ser_head.training.parallel import Task, do_rounds
from ser_head.training.plan import Plan, choose_clips, make_plan


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
    if HEADS[settings.head].kind == "ensemble":
        return _run_ensemble(settings)
    path = settings.store or find_store()
    settings = dataclasses.replace(settings, store=path)
    with Store(path) as store:
        data = choose_clips(store, settings)
        plan = make_plan(data, settings)
        with RunWriter(settings.out, _run_name(settings)) as writer:
            rounds = do_rounds(data, settings, _tasks(plan, settings, writer.folder))
            metrics = _write(writer, data, plan, settings, rounds)
            folder = writer.commit()
    return _reported(folder, path, metrics)


def _run_ensemble(settings: TrainSettings) -> Trained:
    """Combine other runs, and score the combination as any head."""
    members = load_members(settings.members)
    first = members[0]
    settings = settings_of_members(settings, first)
    path = settings.store or find_store()
    tested, validated = combined_predictions(members)
    with Store(path) as store:
        first.require_spec(store.spec)
        tested = with_groups(tested, store.utterances, settings.by)
    known = json.loads((first.folder / "metrics.json").read_text("utf-8"))
    metrics = metrics_document(
        settings.protocol,
        known["speaker_disjoint"],
        first.labels,
        tested,
        validated,
        leakage=known.get("leakage"),
        by=columns_of(tested),
    )
    with RunWriter(settings.out, _run_name(settings)) as writer:
        places = copy_members(members, writer.folder)
        temperature = float(tested["temperature"].mean())
        about = {**first.about, "settings": settings.to_dict(), "folds": [], "members": places}
        writer.write_json("run.json", {**about, "temperature": temperature})
        writer.write_json("metrics.json", metrics)
        tested.to_csv(writer.folder / "predictions.csv", index=False)
        validated.to_csv(writer.folder / "validation.csv", index=False)
        folder = writer.commit()
    return _reported(folder, path, metrics)


def _reported(folder: Path, store: Path, metrics: dict[str, Any]) -> Trained:
    from ser_head.reporting.run_report import write_report

    write_report(folder, store)
    return Trained(folder, metrics)


def _tasks(plan: Plan, settings: TrainSettings, folder: Path) -> list[Task]:
    """Return the rounds to do: the heads of the first seed are kept, further seeds only tell how figures spread."""
    kept = [Task(split, settings.seed, folder / _place(split, plan)) for split in plan.splits]
    return kept + [Task(split, seed, None) for seed, splits in plan.others.items() for split in splits]


def _place(split: Split, plan: Plan) -> Path:
    return Path() if len(plan.splits) == 1 else Path(f"fold_{split.fold}")


def _write(
    writer: RunWriter, data: Dataset, plan: Plan, settings: TrainSettings, rounds: list[Round]
) -> dict[str, Any]:
    """Write everything but the heads; return the metrics."""
    first = rounds[: len(plan.splits)]
    for split, each in zip(plan.splits, first, strict=True):
        each.about["head"] = (_place(split, plan) / each.about["head"]).as_posix()
    tested = judged_first(pd.concat([each.tested for each in rounds], ignore_index=True))
    tested = with_groups(tested, data.clips, settings.by)
    validated = pd.concat([each.validated for each in first], ignore_index=True)
    metrics = metrics_document(
        settings.protocol,
        are_disjoint(plan.splits, data.speakers),
        data.labels,
        tested,
        validated,
        leakage=plan.audit.to_dict(),
        by=settings.by,
    )
    writer.write_json("metrics.json", metrics)
    writer.write_json("run.json", _about(data, settings, first))
    tested.to_csv(writer.folder / "predictions.csv", index=False)
    validated.to_csv(writer.folder / "validation.csv", index=False)
    pd.concat([each.history for each in first]).to_csv(writer.folder / "history.csv", index=False)
    if settings.search:
        pd.concat([each.tried for each in first]).to_csv(writer.folder / "search.csv", index=False)
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
