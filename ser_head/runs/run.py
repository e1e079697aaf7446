"""Run: a trained head with all that explains it, in one folder.

run.json           settings, the store's spec, classes, layers, versions, and per fold its speakers and head
head.keras         or fold_K/head.keras: stored vectors in, probabilities out; the scaling is inside
fold.npz           beside each head: scaling, training speakers, class shares, out-of-domain reference
metrics.json       see `ser_head.evaluation.metrics`
predictions.csv    the scored test clips; validation.csv: those the epoch was chosen by
search.csv         after a search: every candidate in every fold, see `ser_head.training.search`
history.csv        fold, epoch, loss, accuracy, val_loss, val_accuracy
profiles/          of speakers enrolled later, see `ser_head.personalization.profiles`
"""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ser_embed.errors import InputError
from ser_embed.spec import EmbeddingSpec
from ser_head.config.training import TrainConfig
from ser_head.data.frames import average_neighbours, pad_frames
from ser_head.heads.registry import load_predict
from ser_head.scoring.scorer import SCORER_FILE, Scorer, ScoringRequest, load_scorer

FORMAT = "ser-run"
VERSION = 1
RUNS = Path("runs")


class Run:
    """A finished run, ready to score vectors.

    Attributes:
        folder: where it is.
        config: how it was trained.
        spec: the vectors it was trained on.
        labels: the classes, in the order of the probabilities; none for a head that answers with a number.
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

    def __repr__(self) -> str:
        """Return head, encoder and folder in one line."""
        return f"Run({str(self.folder)!r}: {self.config.head} on {self.spec.name}, {self.config.protocol})"

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

    @property
    def profiles(self) -> Path:
        """Folder of the profiles of its speakers; it need not exist."""
        return self.folder / "profiles"

    @property
    def corpora(self) -> dict[str, bool]:
        """The corpora it standardises each by itself, and whether that was measured on unlabelled test clips."""
        folds = [fold for run in self.members or (self,) for fold in run.about["folds"]]
        measured = [
            (name, corpus["transductive"]) for fold in folds for name, corpus in fold.get("corpora", {}).items()
        ]
        return {name: (name, True) in measured for name, _ in measured}

    @cached_property
    def members(self) -> tuple["Run", ...]:
        """The runs whose predictions an ensemble combines; none for any other head."""
        return tuple(Run.load(self.folder / member) for member in self.about.get("members", ()))

    @cached_property
    def scorers(self) -> list[Scorer]:
        """One scorer per fold, read from disk when first used."""
        methods = self.config.personalized
        return [
            load_scorer(head.parent / SCORER_FILE, fold, methods, load_predict(head))
            for head, fold in zip(self._heads, self.about["folds"], strict=True)
        ]

    def require_spec(self, spec: EmbeddingSpec) -> None:
        """Check that vectors of `spec` are what this run was trained on.

        Raises:
            InputError: naming the first difference.
        """
        self.spec.require_same(spec, f"the run {self.folder}")

    def require_corpus(self, corpus: str | None) -> None:
        """Check that a corpus is one that the run standardises by itself; None and "" always are.

        Raises:
            InputError: naming the corpora there are.
        """
        if corpus and corpus not in self.corpora:
            names = ", ".join(sorted(self.corpora))
            expected = f"one of {names}" if names else "left out, as all corpora are standardised alike"
            raise InputError(f"with the run {self.folder}, --corpus has to be {expected}, not {corpus!r}")

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
            speakers: speaker of each clip; one who was neither in training nor enrolled, or None, is unknown. Makes no
                difference to a head that is not personalised.
            spec: what the vectors are, to be checked; None skips the check.
            enrolled: unlabelled vectors of new speakers by name, like `vectors`.
            corpora: corpus of each clip, for a run that standardises by corpus; one the run does not know, or None, is
                standardised like the training clips.

        Returns:
            float64 (clips, classes), or numbers (clips, 1).

        Raises:
            InputError: vectors of another encoder or shape.
        """
        if spec is not None:
            self.require_spec(spec)
        if not len(vectors):
            return np.zeros((0, len(self.labels)))
        unknown = [""] * len(vectors)
        pairs = zip(unknown if speakers is None else speakers, unknown if corpora is None else corpora, strict=True)
        rows: dict[tuple[str, str], list[int]] = {}  # of each speaker in each corpus
        for row, pair in enumerate(pairs):
            rows.setdefault(pair, []).append(row)
        chosen = self._choose_layers(vectors)
        enrolled_vectors = {name: self._choose_layers(clips) for name, clips in (enrolled or {}).items()}
        requests = [
            ScoringRequest(chosen[pair_rows], enrolled_vectors.get(speaker), speaker, corpus)
            for (speaker, corpus), pair_rows in rows.items()
        ]
        order = np.argsort(np.concatenate(list(rows.values())))
        return np.mean([scorer.score(requests).astype(np.float64)[order] for scorer in self.scorers], axis=0)

    def ood_score(self, vectors: np.ndarray, corpus: str = "") -> np.ndarray:
        """Return how unlike the training clips vectors are, float64 (clips,); 1 is exceeded by one clip in a hundred.

        Args:
            vectors: float32 (clips, layers, width), with all the layers of the run's spec.
            corpus: corpus of the clips, for a run that standardises by corpus; "" if it is not known.
        """
        chosen = self._choose_layers(vectors)
        return np.mean([scorer.ood_score(chosen, corpus) for scorer in self.scorers], axis=0)

    def _choose_layers(self, vectors: np.ndarray) -> np.ndarray:
        """Return the layers the head was trained on, float32 (clips, layers, width), or padded frames."""
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


def newest_run(folder: Path | None = None) -> Path:
    """Return the run in `folder` that was written last; profiles added to a run later do not count.

    Args:
        folder: where to look; None for `RUNS`.

    Raises:
        InputError: there is none.
    """
    folder = RUNS if folder is None else folder
    paths = list(folder.glob("[!.]*/run.json"))  # a hidden one is being written
    if not paths:
        raise InputError(f"no run in {folder}/; train one with: python -m ser_head.train, or name one with --run")
    return max(paths, key=lambda path: path.stat().st_mtime).parent
