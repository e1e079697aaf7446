"""Scored conversations: a head trained on some actors, and the windows of other actors' conversations scored by it.

Vectors and scores are kept in a folder and not computed again. A speaker is enrolled as the conversation goes on, from
the windows that came before, as in a session.
"""

import dataclasses
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.built_conversations import NOISES, WINDOW_S, Actor, Conversation, Second, build, encode, load_actor
from ser_monitor.scoring.session_speaker import MOST_WINDOWS, SessionSpeaker

if TYPE_CHECKING:
    import ser_head

MODEL = "hubert-mini"
HEAD_ACTORS = (*(f"emodb/{n:02}" for n in (3, 8, 9, 10, 11)), *(f"ravdess/{n:02}" for n in range(1, 13)))
# What is chosen, thresholds and smoothing, is chosen on the development actors; the test actors choose nothing.
DEVELOPMENT_ACTORS = ("emodb/12", "emodb/13", *(f"ravdess/{n:02}" for n in range(13, 16)))
TEST_ACTORS = ("emodb/14", "emodb/15", "emodb/16", *(f"ravdess/{n:02}" for n in range(17, 20)))
QUIET_S, WITH_STRETCHES_S = 7200, 600  # of each actor in each noise
LEAST_SPEECH = 0.2  # share of a window that is speech, below which it is not scored
_ENROLLED_EVERY_S = (5, 60)  # until the speaker's sample is full, and then


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
        enrolled: number of the speaker's windows that each was scored with, int64 (windows,).
    """

    actor: str
    noise: str
    stretches: tuple[tuple[int, int], ...]
    labels: tuple[str, ...]
    probabilities: np.ndarray
    ood_scores: np.ndarray
    speech: np.ndarray
    enrolled: np.ndarray


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
        probabilities, ood_scores, enrolled = _probabilities(predictor.run, actor.name, vectors, speech)
        arrays[f"{name}_stretches"] = np.array(conversation.stretches, int).reshape(-1, 2)
        arrays[f"{name}_probabilities"], arrays[f"{name}_ood_scores"] = probabilities, ood_scores
        arrays[f"{name}_speech"], arrays[f"{name}_enrolled"] = speech, enrolled
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


def _probabilities(
    run: Any, name: str, vectors: np.ndarray, speech: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Score windows with the speaker's windows before them, a few at a time.

    Args:
        run: the run.
        name: of the speaker.
        vectors: of the windows, float32 (windows, layers, width).
        speech: share of speech of each, (windows,).

    Returns:
        Probabilities, out-of-domain scores, and the number of enrolled windows that each was scored with.
    """
    probabilities = np.full((len(vectors), len(run.labels)), np.nan)
    ood_scores, enrolled = np.full(len(vectors), np.nan), np.zeros(len(vectors), int)
    speaker, start = SessionSpeaker(), 0
    while start < len(vectors):
        end = start + (_ENROLLED_EVERY_S[0] if len(speaker) < MOST_WINDOWS else _ENROLLED_EVERY_S[1])
        rows = np.flatnonzero(speech[start:end] >= LEAST_SPEECH) + start
        if len(rows):
            own = {} if speaker.vectors is None else {name: speaker.vectors}
            probabilities[rows] = run.probabilities(vectors[rows], [name] * len(rows), run.spec, own)
            ood_scores[rows], enrolled[rows] = run.ood_score(vectors[rows]), len(speaker)
        for row in rows:
            speaker.add(vectors[row], float(row), float(row + WINDOW_S), float(speech[row]))
        start = end
    return probabilities, ood_scores, enrolled


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
                arrays[f"{name}_enrolled"],
            )
            for name in ("quiet", "stretches")
        )
    return quiet, stretches
