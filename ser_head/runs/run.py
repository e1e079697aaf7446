"""Run: a trained head with all that explains it, in one folder.

run.json           settings, the store's spec, classes, layers, versions, per fold its speakers and head, and digests;
                   see `ser_head.runs.document`
head.keras         or fold_K/head.keras: stored vectors in, probabilities out; the scaling is inside
fold.npz           beside each head: scaling, training speakers, class shares, out-of-domain reference
metrics.json       see `ser_head.evaluation.metrics`
predictions.csv    the scored test clips; validation.csv: those the epoch was chosen by
search.csv         after a search: every candidate in every fold, see `ser_head.training.search`
history.csv        fold, epoch, loss, accuracy, val_loss, val_accuracy
profiles/          of speakers enrolled later (not of a head that ships), see `ser_head.personalization.profiles`
"""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ser_embed.errors import InputError
from ser_embed.reading import expect, input_error_on_read, path_inside
from ser_embed.spec import EmbeddingSpec
from ser_head.config.registry import read_config
from ser_head.data.frames import average_neighbours, pad_frames
from ser_head.heads.head_file import MODEL
from ser_head.heads.registry import HEADS, load_predict
from ser_head.runs.document import DIGESTS, RUN_FILE, read_document, require_unchanged, shown
from ser_head.runs.location import is_shipped, profiles_of
from ser_head.scoring.scorer import Predict, Scorer, ScoringRequest
from ser_head.scoring.scorer_file import SCORER_FILE, ScorerShape, load_scorer


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
        self.config = read_config(about)
        self.spec = EmbeddingSpec.from_json(json.dumps(about["spec"]))
        self.labels = tuple(about["labels"])
        self._layers = [self.spec.layers.index(name) for name in about["layers"]]
        expect(
            bool(self.labels) == self.config.has_classes, f"classes for the target {self.config.target}", self.labels
        )
        combines = HEADS[self.config.head].combines_runs
        expect(bool(about.get("members")) == combines, f"members of the head {self.config.head}", about.get("members"))

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
        about, failure = read_document(folder), f"the run {folder} is damaged: {RUN_FILE} cannot be used"
        with input_error_on_read(failure, of_parts=True):
            run = cls(folder, about)
            for name in about.get("members", ()):
                path_inside(folder, name)
            heads = [fold["head"] for fold in about["folds"]]
            missing = [head for head in heads if not path_inside(folder, head).is_file()]
        if missing:
            raise InputError(f"the run {folder} is damaged: {shown(missing[0])} is missing")
        return run

    def file(self, name: str) -> Path:
        """Return the path of one of the run's files, after checking that it is as it was written.

        Args:
            name: path inside the run's folder.

        Raises:
            InputError: it is missing, cannot be read, or was changed.
        """
        return require_unchanged(self.folder, name, self.about.get(DIGESTS, {}))

    def optional_file(self, name: str) -> Path | None:
        """Return the path of a file as `file` does; None if the run was written without it."""
        is_written = name in self.about.get(DIGESTS, {}) or (self.folder / name).exists()
        return self.file(name) if is_written else None

    @property
    def profiles(self) -> Path:
        """Folder of the profiles of its speakers; it need not exist."""
        return profiles_of(self.folder)

    @property
    def is_shipped(self) -> bool:
        """Whether it comes with the library; see `ser_head.runs.location`."""
        return is_shipped(self.folder)

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
        """The runs whose predictions an ensemble combines; none for any other head.

        Raises:
            InputError: one is no run, is damaged or was changed, or does not belong to the ensemble.
        """
        names = self.about.get("members", ())
        for name in self.about.get(DIGESTS, {}):
            if any(name.startswith(f"{member}/") for member in names):
                self.file(name)
        members = tuple(Run.load(self.folder / name) for name in names)
        for member in members:
            if member.labels != self.labels or member.about.get("members"):
                raise InputError(f"the run {self.folder} is damaged: {member.folder} cannot be one of its members")
        return members

    @cached_property
    def scorers(self) -> list[Scorer]:
        """One scorer per fold, read from disk and tried out when first used.

        Raises:
            InputError: a head or a scorer is damaged, was changed, or does not belong to the run.
        """
        return [self._load_scorer(fold) for fold in self.about["folds"]]

    def fold_scorer(self, fold: dict[str, Any], predict: Predict) -> Scorer:
        """Read the scorer of a fold from disk.

        Args:
            fold: the fold's entry in run.json.
            predict: its head, or what stands in for it.

        Raises:
            InputError: the file is damaged, was changed, or does not belong to the run.
        """
        path = self.file((PurePosixPath(fold["head"]).parent / SCORER_FILE).as_posix())
        shape = ScorerShape(len(self._layers), self.spec.width, len(self.labels) or 1)
        return load_scorer(path, fold, shape, self.config.personalized, predict)

    def _head_file(self, fold: dict[str, Any]) -> Path:
        """Return the file of a fold's head, after checking it and the folder of a model that may be beside it."""
        model = f"{(PurePosixPath(fold['head']).parent / MODEL).as_posix()}/"
        for name in self.about.get(DIGESTS, {}):
            if name.startswith(model):
                self.file(name)
        return self.file(fold["head"])

    def _load_scorer(self, fold: dict[str, Any]) -> Scorer:
        """Read scorer and head of a fold, and score the average training clip, which every head can."""
        path = self._head_file(fold)
        scorer = self.fold_scorer(fold, load_predict(path))
        with (
            input_error_on_read(f"the run {self.folder} is damaged: {path} does not fit it"),
            np.errstate(all="ignore"),
        ):
            clip = scorer.scaling.mean.astype(np.float32)
            clips = pad_frames([clip[np.newaxis]]) if self.spec.pooling == "frames" else clip[np.newaxis]
            outputs, expected = scorer.score([ScoringRequest(clips)]), (1, len(self.labels) or 1)
            expect(outputs.shape == expected, f"answers of shape {expected}", outputs.shape)
            expect(bool(np.isfinite(outputs).all()), "finite answers", outputs)
        return scorer

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
