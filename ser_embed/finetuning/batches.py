"""Batches of a fine-tuning: clips of like length, cut and masked at random; the number of a step decides all of it.

A step needs no state of a generator but its own number, so that a training which is resumed continues as if it had
never stopped.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

FRAMES_PER_S = 50
ReadFrames = Callable[[np.ndarray], np.ndarray]
"""Reads clips by position: float32 (clips, frames, width), padded with NaN."""
_BATCHES_SORTED = 8  # batches whose clips are sorted by length together


@dataclass(frozen=True)
class Batch:
    """Clips of one forward pass.

    Attributes:
        clips: their positions, (clips,).
        frames: float32 (clips, frames, width), 0 where there is padding.
        valid: bool (clips, frames), False where there is padding.
    """

    clips: np.ndarray
    frames: np.ndarray
    valid: np.ndarray


@dataclass(frozen=True)
class TrainingClips:
    """Clips that are trained on.

    Attributes:
        positions: their positions in the data, int64 (clips,).
        num_frames: number of frames of each, int64 (clips,).
        recordings: a number for the recording of each, equal for a recording and its augmented copies, int64 (clips,).
    """

    positions: np.ndarray
    num_frames: np.ndarray
    recordings: np.ndarray

    @property
    def num_recordings(self) -> int:
        """Number of different recordings."""
        return len(np.unique(self.recordings))


class TuningBatches:
    """The batches of a training, epoch by epoch.

    Attributes:
        per_epoch: number of batches in an epoch.
    """

    def __init__(self, read: ReadFrames, clips: TrainingClips, batch_size: int, seed: int) -> None:
        """Take the clips.

        Args:
            read: reads frames.
            clips: the training clips.
            batch_size: clips in a batch.
            seed: of the order, the cuts and the masks.
        """
        self._read, self._clips = read, clips
        self._seed = seed
        self.per_epoch = -(-clips.num_recordings // batch_size)

    def positions(self, epoch: int, longest: int) -> list[np.ndarray]:
        """Return the clips of each batch of an epoch, of like length; the order of the batches is random.

        Every recording is there once: itself or one of its augmented copies, each as likely as the other.

        Args:
            epoch: number of the epoch, from 0.
            longest: number of frames to which clips are cut; 0 for whole clips.
        """
        random = np.random.default_rng([self._seed, epoch])
        shuffled = random.permutation(len(self._clips.positions))
        _, firsts = np.unique(self._clips.recordings[shuffled], return_index=True)
        order = random.permutation(shuffled[firsts])
        num_frames = self._clips.num_frames
        lengths = np.minimum(num_frames, longest) if longest else num_frames
        drawn = np.array_split(order, self.per_epoch)
        batches: list[np.ndarray] = []
        for start in range(0, self.per_epoch, _BATCHES_SORTED):
            group = drawn[start : start + _BATCHES_SORTED]
            clips = np.concatenate(group)
            batches += np.array_split(clips[np.argsort(lengths[clips], kind="stable")], len(group))
        return [self._clips.positions[batches[index]] for index in random.permutation(len(batches))]

    def read(self, clips: np.ndarray, random: np.random.Generator, longest: int, time_mask: float) -> Batch:
        """Read a batch.

        Args:
            clips: positions of its clips.
            random: draws cuts and masks.
            longest: number of frames to which clips are cut; 0 for whole clips.
            time_mask: longest share of a clip that is masked, see `TuningConfig`.
        """
        frames = self._read(clips)
        lengths = (~np.isnan(frames[..., 0])).sum(axis=1)
        kept = np.minimum(lengths, longest) if longest else lengths
        starts = random.integers(lengths - kept + 1)
        cut = np.zeros((len(clips), int(kept.max()), frames.shape[2]), np.float32)
        for row, source, start, count in zip(cut, frames, starts, kept, strict=True):
            row[:count] = source[start : start + count]
            if time_mask:
                _mask(row[:count], random, time_mask)
        return Batch(clips, cut, np.arange(cut.shape[1]) < kept[:, np.newaxis])


def _mask(frames: np.ndarray, random: np.random.Generator, time_mask: float) -> None:
    """Set a random stretch of a clip's frames to their mean, in place."""
    width = int(random.integers(int(time_mask * len(frames)) + 1))
    start = int(random.integers(len(frames) - width + 1))
    frames[start : start + width] = frames.mean(axis=0)
