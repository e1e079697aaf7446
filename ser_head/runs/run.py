"""Runs: a trained head with all that explains it, in one folder.

    run.json           settings, the store's spec, classes, layers, versions, and per fold its speakers and head
    head.keras         or fold_K/head.keras: vectors as stored in, probabilities out; the scaling is inside
    fold.npz           beside each head: scaling, training speakers, class shares, what is familiar
    metrics.json       see `ser_head.evaluation.metrics`
    predictions.csv    the scored test clips; validation.csv: those the epoch was chosen by
    search.csv         after a search: every candidate in every fold, see `ser_head.training.search`
    history.csv        fold, epoch, loss, accuracy, val_loss, val_accuracy
    profiles/          of speakers enrolled later, see `ser_head.personalization.profiles`

A run is written to a temporary folder beside its place and renamed when whole.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ser_embed.errors import InputError
from ser_embed.spec import EmbeddingSpec
from ser_head.config import RUNS, TrainConfig
from ser_head.data.frames import average_neighbours, pad_frames
from ser_head.scoring.scorer import ARRAYS, Predict, Scorer, ScoringRequest, load_scorer

FORMAT = "ser-run"
VERSION = 1


class Run:
    """A finished run, ready to score vectors.

    Attributes:
        folder: where it lies.
        config: how it was trained.
        spec: the vectors it was trained on.
        labels: the classes, in the order of the probabilities.
        about: all of run.json.
    """

    def __init__(self, folder: Path, about: dict[str, Any]) -> None:
        """Take the content of `folder`'s run.json; use `load`."""
        self.folder = folder
        self.about = about
        self.config = TrainConfig(**about["settings"])
        self.spec = EmbeddingSpec.from_json(json.dumps(about["spec"]))
        self.labels = tuple(about["labels"])
        self._layers = [self.spec.layers.index(name) for name in about["layers"]]
        self._heads = [folder / fold["head"] for fold in about["folds"]]

    @property
    def profiles(self) -> Path:
        """Where the profiles of its speakers are, if there are any."""
        return self.folder / "profiles"

    @property
    def corpora(self) -> dict[str, bool]:
        """The corpora it standardises each by itself, and whether test clips, without labels, told it how."""
        folds = [fold for run in self.members or (self,) for fold in run.about["folds"]]
        measured = [(name, each["transductive"]) for fold in folds for name, each in fold.get("corpora", {}).items()]
        return {name: (name, True) in measured for name, _ in measured}

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
        self,
        vectors: np.ndarray,
        speakers: Sequence[str] | None = None,
        spec: EmbeddingSpec | None = None,
        enrolled: Mapping[str, np.ndarray] | None = None,
        corpora: Sequence[str] | None = None,
    ) -> np.ndarray:
        """Score vectors, by the mean over folds where there are several heads.

        Args:
            vectors: float32 (clips, layers, width), with all the layers of the run's spec.
            speakers: speaker of each clip; one who was neither in training nor enrolled, or None, is a stranger. Only
                a personalised head listens.
            spec: what the vectors are, if known; checked.
            enrolled: unlabelled vectors of new speakers by name, like `vectors`.
            corpora: corpus of each clip, for a run that standardises by corpus; one the run does not know, or None, is
                standardised like the training clips.

        Returns:
            float64 (clips, classes).

        Raises:
            InputError: vectors of another encoder or shape.
        """
        if spec is not None:
            self.require_spec(spec)
        strangers = [""] * len(vectors)
        told = list(
            zip(strangers if speakers is None else speakers, strangers if corpora is None else corpora, strict=True)
        )
        chosen = self._chosen(vectors)
        known = {name: self._chosen(clips) for name, clips in (enrolled or {}).items()}
        places: dict[tuple[str, str], list[int]] = {}
        for place, pair in enumerate(told):
            places.setdefault(pair, []).append(place)
        heard = [ScoringRequest(chosen[own], known.get(name), name, corpus) for (name, corpus), own in places.items()]
        if not heard:
            return np.zeros((0, len(self.labels)))
        order = np.argsort(np.concatenate(list(places.values())))
        return np.mean([scorer.score(heard).astype(np.float64)[order] for scorer in self.scorers], axis=0)

    def ood_score(self, vectors: np.ndarray, corpus: str = "") -> np.ndarray:
        """Return how unlike the training clips vectors are, (clips,): above 1, like none but one in a hundred.

        Args:
            vectors: float32 (clips, layers, width), with all the layers of the run's spec.
            corpus: which they are of, for a run that standardises by corpus; "" if it is not known.
        """
        return np.mean([scorer.ood_score(self._chosen(vectors), corpus) for scorer in self.scorers], axis=0)

    def _chosen(self, vectors: np.ndarray) -> np.ndarray:
        if self.spec.pooling == "frames":
            clips = (np.asarray(clip[:, self._layers], np.float32) for clip in vectors)
            return pad_frames([average_neighbours(clip, self.config.frame_step) for clip in clips])
        expected = len(self.spec.layers), self.spec.width
        if vectors.ndim != 3 or vectors.shape[1:] != expected:
            raise InputError(
                f"the run {self.folder} takes vectors of shape (clips, {expected[0]}, {expected[1]}), "
                f"not {vectors.shape}"
            )
        return np.asarray(vectors[:, self._layers], np.float32)

    @cached_property
    def members(self) -> tuple["Run", ...]:
        """The runs whose answers an ensemble combines; none for any other head."""
        return tuple(Run.load(self.folder / place) for place in self.about.get("members", ()))

    @cached_property
    def scorers(self) -> list[Scorer]:
        """What each fold has learned, read when first used."""
        methods = self.config.personalized
        return [
            load_scorer(head.parent / ARRAYS, fold, methods, load_predict(head))
            for head, fold in zip(self._heads, self.about["folds"], strict=True)
        ]


def load_predict(head: Path) -> Predict:
    """Return the function from a head's inputs to probabilities, by the kind of its file.

    Raises:
        InputError: it is not a head this version can read.
    """
    if head.suffix == ".keras":
        from ser_head.heads.networks import load_network

        return load_network(head)
    from ser_head.heads.sklearn_heads import SklearnHead

    return lambda inputs: SklearnHead.load(head).probabilities(inputs[0])


def newest_run(folder: Path = RUNS) -> Path:
    """Return the run in `folder` that was written last; profiles added to a run later do not count.

    Raises:
        InputError: there is none.
    """
    runs = list(folder.glob("[!.]*/run.json"))  # a hidden one is being written
    if not runs:
        raise InputError(f"no run in {folder}/; train one with: python -m ser_head.train, or name one with --run")
    return max(runs, key=lambda path: path.stat().st_mtime).parent
