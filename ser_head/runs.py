"""Runs: a trained head with all that explains it, in one folder.

    run.json           settings, the store's spec, classes, layers, versions, and per fold its speakers and head
    head.keras         or fold_K/head.keras: vectors as stored in, probabilities out; the scaling is inside
    metrics.json       see `ser_head.metrics`
    predictions.csv    the scored test clips; validation.csv: those the epoch was chosen by
    history.csv        fold, epoch, loss, accuracy, val_loss, val_accuracy

A run is written to a temporary folder beside its place and renamed when whole.
"""

import itertools
import json
import os
import shutil
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ser_embed.errors import InputError
from ser_embed.spec import EmbeddingSpec
from ser_head.settings import RUNS, TrainSettings
from ser_head.speakers import speaker_rows

FORMAT = "ser-run"
VERSION = 1
_SCORED_AT_ONCE = 1024  # clips per forward pass


class Run:
    """A finished run, ready to score vectors.

    Attributes:
        folder: where it lies.
        settings: how it was trained.
        spec: the vectors it was trained on.
        labels: the classes, in the order of the probabilities.
        about: all of run.json.
    """

    def __init__(self, folder: Path, about: dict[str, Any]) -> None:
        """Take the content of `folder`'s run.json; use `load`."""
        self.folder = folder
        self.about = about
        self.settings = TrainSettings(**about["settings"])
        self.spec = EmbeddingSpec.from_json(json.dumps(about["spec"]))
        self.labels = tuple(about["labels"])
        self._layers = [self.spec.layers.index(name) for name in about["layers"]]
        self._heads = [folder / fold["head"] for fold in about["folds"]]

    @classmethod
    def load(cls, folder: str | Path) -> "Run":
        """Open the run in `folder`; its heads are read when first used.

        Raises:
            InputError: it is no run, or not a whole one.
        """
        folder = Path(folder)
        path = folder / "run.json"
        if not path.is_file():
            raise InputError(f"expected a run folder with a run.json, found none at {folder}")
        try:
            about = json.loads(path.read_text("utf-8"))
            if (about["format"], about["version"]) != (FORMAT, VERSION):
                raise InputError(f"expected {FORMAT} {VERSION}, but {path} is {about['format']} {about['version']}")
            run = cls(folder, about)
        except InputError:
            raise
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"the run {folder} is damaged: {path.name} cannot be used ({error})") from error
        for head in run._heads:
            if not head.is_file():
                raise InputError(f"the run {folder} is damaged: {head.relative_to(folder)} is missing")
        return run

    def require_spec(self, spec: EmbeddingSpec) -> None:
        """Check that vectors of `spec` are what this run was trained on.

        Raises:
            InputError: naming the first difference.
        """
        self.spec.require_same(spec, f"the run {self.folder}")

    def probabilities(
        self, vectors: np.ndarray, speakers: Sequence[str] | None = None, spec: EmbeddingSpec | None = None
    ) -> np.ndarray:
        """Score vectors, by the mean over folds where there are several heads.

        Args:
            vectors: float32 (clips, layers, width), with all the layers of the run's spec.
            speakers: speaker of each clip; one who was not in training, or None, is a stranger. Only a personalised
                head listens.
            spec: what the vectors are, if known; checked.

        Returns:
            float64 (clips, classes).

        Raises:
            InputError: vectors of another encoder or shape.
        """
        if spec is not None:
            self.require_spec(spec)
        expected = len(self.spec.layers), self.spec.width
        if vectors.ndim != 3 or vectors.shape[1:] != expected:
            raise InputError(
                f"the run {self.folder} takes vectors of shape (clips, {expected[0]}, {expected[1]}), "
                f"not {vectors.shape}"
            )
        vectors = np.asarray(vectors[:, self._layers], np.float32)
        names = [""] * len(vectors) if speakers is None else speakers
        scored = [
            _score(head, vectors, speaker_rows(names, fold["known"]))
            for head, fold in zip(self.heads, self.about["folds"], strict=True)
        ]
        return np.mean(scored, axis=0)

    @cached_property
    def heads(self) -> list[Any]:
        """The Keras models, one per fold."""
        from ser_head.networks import load_head

        return [load_head(path) for path in self._heads]


def _score(head: Any, vectors: np.ndarray, rows: np.ndarray) -> np.ndarray:
    from ser_head.backend import keras

    scored = [np.empty((0, head.output_shape[-1]))]
    for start in range(0, len(vectors), _SCORED_AT_ONCE):
        part = slice(start, start + _SCORED_AT_ONCE)
        inputs = [vectors[part], rows[part]] if len(head.inputs) > 1 else vectors[part]
        # Called directly: predict_on_batch would trace a graph for each head, which costs more than it saves.
        scored.append(keras.ops.convert_to_numpy(head(inputs, training=False)))
    return np.concatenate(scored).astype(np.float64)


def newest_run(folder: Path = RUNS) -> Path:
    """Return the run in `folder` that was written last.

    Raises:
        InputError: there is none.
    """
    runs = [path.parent for path in folder.glob("*/run.json")]
    if not runs:
        raise InputError(f"no run in {folder}/; train one with: python -m ser_head.train, or name one with --run")
    return max(runs, key=lambda run: run.stat().st_mtime)


class RunWriter:
    """Writes a new run in one piece: its folder appears with `commit`, whole, or not at all.

    Used in a `with` statement; leaving it without `commit` removes the temporary folder.

    Attributes:
        folder: the temporary folder to write to.
    """

    def __init__(self, wanted: Path | None, name: str) -> None:
        """Make a temporary folder.

        Args:
            wanted: where the run shall lie; None for a new folder in `RUNS`.
            name: that folder's name, to which a number is added if it is taken.

        Raises:
            InputError: `wanted` exists and is not an empty folder.
        """
        if wanted is not None and wanted.exists() and (not wanted.is_dir() or any(wanted.iterdir())):
            raise InputError(f"expected a new folder for the run, but {wanted} exists")
        self._wanted = wanted
        self._place = RUNS / name if wanted is None else wanted
        self.folder = self._place.with_name(f".{self._place.name}.tmp-{os.getpid()}")
        self.folder.mkdir(parents=True)

    def write_json(self, name: str, document: dict[str, Any]) -> None:
        """Write one JSON file."""
        text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
        (self.folder / name).write_text(text + "\n", "utf-8")

    def commit(self) -> Path:
        """Rename the folder to its place and return that."""
        place = self._place
        for number in itertools.count(2):
            try:
                os.rename(self.folder, place)
                break
            except OSError:
                if self._wanted is not None or not place.exists():
                    raise
                place = self._place.with_name(f"{self._place.name}-{number}")
        return place

    def __enter__(self) -> "RunWriter":
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
