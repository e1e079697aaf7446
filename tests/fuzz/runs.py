"""Fuzz target of run folders: any change of a file leaves every answer exactly as it was, or is refused in one line."""

import json
import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ser_embed.errors import InputError
from ser_embed.store.reader import Store
from ser_head.config.training import TrainConfig
from ser_head.runs.document import DIGESTS, RUN_FILE
from ser_head.runs.results import RunResults
from ser_head.runs.run import Run
from tests.fuzz.mutations import changed_file
from tests.ser_head.conftest import Recipe, write_store

RIGHT, REFUSED, OTHER = "right", "refused", "another answer"


def prepare(folder: Path, *, with_digests: bool = True) -> Callable[[int], str]:
    """Train runs in an empty folder; return the function that tries, by a seed, one of them changed.

    Args:
        folder: where.
        with_digests: whether the run has digests. Without, as runs of earlier versions are, not every change can be
            found: then an answer that differs is "another answer", and not wrong.
    """
    store = write_store(folder / "store.h5", Recipe(layers=("0", "1"), voice=1.0))
    with Store(store) as opened:
        vectors = opened.read(range(8))
    # In a process of their own, so that the memory of this one is what reading takes.
    training = multiprocessing.get_context("spawn").Process(target=_train, args=(store, folder))
    training.start()
    training.join()
    run, other = folder / "run-0", folder / "run-1"
    if not with_digests:
        for path in (run, other):
            _without_digests(path / RUN_FILE)
    files = sorted(path for path in run.rglob("*") if path.is_file())
    others = [*files, *(other / path.relative_to(run) for path in files)]
    expected = _answers(run, vectors)

    def case(seed: int) -> str:
        draws = np.random.default_rng(seed)
        path = files[int(draws.integers(len(files)))]
        with changed_file(draws, path, others):
            try:
                with np.errstate(all="ignore"):  # numbers without digests may be so large that answers overflow
                    answers = _answers(run, vectors)
            except InputError as error:
                return REFUSED if "\n" not in str(error) else f"wrong: {path.name}: lines {str(error)!r}"
        if _are_equal(answers, expected):
            return RIGHT
        return f"wrong: {path.name} was changed, case {seed}" if with_digests else OTHER

    return case


def _train(store: Path, folder: Path) -> None:
    """Train two runs that differ in their seed."""
    from ser_head.reporting import run_report
    from ser_head.training.experiment import run_experiment

    run_report.draw_plots = lambda *_: {}  # which take longer than all the rest, and are not looked at
    for seed in (0, 1):
        settings = {"head": "lda", "personalized": ("normalize", "calibrate"), "protocol": "speaker", "seed": seed}
        run_experiment(TrainConfig(store=store, out=folder / f"run-{seed}", **settings))


def _without_digests(path: Path) -> None:
    about = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({key: about[key] for key in about if key not in (DIGESTS, "digest")}), "utf-8")


def _answers(folder: Path, vectors: np.ndarray) -> list[Any]:
    """Return all that a run answers: scores of new audio, and the results it was written with."""
    run, results = Run.load(folder), RunResults.load(folder)
    known = run.about["folds"][0]["known"][:1] or [""]
    scores = [
        run.probabilities(vectors),
        run.probabilities(vectors, speakers=["new"] * len(vectors), enrolled={"new": vectors[:3]}),
        run.probabilities(vectors, speakers=known * len(vectors)),
        run.ood_score(vectors),
    ]
    tables = [results.tested, results.history]
    return [*scores, *(table.to_csv() for table in tables), results.metrics, results.validated, list(run.labels)]


def _are_equal(answers: list[Any], expected: list[Any]) -> bool:
    pairs = zip(answers, expected, strict=True)
    return all(np.array_equal(a, b) if isinstance(b, np.ndarray) else a == b for a, b in pairs)
