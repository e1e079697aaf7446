"""Parallel training: the folds of a run, one after another in this process, or at the same time in several.

In either case a process compiles one network and trains its folds on it. Other processes send the rows of their
epochs as they end.
"""

import contextlib
import functools
import multiprocessing
import os
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from pathlib import Path
from threading import Thread
from typing import Any

from tqdm import tqdm

from ser_embed.store.reader import FileIdentity, Store
from ser_head.config.experiment import ExperimentConfig
from ser_head.data.dataset import Dataset
from ser_head.data.splits import Split
from ser_head.training.base import EpochRow
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


_SHOWN = {"loss": "loss", "val_loss": "validation loss", "val_accuracy": "accuracy", "val_uar": "recall"}
OnRow = Callable[[EpochRow], object]


def run_folds(data: Dataset, config: ExperimentConfig, jobs: Sequence[FoldJob], on_epoch: OnRow) -> list[FoldResult]:
    """Train and score folds, with a bar of epochs.

    Args:
        data: the clips of all folds.
        config: the run's.
        jobs: folds and seeds.
        on_epoch: called after each epoch, while others go on where folds are trained side by side.

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
        contextlib.closing(run(data, config, jobs, most_speakers, bar, on_epoch)) as numbered_results,
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


def _figures_text(row: EpochRow) -> str:
    """Return the loss and the validation figures of an epoch for the bar."""
    shown = {name: row.figures[name] for name in _SHOWN if name in row.figures}
    if "val_uar" in shown:  # a terminal has no room for both
        shown.pop("val_accuracy", None)
    return ", ".join(f"{title} {shown[name]:.3f}" for name, title in _SHOWN.items() if name in shown)


def _run_here(
    data: Dataset, config: ExperimentConfig, jobs: Sequence[FoldJob], most_speakers: int, bar: tqdm, on_epoch: OnRow
) -> Generator[tuple[int, FoldResult]]:
    runner = FoldRunner(data, config, most_speakers)

    def advance(row: EpochRow) -> None:
        bar.set_postfix_str(_figures_text(row), refresh=False)
        bar.update()
        on_epoch(row)

    for number, job in enumerate(jobs):
        bar.set_description(f"fold {number + 1}/{len(jobs)}")
        yield number, runner.run(job.split, job.seed, job.folder, advance)


def _run_side_by_side(
    data: Dataset, config: ExperimentConfig, jobs: Sequence[FoldJob], most_speakers: int, bar: tqdm, on_epoch: OnRow
) -> Generator[tuple[int, FoldResult]]:
    context = multiprocessing.get_context("spawn")  # a framework with threads does not survive a fork
    channel = _EpochChannel(context, on_epoch)
    pool = ProcessPoolExecutor(
        min(config.jobs, len(jobs)),
        context,
        _start_worker,
        (config, data.store.identity, most_speakers, channel.sender),
    )
    bar.set_description(f"{len(jobs)} folds, {config.jobs} at a time")
    with channel, pool:
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


class _Sender:
    """The end of a channel that workers write to; it can be given to a new process."""

    def __init__(self, connection: Connection, lock: Any) -> None:
        """Take the connection, and the lock of all processes that write to it."""
        self._connection, self._lock = connection, lock

    def __call__(self, row: EpochRow) -> None:
        """Send a row."""
        with self._lock:
            self._connection.send(row)

    def close(self) -> None:
        """Close this process's copy of the connection."""
        self._connection.close()


class _EpochChannel:
    """Calls a function, in a thread of its own, with every row that a worker sends.

    Used in a `with` statement around that of the workers: it ends once all of them have ended.

    Attributes:
        sender: for the workers.
    """

    def __init__(self, context: BaseContext, on_epoch: Callable[[EpochRow], object]) -> None:
        """Open the channel.

        Args:
            context: that starts the workers.
            on_epoch: called with each row.
        """
        self._receiver, connection = context.Pipe(duplex=False)
        self.sender = _Sender(connection, context.Lock())
        self._on_epoch = on_epoch
        self._thread = Thread(target=self._receive, name="epochs")

    def __enter__(self) -> "_EpochChannel":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.sender.close()
        self._thread.join()
        self._receiver.close()

    def _receive(self) -> None:
        while (row := self._next_row()) is not None:
            self._on_epoch(row)

    def _next_row(self) -> EpochRow | None:
        """Return the next row; None once the last process that could write has ended, or was killed while it wrote."""
        try:
            return self._receiver.recv()
        except (EOFError, OSError):
            return None


_runner: Callable[[], FoldRunner]  # of a worker process
_send: _Sender


def _start_worker(config: ExperimentConfig, identity: FileIdentity, most_speakers: int, sender: _Sender) -> None:
    """Prepare a new process: keep to a share of the cores; its first fold reads the clips and builds the network.

    Args:
        config: the run's.
        identity: of the store's file.
        most_speakers: number of training speakers of the fold that has most.
        sender: takes the epochs.
    """
    global _runner, _send
    _send = sender
    threads = max(1, (os.cpu_count() or 1) // config.jobs)
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ[name] = str(threads)

    @functools.cache
    def make_runner() -> FoldRunner:  # not before the first fold: an error here would only be "a process ended"
        store = Store(config.store or Path(), identity)
        return FoldRunner(choose_clips(store, config), config, most_speakers)

    _runner = make_runner


def _run_job(job: FoldJob) -> FoldResult:
    return _runner().run(job.split, job.seed, job.folder, _send)
