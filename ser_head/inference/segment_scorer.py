"""Segment scorer: a run with its encoders, from segments of audio to vectors, and from vectors to probabilities.

The two steps can be taken apart, so that one forward pass serves segments of many sources, and one vector is scored
with whatever is known of who speaks.
"""

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ser_embed.errors import InputError
from ser_head.config.inference import PredictConfig
from ser_head.inference.audio import Segment
from ser_head.inference.clips import load_embedder
from ser_head.runs.ensemble import ensemble_probabilities
from ser_head.runs.run import Run

Speaker = str | np.ndarray | None  # name of a training speaker, or unlabelled vectors, or nobody known


class SegmentScorer:
    """A run with its encoders, loaded once; may be used from several threads, one of which computes at a time.

    Attributes:
        run: the run.
        embedders: one, or one for each member of an ensemble; members of one encoder share it.
    """

    def __init__(self, run: Run, config: PredictConfig) -> None:
        """Load the encoders.

        Args:
            run: scores vectors.
            config: says where the encoder is, on which device it runs, and what corpus the audio is from.

        Raises:
            InputError: an encoder cannot be had.
        """
        self.run = run
        self._corpus = config.corpus or ""
        self.embedders = _load_embedders(run, config)
        self._lock = threading.Lock()

    @property
    def longest_s(self) -> float:
        """The longest segment that the encoders take, in seconds."""
        return min(embedder.max_clip_s for embedder in self.embedders)

    def load_heads(self) -> None:
        """Read all heads from disk, so that nothing is left to be loaded by the first call."""
        for part in self.run.members or (self.run,):
            _ = part.scorers

    def embed(self, segments: Sequence[Segment]) -> list[np.ndarray]:
        """Embed segments in one forward pass.

        Args:
            segments: with their waveforms.

        Returns:
            Of each embedder, float32 (segments, layers, width); of frames an object array.
        """
        waveforms = [segment.waveform for segment in segments]
        with self._lock:
            return [embedder.embed_waveforms(waveforms) for embedder in self.embedders]

    def score(self, vectors: Sequence[np.ndarray], speakers: Sequence[Speaker]) -> tuple[np.ndarray, np.ndarray]:
        """Score vectors, each with what is known of its speaker.

        Args:
            vectors: of `embed`.
            speakers: of each segment: the name of a training speaker; unlabelled vectors of any other, float32 (clips,
                layers, width); or None. Segments of one speaker share the array.

        Returns:
            Probabilities, float64 (segments, classes), or numbers (segments, 1); and out-of-domain scores, float64
            (segments,), above 1 for what is unlike anything in training.
        """
        enrolled = {_name(speaker): speaker for speaker in speakers if isinstance(speaker, np.ndarray)}
        names = [_name(speaker) for speaker in speakers]
        return self.score_names(vectors, names, enrolled)

    def score_names(
        self, vectors: Sequence[np.ndarray], names: Sequence[str], enrolled: Mapping[str, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Score vectors as `score` does, with speakers by name.

        Args:
            vectors: of `embed`.
            names: of who speaks in each segment.
            enrolled: unlabelled vectors of new speakers by name.
        """
        run, corpus = self.run, self._corpus
        with self._lock:
            if run.members:
                members = zip(run.members, vectors, strict=True)
                ood_scores = [member.ood_score(member_vectors, corpus) for member, member_vectors in members]
                return ensemble_probabilities(run, vectors, corpus), np.mean(ood_scores, axis=0)
            spec, corpora = self.embedders[0].spec, [corpus] * len(names)
            outputs = run.probabilities(vectors[0], names, spec, enrolled, corpora)
            return outputs, run.ood_score(vectors[0], corpus)


def _name(speaker: Speaker) -> str:
    """Return a speaker's name; that of vectors is theirs alone for as long as they are held."""
    return f"\0{id(speaker)}" if isinstance(speaker, np.ndarray) else speaker or ""


def _load_embedders(run: Run, config: PredictConfig) -> list[Any]:
    """Return the embedder of the run, or of each member of an ensemble."""
    if run.members and config.model and any(member.spec != run.spec for member in run.members):
        raise InputError(f"--model names one encoder, but the members of {run.folder} have several")
    embedders: list[tuple[Any, Any]] = []  # spec and embedder of each member
    for part in run.members or (run,):
        shared = [embedder for spec, embedder in embedders if spec == part.spec]
        embedders.append((part.spec, shared[0] if shared else load_embedder(part.spec, config.model, config.device)))
    return [embedder for _, embedder in embedders]
