"""Parallel training: the folds of a run, one after another in this process, or at the same time in several.

In either case a process compiles one network and trains its folds on it.
"""

import contextlib
import functools
import multiprocessing
import os
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from ser_embed.store.reader import FileIdentity, Store
from ser_head.config.experiment import ExperimentConfig
from ser_head.data.dataset import Dataset
from ser_head.data.splits import Split
from ser_head.training.fold_runner import FoldResult, FoldRunner
from ser_head.training.plan import choose_clips
from ser_head.training.search import candidates


@dataclass(frozen=True)
class FoldJob:
    """One fold of one seed, to be trained and scored.

    Attributes:
        split: the fold's clips.
        seed: of its random choices.
        folder: where its head is kept, or None.
    """

    split: Split
    seed: int
    folder: Path | None


def run_folds(data: Dataset, config: ExperimentConfig, jobs: Sequence[FoldJob]) -> list[FoldResult]:
    """Train and score folds, with a bar of epochs.

    Args:
        data: the clips of all folds.
        config: the run's.
        jobs: folds and seeds.

    Returns:
        The outcome of each job, in their order.
    """
    most_speakers = max(len(set(data.speakers[job.split.train])) for job in jobs)
    heads_per_fold = 2 if config.personalized else 1  # a plain one beside it
    planned_epochs = [heads_per_fold * _epochs(config, len(job.split.train)) for job in jobs]
    run = _run_here if config.jobs == 1 or len(jobs) == 1 else _run_side_by_side
    results: list[FoldResult | None] = [None] * len(jobs)
    with (
        tqdm(total=sum(planned_epochs), unit="epoch", disable=None) as bar,
        # Closed at once where the loop is left by an exception, which would keep it, and its processes, alive.
        contextlib.closing(run(data, config, jobs, most_speakers, bar)) as numbered_results,
    ):
        done_epochs = 0
        for number, result in numbered_results:
            results[number] = result
            done_epochs += planned_epochs[number]
            bar.update(done_epochs - bar.n)  # early stopping saved these
    return [result for result in results if result is not None]


def _epochs(config: ExperimentConfig, num_clips: int) -> int:
    """Return the epochs of training one head at most: of all candidates, and of training the chosen one again."""
    searched = sum(candidate.epochs_for(num_clips) for candidate in candidates(config))
    return searched + int(config.refits) * config.epochs_for(num_clips)


def _run_here(
    data: Dataset, config: ExperimentConfig, jobs: Sequence[FoldJob], most_speakers: int, bar: tqdm
) -> Generator[tuple[int, FoldResult]]:
    runner = FoldRunner(data, config, most_speakers)
    for number, job in enumerate(jobs):
        bar.set_description(f"fold {number + 1}/{len(jobs)}")
        yield number, runner.run(job.split, job.seed, job.folder, bar.update)


def _run_side_by_side(
    data: Dataset, config: ExperimentConfig, jobs: Sequence[FoldJob], most_speakers: int, bar: tqdm
) -> Generator[tuple[int, FoldResult]]:
    # Spawned: a framework with threads does not survive a fork.
    pool = ProcessPoolExecutor(
        min(config.jobs, len(jobs)),
        multiprocessing.get_context("spawn"),
        _start_worker,
        (config, data.store.identity, most_speakers),
    )
    bar.set_description(f"{len(jobs)} folds, {config.jobs} at a time")
    with pool:
        try:
            numbers: dict[Future[FoldResult], int] = {
                pool.submit(_run_job, job): number for number, job in enumerate(jobs)
            }
            for future in as_completed(numbers):
                yield numbers[future], future.result()
        except BaseException:
            for process in list((pool._processes or {}).values()):  # else they would finish their folds first
                process.terminate()
            pool.shutdown(cancel_futures=True)
            raise


_runner: Callable[[], FoldRunner]  # of a worker process


def _start_worker(config: ExperimentConfig, identity: FileIdentity, most_speakers: int) -> None:
    """Prepare a new process: keep to a share of the cores; its first fold reads the clips and builds the network."""
    global _runner
    threads = max(1, (os.cpu_count() or 1) // config.jobs)
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ[name] = str(threads)

    @functools.cache
    def make_runner() -> FoldRunner:  # not before the first fold: an error here would only be "a process ended"
        store = Store(config.store or Path(), identity)
        return FoldRunner(choose_clips(store, config), config, most_speakers)

    _runner = make_runner


def _run_job(job: FoldJob) -> FoldResult:
    return _runner().run(job.split, job.seed, job.folder, lambda: None)
