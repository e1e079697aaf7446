"""The rounds of a run, in this process on one compiled network, or side by side in processes that have one each."""

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from ser_embed.store.reader import Store
from ser_head.config import TrainConfig
from ser_head.data.dataset import Dataset
from ser_head.data.splits import Split
from ser_head.training.fold_runner import FoldResult, FoldRunner
from ser_head.training.plan import choose_clips
from ser_head.training.search import candidates


@dataclass(frozen=True)
class FoldJob:
    """One round to do.

    Attributes:
        split: the fold.
        seed: of its random choices.
        folder: where its head is kept, or None.
    """

    split: Split
    seed: int
    folder: Path | None


def run_folds(data: Dataset, config: TrainConfig, tasks: Sequence[FoldJob]) -> list[FoldResult]:
    """Train and score folds, with a bar of epochs.

    Args:
        data: the clips of all folds.
        config: the run's.
        tasks: the folds and seeds.

    Returns:
        What each task gave, in their order.
    """
    most_speakers = max(len(set(data.speakers[task.split.train])) for task in tasks)
    heads = 2 if config.personalized else 1  # a plain one beside it
    planned = [heads * _epochs(config, len(task.split.train)) for task in tasks]
    done = _here if config.jobs == 1 or len(tasks) == 1 else _side_by_side
    rounds: list[FoldResult | None] = [None] * len(tasks)
    with tqdm(total=sum(planned), unit="epoch", disable=None) as bar:
        finished = 0
        for place, result in done(data, config, tasks, most_speakers, bar):
            rounds[place] = result
            finished += planned[place]
            bar.update(finished - bar.n)  # early stopping saved these
    return [each for each in rounds if each is not None]


def _epochs(config: TrainConfig, num_clips: int) -> int:
    """Return the epochs of training one head at most: of all candidates, and of training the chosen one again."""
    tried = sum(each.epochs_for(num_clips) for each in candidates(config))
    return tried + config.refits * config.epochs_for(num_clips)


def _here(
    data: Dataset, config: TrainConfig, tasks: Sequence[FoldJob], most_speakers: int, bar: tqdm
) -> Iterator[tuple[int, FoldResult]]:
    rounds = FoldRunner(data, config, most_speakers)
    for place, task in enumerate(tasks):
        bar.set_description(f"fold {place + 1}/{len(tasks)}")
        yield place, rounds.run(task.split, task.seed, task.folder, bar.update)


def _side_by_side(
    data: Dataset, config: TrainConfig, tasks: Sequence[FoldJob], most_speakers: int, bar: tqdm
) -> Iterator[tuple[int, FoldResult]]:
    # Spawned: a framework with threads does not survive a fork.
    pool = ProcessPoolExecutor(
        min(config.jobs, len(tasks)), multiprocessing.get_context("spawn"), _open, (config, most_speakers)
    )
    bar.set_description(f"{len(tasks)} folds, {config.jobs} at a time")
    with pool:
        places: dict[Future[FoldResult], int] = {pool.submit(_run, task): place for place, task in enumerate(tasks)}
        try:
            for future in as_completed(places):
                yield places[future], future.result()
        except BaseException:
            for process in list((pool._processes or {}).values()):  # which would finish their folds, and be waited for
                process.terminate()
            pool.shutdown(cancel_futures=True)
            raise


_rounds: FoldRunner  # of a process that does rounds for another


def _open(config: TrainConfig, most_speakers: int) -> None:
    """Make a new process ready: read the clips, build the network, and keep to a share of the cores."""
    global _rounds
    threads = max(1, (os.cpu_count() or 1) // config.jobs)
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ[name] = str(threads)
    _rounds = FoldRunner(choose_clips(Store(config.store or Path()), config), config, most_speakers)


def _run(task: FoldJob) -> FoldResult:
    return _rounds.run(task.split, task.seed, task.folder, lambda: None)
