"""Dataset of the labelled clips of a store, as training sees them: vectors, classes, speakers.

Clips are numbered 0..n-1 in the store's order; every clip index in stage 2 is such a position. Vectors are float32
(clips, layers, width); those of a store of frames are (clips, frames, layers, width), see `ser_head.data.frames`. A
store under `MEMORY_BYTES` is read once and kept in memory; a larger one is read from disk in windows, so memory does
not grow with it.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
import pandas as pd

from ser_embed.errors import InputError
from ser_embed.manifest import EMOTIONS
from ser_embed.store.reader import Store
from ser_head.data.copies import recording_rows
from ser_head.data.frames import average_neighbours, pad_frames

EMOTION, VOTES = "emotion", "votes"
MEMORY_BYTES = 2**30  # vectors kept in memory; about 10 000 clips of all 25 layers of a large encoder
WINDOW_BYTES = 2**26  # vectors processed at once: 16 000 clips of one layer of a large encoder, 650 of all 25
# Neighbouring clips of a store are often of one speaker. A window made of runs this short mixes many speakers, and each
# run is still read in one piece.
_CLIPS_PER_RUN = 20


class Dataset:
    """Clips of a store that have a target to learn, chosen by corpus and class.

    Attributes:
        store: the store that holds the vectors.
        layers: positions of the chosen layers on the store's layer axis.
        labels: the classes, in canonical order: `EMOTIONS`, then others by alphabet; none where a number is learned.
        clips: manifest rows of the clips, (clips,).
        targets: class of each clip as a position in `labels`, int64 (clips,); all 0 where a number is learned.
        desired: outputs that a head should learn: float32 (clips, classes), 1 for the class or the shares of the votes;
            or float32 (clips, 1), the number.
        speakers: speaker of each clip, "" where unknown, (clips,).
        corpora: corpus of each clip, (clips,).
        recordings: recording of each clip, as a position: the clip itself, or what it is an augmented copy of; int64
            (clips,).
        left_out: utterance_ids of the copies whose recording is not among the clips; they are not either.
    """

    def __init__(
        self,
        store: Store,
        layer: str = "weighted",
        corpora: Sequence[str] = (),
        shared: bool = False,
        frames: bool = False,
        target: str = EMOTION,
        frame_step: int = 1,
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        """Select the clips; no vectors are read yet.

        Args:
            store: an open store.
            layer: "weighted" for all layers, "last", or the name of a layer.
            corpora: names of the corpora to use; none for all.
            shared: keep only the emotions that every corpus has, where emotions are learned.
            frames: whether the head takes frames, or one vector per clip.
            target: what is learned: "emotion", "votes" (the shares of the columns votes_<emotion>), or the name of a
                column of numbers; clips without a value are left out.
            frame_step: number of neighbouring frames that are averaged to one.
            memory_bytes: size above which vectors are left on disk.

        Raises:
            InputError: there is no such layer or corpus, the store has frames where the head takes vectors or the
                reverse, or there are fewer than two classes.
        """
        _require_pooling(store, frames)
        self.store = store
        self.layers = layer_positions(store, layer)
        clips = store.utterances
        _require_corpora(store, clips, corpora)
        chosen = _has_target(store, clips, target, corpora)
        if shared and target in (EMOTION, VOTES):
            chosen &= clips["emotion"].isin(shared_emotions(clips[chosen]))
        has_recording = _has_recording(clips, chosen)
        self.left_out = tuple(clips["utterance_id"][chosen & ~has_recording])
        chosen &= has_recording
        self._rows = np.flatnonzero(chosen)
        self._frame_step = frame_step
        self._memory_bytes = memory_bytes
        self.clips = clips[chosen].reset_index(drop=True)
        if target in (EMOTION, VOTES):
            self.labels = _classes(store, self.clips)
            self.targets = self.clips["emotion"].map(self.labels.index).to_numpy(np.int64)
            self.desired = np.eye(len(self.labels), dtype=np.float32)[self.targets]
            if target == VOTES:
                self.desired = _vote_shares(store, self.clips, self.labels, self.desired)
        else:
            self.labels, self.targets = (), np.zeros(len(self.clips), np.int64)
            self.desired = self.clips[[target]].to_numpy(np.float32)
        self.speakers = self.clips["speaker"].to_numpy(object)
        self.corpora = self.clips["corpus"].to_numpy(object)
        self.recordings = recording_rows(self.clips)

    @property
    def speaker_vectors(self) -> dict[str, np.ndarray]:
        """Shift of the vectors of each speaker in the encoder's pre-training, to be added, float32 (layers, width)."""
        return {name: vector[self.layers] for name, vector in self.store.speaker_vectors.items()}

    def __len__(self) -> int:
        """Return the number of clips, copies included."""
        return len(self._rows)

    @cached_property
    def num_copies(self) -> int:
        """Number of clips that are augmented copies."""
        return int(np.sum(self.recordings != np.arange(len(self))))

    def with_copies(self, indices: np.ndarray) -> np.ndarray:
        """Return recordings with all their copies, ascending; without copies in the dataset, `indices` as they are."""
        return np.flatnonzero(np.isin(self.recordings, indices)) if self.num_copies else indices

    def without_copies(self, indices: np.ndarray) -> np.ndarray:
        """Return the recordings among `indices`, in that order."""
        return indices[self.recordings[indices] == indices]

    @property
    def shape(self) -> tuple[int, int]:
        """Number of layers and width of a clip's vectors."""
        return len(self.layers), self.store.spec.width

    @cached_property
    def _in_memory(self) -> np.ndarray | list[np.ndarray] | None:
        """All vectors, or the frames of each clip; None where they do not fit in memory."""
        if len(self) * self._clip_bytes > self._memory_bytes:
            return None
        return self._read_frames(self._rows) if self._has_frames else self.store.read(self._rows, self.layers)

    @property
    def _has_frames(self) -> bool:
        return self.store.spec.pooling == "frames"

    @cached_property
    def _clip_bytes(self) -> int:
        frames = -(-int(self.clips["frame_count"].max()) // self._frame_step) if self._has_frames else 1
        return 4 * frames * self.shape[0] * self.shape[1]

    @property
    def clips_per_window(self) -> int:
        """Number of clips whose vectors fit in `WINDOW_BYTES`, at least one."""
        return max(1, WINDOW_BYTES // self._clip_bytes)

    def read(self, indices: np.ndarray) -> np.ndarray:
        """Read the vectors of the clips `indices`, in that order.

        Returns:
            float32 (indices, layers, width), or padded frames, float32 (indices, frames, layers, width).
        """
        if isinstance(self._in_memory, np.ndarray):
            return self._in_memory[indices]
        if not self._has_frames:
            return self.store.read(self._rows[indices], self.layers)
        if self._in_memory is not None:
            return pad_frames([self._in_memory[index] for index in indices])
        return pad_frames(self._read_frames(self._rows[indices]))

    def _read_frames(self, rows: np.ndarray) -> list[np.ndarray]:
        """Read the frames of these rows of the store, float32 (frames, layers, width) each."""
        clips = (self.store.read_clip(int(row))[:, self.layers] for row in rows)
        return [average_neighbours(clip, self._frame_step) for clip in clips]

    def windows(self, indices: np.ndarray, random: np.random.Generator | None = None) -> Iterator[np.ndarray]:
        """Split `indices` into windows whose vectors fit in `WINDOW_BYTES`.

        Args:
            indices: clips, ascending.
            random: shuffles them; None keeps the order. In memory every order is equally likely; on disk short runs of
                neighbours are shuffled, and a window holds many of them.

        Yields:
            One or more arrays that together hold each of `indices` once.
        """
        if random is not None and self._in_memory is not None:
            indices = random.permutation(indices)
        elif random is not None:
            runs = np.array_split(indices, -(-len(indices) // _CLIPS_PER_RUN))
            indices = np.concatenate([runs[index] for index in random.permutation(len(runs))])
        yield from np.array_split(indices, -(-len(indices) // self.clips_per_window))


def _has_recording(clips: pd.DataFrame, chosen: pd.Series) -> np.ndarray:
    """Return which clips are recordings, or copies of recordings among the chosen clips, bool (clips,)."""
    rows = recording_rows(clips)
    return (rows >= 0) & chosen.to_numpy(bool)[rows]


def _has_target(store: Store, clips: pd.DataFrame, target: str, corpora: Sequence[str]) -> pd.Series:
    """Return which clips of the corpora have a target, bool (clips,); without corpora, which of all clips."""
    in_corpora = clips["corpus"].isin(corpora or clips["corpus"].unique())
    if target in (EMOTION, VOTES):
        return in_corpora & (clips["emotion"] != "")
    numeric = [str(name) for name in clips if pd.api.types.is_numeric_dtype(clips[name])]
    if target not in numeric:
        raise InputError(
            f"--target has to be {EMOTION}, {VOTES} or a column of numbers of {store.path} ({', '.join(numeric)}), "
            f"not {target!r}"
        )
    chosen = in_corpora & clips[target].notna()
    if not chosen.any():
        where = f"{', '.join(corpora)} in {store.path}" if corpora else store.path
        raise InputError(f"--target {target} has to be known of some clips, but no clip of {where} has it")
    return chosen


def _classes(store: Store, clips: pd.DataFrame) -> tuple[str, ...]:
    """Return the classes in canonical order, at least two."""
    labels = class_order(clips["emotion"])
    if len(labels) < 2:
        available = f"only {labels[0]!r}" if labels else "none"
        raise InputError(f"training needs clips of at least two emotions; {store.path} has {available}")
    return labels


def _vote_shares(store: Store, clips: pd.DataFrame, labels: Sequence[str], without_votes: np.ndarray) -> np.ndarray:
    """Return the share of the listeners that voted for each emotion.

    Args:
        store: the store, named in errors.
        clips: manifest rows, (clips,).
        labels: the classes.
        without_votes: rows for clips without votes, float32 (clips, classes).

    Returns:
        float32 (clips, classes).
    """
    columns = [f"{VOTES}_{label}" for label in labels]
    if missing := [column for column in columns if column not in clips]:
        raise InputError(f"--target {VOTES} needs the columns {', '.join(columns)}; {store.path} lacks {missing[0]}")
    votes = clips[columns].to_numpy(np.float32, na_value=0)
    total = votes.sum(axis=1, keepdims=True)
    return np.where(total > 0, votes / np.where(total > 0, total, 1), without_votes)


def class_order(emotions: pd.Series) -> tuple[str, ...]:
    """Return the distinct emotions in canonical order."""
    names = set(emotions)
    return (*(name for name in EMOTIONS if name in names), *sorted(names.difference(EMOTIONS)))


def shared_emotions(clips: pd.DataFrame) -> set[str]:
    """Return the emotions that every corpus among `clips` has."""
    per_corpus = (set(emotions) for _, emotions in clips.groupby("corpus")["emotion"])
    return set.intersection(*per_corpus) if len(clips) else set()


def layer_positions(store: Store, layer: str) -> list[int]:
    """Return the positions of a choice of layers on the store's layer axis.

    Args:
        store: an open store.
        layer: "weighted" for all layers, "last", or the name of a layer.

    Raises:
        InputError: the store has no layer of that name.
    """
    if layer == "weighted":
        return list(range(len(store.layers)))
    if layer == "last":
        return [len(store.layers) - 1]
    if layer in store.layers:
        return [store.layers.index(layer)]
    raise InputError(f"expected a layer of {store.path} (weighted, last, {', '.join(store.layers)}), not {layer!r}")


def _require_pooling(store: Store, frames: bool) -> None:
    has_frames = store.spec.pooling == "frames"
    if has_frames and not frames:
        raise InputError(f"expected one vector per clip, but {store.path} holds frames; extract with --pooling mean")
    if frames and not has_frames:
        raise InputError(
            f"expected the frames of clips, but {store.path} holds one vector of each; extract with --pooling frames"
        )


def _require_corpora(store: Store, clips: pd.DataFrame, corpora: Sequence[str]) -> None:
    available = sorted(set(clips["corpus"]))
    for name in corpora:
        if name not in available:
            raise InputError(f"{store.path} has no corpus {name!r}; it has {', '.join(available)}")
