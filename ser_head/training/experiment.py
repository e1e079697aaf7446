"""Experiment: one training from store to run folder, with a head per fold, its predictions and its figures."""

import json
import platform
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from ser_embed.store.reader import Store
from ser_embed.tracking.base import TrackedRun
from ser_embed.tracking.group import TrackerGroup, tracked
from ser_embed.tracking.registry import require_trackers
from ser_head.config.experiment import ExperimentConfig
from ser_head.config.registry import COMMAND
from ser_head.config.training import TrainConfig
from ser_head.data.dataset import Dataset
from ser_head.data.splits import Split, are_disjoint
from ser_head.evaluation.groups import with_groups
from ser_head.evaluation.metrics import metrics_document
from ser_head.evaluation.predictions import primary_rows_first
from ser_head.heads.registry import HEADS
from ser_head.reporting.run_report import write_report
from ser_head.runs.baseline import BASELINE, baseline_metrics
from ser_head.runs.document import FORMAT, TESTED_FOLDS, VERSION
from ser_head.runs.ensemble import plan_ensemble, write_ensemble
from ser_head.runs.run import Run
from ser_head.runs.tracked_results import tracked_results
from ser_head.runs.writer import RunWriter
from ser_head.training.fold_runner import FoldResult, FoldRunner, median_epoch
from ser_head.training.parallel import FoldJob, run_folds
from ser_head.training.plan import Plan, choose_clips, find_store, make_plan


def run_experiment(
    config: ExperimentConfig, baseline: TrainConfig | None = None, open_store: Callable[[Path], Store] = Store
) -> Path:
    """Train as `config` says, write the run and its report; return its folder.

    The report is made from the store that was open while training, even if the file has been replaced since.

    Args:
        config: what is trained.
        baseline: what is trained beside it, in the same folds, as a run inside the run.
        open_store: opens the config's store.

    Raises:
        InputError: the store, or what is asked of it, cannot be worked with; nothing is written.
    """
    require_trackers(config.track)
    members: list[Run] = []
    if isinstance(config, TrainConfig) and HEADS[config.head].combines_runs:
        config, members = plan_ensemble(config)
    config = config.replaced(store=config.store or find_store())
    with open_store(config.store or Path()) as store:
        if isinstance(config, TrainConfig) and members:
            return _write_combined(store, config, members)
        return _write_trained(store, config, baseline)


def _write_combined(store: Store, config: TrainConfig, members: list[Run]) -> Path:
    with RunWriter(config.out, run_name(config)) as writer, _tracked(writer, store, config) as trackers:
        write_ensemble(writer, config, members, store)
        return _commit(writer, store, trackers)


def _write_trained(store: Store, config: ExperimentConfig, baseline: TrainConfig | None) -> Path:
    data = choose_clips(store, config)
    plan = make_plan(data, config)
    with RunWriter(config.out, run_name(config)) as writer, _tracked(writer, store, config) as trackers:
        if baseline is not None:
            run_experiment(baseline.replaced(out=writer.folder / BASELINE))
        results = run_folds(
            data,
            config,
            _jobs(plan, config, writer.folder),
            lambda row: trackers.log_point(row.curve_point(config.seeds)),
        )
        whole = _train_whole(data, config, results[: len(plan.splits)], writer.folder) if config.refits_whole else None
        _write(writer, data, plan, config, results, whole)
        return _commit(writer, store, trackers)


def _tracked(writer: RunWriter, store: Store, config: ExperimentConfig) -> AbstractContextManager[TrackerGroup]:
    """Return the context in which the run is tracked."""
    settings = {**config.to_dict(), "encoder": store.spec.model}
    return tracked(config.track, TrackedRun(writer.name, config.command, settings))


def _commit(writer: RunWriter, store: Store, trackers: TrackerGroup) -> Path:
    """Add the report and let the run appear; one whose report fails appears without it, and the error is raised."""
    try:
        write_report(writer.folder, store, writer.name)
    except Exception:
        writer.commit()
        raise
    run = writer.commit()
    if trackers:
        trackers.log_results(tracked_results(run))
    return run


def run_name(config: ExperimentConfig) -> str:
    """Return a folder name that says what was trained on what."""
    head = "-".join([config.head, *(["personalized"] if config.personalized else [])])
    return f"{config.source_name}-{head}-{config.protocol}".replace(":", "-").replace("/", "-")


def _jobs(plan: Plan, config: ExperimentConfig, folder: Path) -> list[FoldJob]:
    """Return the folds to run: the heads of the first seed are kept, further seeds only show how figures spread.

    Where one head is to be trained on all clips, those of the folds are not kept.
    """
    folders = [None if config.refits_whole else folder / _head_folder(split, plan) for split in plan.splits]
    first = [FoldJob(split, config.seed, head) for split, head in zip(plan.splits, folders, strict=True)]
    return first + [FoldJob(split, seed, None) for seed, splits in plan.other_splits.items() for split in splits]


def _head_folder(split: Split, plan: Plan) -> Path:
    return Path() if len(plan.splits) == 1 else Path(f"fold_{split.fold}")


def _train_whole(data: Dataset, config: ExperimentConfig, results: list[FoldResult], folder: Path) -> dict[str, Any]:
    """Train one head on the clips of all folds; return its entry in run.json."""
    num_speakers = len(set(data.speakers))
    epochs = median_epoch([result.entry["best_epoch"] for result in results])
    with tqdm(total=epochs, desc="all clips", unit="epoch", disable=None) as bar:
        return FoldRunner(data, config, num_speakers).run_whole(results, folder, lambda _: bar.update())


def _write(
    writer: RunWriter,
    data: Dataset,
    plan: Plan,
    config: ExperimentConfig,
    results: list[FoldResult],
    whole: dict[str, Any] | None,
) -> None:
    """Write everything but the heads.

    Args:
        writer: of the run.
        data: the clips.
        plan: the folds.
        config: the run's.
        results: of the folds of all seeds.
        whole: entry of the head that was trained on all clips, if there is one.
    """
    first = results[: len(plan.splits)]  # of the first seed
    if whole is None:
        for split, result in zip(plan.splits, first, strict=True):
            result.entry["head"] = (_head_folder(split, plan) / result.entry["head"]).as_posix()
    tested = primary_rows_first(pd.concat([result.tested for result in results], ignore_index=True))
    tested = with_groups(tested, data.clips, config.by)
    validated = pd.concat([result.validated for result in first], ignore_index=True)
    metrics = metrics_document(
        config.protocol,
        are_disjoint(plan.splits, data.speakers) and (plan.audit.encoder is None or plan.audit.encoder.is_disjoint),
        data.labels,
        tested,
        validated,
        leakage=plan.audit.to_dict(),
        by=config.by,
    )
    if (writer.folder / BASELINE).is_dir():
        metrics[BASELINE] = baseline_metrics(writer.folder, tested)
    writer.write_json("metrics.json", metrics)
    writer.write_json("run.json", _about(data, config, [result.entry for result in first], whole))
    tested.to_csv(writer.folder / "predictions.csv", index=False)
    validated.to_csv(writer.folder / "validation.csv", index=False)
    pd.concat([result.history for result in first]).to_csv(writer.folder / "history.csv", index=False)
    if config.search:
        pd.concat([result.candidates for result in first]).to_csv(writer.folder / "search.csv", index=False)


def _about(
    data: Dataset, config: ExperimentConfig, folds: list[dict[str, Any]], whole: dict[str, Any] | None
) -> dict[str, Any]:
    """Return the content of run.json.

    Args:
        data: the clips.
        config: the run's.
        folds: entries of the folds.
        whole: entry of the head that was trained on all clips, if there is one.
    """
    return {
        "format": FORMAT,
        "version": VERSION,
        COMMAND: config.command,
        "settings": config.to_dict(),
        "seed": config.seed,
        "spec": json.loads(data.store.spec.to_json()),
        "labels": list(data.labels),
        "layers": [data.store.layers[layer] for layer in data.layers],
        "clips": len(data) - data.num_copies,
        **({"copies": data.num_copies} if data.num_copies else {}),
        **({"folds": folds} if whole is None else {"folds": [whole], TESTED_FOLDS: folds}),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("twostage-ser", "numpy", *HEADS[config.head].packages())},
        },
    }
