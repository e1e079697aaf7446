"""Scored conversations: a head trained on some actors, and the windows of other actors' conversations scored by it.

Vectors and scores are kept in a folder and not computed again. A speaker is enrolled as the conversation goes on: every
minute from the windows that came before.
"""

import dataclasses
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.built_conversations import NOISES, Actor, Conversation, Second, build, encode, load_actor

if TYPE_CHECKING:
    import ser_head

MODEL = "hubert-mini"
HEAD_ACTORS = (*(f"emodb/{n:02}" for n in (3, 8, 9, 10, 11)), *(f"ravdess/{n:02}" for n in range(1, 13)))
# What is chosen, thresholds and smoothing, is chosen on the development actors; the test actors choose nothing.
DEVELOPMENT_ACTORS = ("emodb/12", "emodb/13", *(f"ravdess/{n:02}" for n in range(13, 16)))
TEST_ACTORS = ("emodb/14", "emodb/15", "emodb/16", *(f"ravdess/{n:02}" for n in range(17, 20)))
QUIET_S, WITH_STRETCHES_S = 7200, 600  # of each actor in each noise
LEAST_SPEECH = 0.2  # share of a window that is speech, below which it is not scored
_ENROLLED_EVERY_S, _MOST_ENROLLED = 60, 100


@dataclasses.dataclass(frozen=True)
class ScoredConversation:
    """The scores of a conversation's windows, one a second.

    Attributes:
        actor: who speaks.
        noise: name of the level of noise.
        stretches: start and end of the angry stretches, in seconds.
        labels: the classes.
        probabilities: float64 (windows, classes); NaN without speech.
        ood_scores: float64 (windows,); NaN without speech.
        speech: share of speech, float64 (windows,).
    """

    actor: str
    noise: str
    stretches: tuple[tuple[int, int], ...]
    labels: tuple[str, ...]
    probabilities: np.ndarray
    ood_scores: np.ndarray
    speech: np.ndarray


def train_head(data: Path, folder: Path) -> Path:
    """Train a head on the actors that no conversation has; return the run folder."""
    import ser_embed
    import ser_head
    from ser_embed.corpora.scan import scan_data

    run = folder / "run"
    if not run.exists():
        manifest = scan_data(data, ("emodb", "ravdess")).manifest
        for path in manifest.loc[manifest["speaker"].isin(HEAD_ACTORS), "path"]:
            link = folder / "data" / path
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.is_symlink():
                os.symlink((data / path).resolve(), link)
        store = ser_embed.extract(MODEL, data=folder / "data", store=folder / "head.h5").store
        ser_head.train(store=store, personalized="normalize", out=run)
    return run


def scored_conversations(
    data: Path, folder: Path, actors: tuple[str, ...], seed: int
) -> Iterator[tuple[ScoredConversation, ScoredConversation]]:
    """Yield two conversations of each actor in each noise: one without and one with angry stretches.

    Args:
        data: folder of the corpora.
        folder: where the run, vectors and scores are kept.
        actors: who speaks.
        seed: of everything random.
    """
    import ser_head

    run_folder, predictor = train_head(data, folder), None
    for name in actors:
        for noise in NOISES:
            path = folder / "scores" / f"{name.replace('/', '-')} {noise} {seed}.npz"
            if not path.exists():
                predictor = predictor or ser_head.Predictor(run_folder)
                _score(load_actor(data, name), noise, seed, predictor, path)
            yield _read(path, name, noise)


def _score(actor: Actor, noise: str, seed: int, predictor: "ser_head.Predictor", path: Path) -> None:
    """Build and score two conversations of an actor, and write the scores."""
    rng = np.random.default_rng([seed, zlib.crc32(f"{actor.name} {noise}".encode())])
    pair = {
        "quiet": build(actor, QUIET_S, False, rng),
        "stretches": build(actor, WITH_STRETCHES_S, True, rng),
    }
    encoded = _encoded(actor, noise, pair, path)
    arrays: dict[str, Any] = {"labels": np.array(predictor.labels)}
    for name, conversation in pair.items():
        rows = np.array([encoded[0][window] for window in conversation.windows])
        vectors, speech = encoded[1][rows], encoded[2][rows]
        probabilities, ood_scores = _probabilities(predictor.run, actor.name, vectors, speech)
        arrays[f"{name}_stretches"] = np.array(conversation.stretches, int).reshape(-1, 2)
        arrays[f"{name}_probabilities"], arrays[f"{name}_ood_scores"] = probabilities, ood_scores
        arrays[f"{name}_speech"] = speech
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays)


def _encoded(
    actor: Actor, noise: str, pair: dict[str, Conversation], scores_path: Path
) -> tuple[dict[tuple[Second, ...], int], np.ndarray, np.ndarray]:
    """Encode the windows of conversations, or read the vectors that were kept."""
    path = scores_path.parent.with_name("vectors") / scores_path.name
    windows = sorted({window for conversation in pair.values() for window in conversation.windows})
    if path.exists():
        with np.load(path) as kept:
            return {window: row for row, window in enumerate(windows)}, kept["vectors"], kept["speech"]
    encoded = encode(actor, NOISES[noise], pair.values(), MODEL)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, vectors=encoded[1], speech=encoded[2])
    return encoded


def _probabilities(run: Any, name: str, vectors: np.ndarray, speech: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Score windows minute by minute, each minute with the speaker's windows before it."""
    is_speech = speech >= LEAST_SPEECH
    probabilities = np.full((len(vectors), len(run.labels)), np.nan)
    ood_scores = np.full(len(vectors), np.nan)
    for start in range(0, len(vectors), _ENROLLED_EVERY_S):
        rows = np.flatnonzero(is_speech[start : start + _ENROLLED_EVERY_S]) + start
        enrolled = vectors[np.flatnonzero(is_speech[:start])[::3][-_MOST_ENROLLED:]]
        if len(rows):
            names = [name] * len(rows)
            probabilities[rows] = run.probabilities(vectors[rows], names, run.spec, {name: enrolled})
            ood_scores[rows] = run.ood_score(vectors[rows])
    return probabilities, ood_scores


def _read(path: Path, actor: str, noise: str) -> tuple[ScoredConversation, ScoredConversation]:
    with np.load(path) as arrays:
        labels = tuple(map(str, arrays["labels"]))
        quiet, stretches = (
            ScoredConversation(
                actor,
                noise,
                tuple((int(start), int(end)) for start, end in arrays[f"{name}_stretches"]),
                labels,
                arrays[f"{name}_probabilities"],
                arrays[f"{name}_ood_scores"],
                arrays[f"{name}_speech"],
            )
            for name in ("quiet", "stretches")
        )
    return quiet, stretches
