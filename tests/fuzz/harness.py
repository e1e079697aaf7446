"""Harness of the fuzz targets: it runs their cases and counts what came of them.

A target is a module with a function `prepare`, which makes whole inputs in an empty folder and returns another: that
takes the seed of a case, damages an input by it, and returns "right" where what is read is exactly what was written,
"refused" for an error of one line, or "wrong: ..." for anything else.

Each target runs in processes of its own, which are watched: a case that takes too long, too much memory or the whole
process with it is counted as wrong, like a traceback and a wrong answer in silence.
"""

import importlib
import multiprocessing
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

SHARES = {"audio": 0.3, "stores": 0.3, "runs": 0.2, "profiles": 0.1, "manifests": 0.1}  # of all cases
LONGEST_S = 10.0
_START_S = 120.0  # for the imports, and for what a target prepares
_CASES_PER_PROCESS = 500


@dataclass
class Tally:
    """What came of the cases of one target.

    Attributes:
        outcomes: how many were right, refused or wrong.
        problems: one line for each that was wrong.
        slowest_s: time of the slowest case.
        peak_mb: memory of the largest process.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    peak_mb: float = 0.0

    def add(self, outcome: str) -> None:
        """Count one case."""
        kind = outcome.partition(":")[0]
        self.outcomes[kind] += 1
        if kind == "wrong":
            self.problems.append(outcome)


def seeds(seed: int, count: int) -> list[int]:
    """Return the seeds of the cases that a seed stands for."""
    return np.random.default_rng(seed).integers(2**32, size=count).tolist()


def run_target(name: str, count: int, seed: int) -> Tally:
    """Try cases of one target.

    Args:
        name: module of this package.
        count: number of cases.
        seed: of all random draws.
    """
    tally = Tally()
    for number, start in enumerate(range(0, count, _CASES_PER_PROCESS)):
        _run_process(name, min(_CASES_PER_PROCESS, count - start), seed + 1000 * number, tally)
    return tally


def _run_process(name: str, count: int, seed: int, tally: Tally) -> None:
    """Try cases in one process, and count them."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(name, count, seed, sender))
    process.start()
    sender.close()
    done, limit = 0, _START_S
    while done < count:
        if not receiver.poll(limit):
            tally.add(f"wrong: {name}, seed {seed}, case {done}: more than {limit:.0f} s")
            process.kill()
            break
        try:
            outcome, seconds, peak_mb = receiver.recv()
        except EOFError:
            process.join()
            tally.add(f"wrong: {name}, seed {seed}, case {done}: the process ended with {process.exitcode}")
            break
        tally.add(outcome)
        tally.slowest_s, tally.peak_mb = max(tally.slowest_s, seconds), max(tally.peak_mb, peak_mb)
        done, limit = done + 1, LONGEST_S
    process.join()


def _work(name: str, count: int, seed: int, results: Connection) -> None:
    import resource

    module = importlib.import_module(f"tests.fuzz.{name}")
    with tempfile.TemporaryDirectory() as folder:
        case = module.prepare(Path(folder))
        for case_seed in seeds(seed, count):
            started = time.perf_counter()
            try:
                outcome = case(case_seed)
            except BaseException as error:  # noqa: BLE001 - whatever a case raises is what is looked for
                outcome = f"wrong: {name}, case {case_seed}: {type(error).__name__}: {error}"
            usage = resource.getrusage(resource.RUSAGE_SELF)
            results.send((outcome, time.perf_counter() - started, usage.ru_maxrss / 1024))
