"""Clips of frames side by side in one array: what a clip does not have is NaN.

Frames are float32 (clips, frames, layers, width). Vectors, one per clip, are (clips, layers, width); the functions here
leave them as they are.
"""

from collections.abc import Sequence

import numpy as np

PADDED_TO = 32  # frames; five halvings of them come out even, so that a network's last pooling is the same in any batch
# Frames of a clip, as the store has them, that a step of training sees: 3.8 s of mfcc. That is all of most acted clips,
# so steps are of one shape and none pays for the longest clip. Cuts of 2.6 s missed the silence at both ends, and the
# cnn, which takes a mean over time, then did worse on whole clips than on cuts (RAVDESS, loss 2.65 and 2.18).
CUT_TO = 384


def average_neighbours(frames: np.ndarray, step: int) -> np.ndarray:
    """Lower the rate of frames: each `step` of them become their mean, the last ones where there are fewer.

    >>> average_neighbours(np.array([[1.0], [3.0], [7.0]], np.float32), 2).tolist()
    [[2.0], [7.0]]

    Args:
        frames: float32 (frames, ...) of one clip, at least one.
        step: how many become one.
    """
    starts = np.arange(0, len(frames), step)
    counts = np.diff(np.append(starts, len(frames))).reshape(-1, *[1] * (frames.ndim - 1))
    return np.add.reduceat(frames, starts, axis=0) / counts.astype(np.float32)


def random_cuts(vectors: np.ndarray, step: int, random: np.random.Generator) -> np.ndarray:
    """Cut about `CUT_TO` frames in a row out of each clip; a clip that has no more is left whole.

    Args:
        vectors: padded frames, (clips, frames, layers, width); whatever is no frames is left as it is.
        step: frames of the store that became one.
        random: draws where the cuts begin.
    """
    length = _padded(CUT_TO // step)
    if vectors.ndim < 4 or vectors.shape[1] <= length:
        return vectors
    spare = np.maximum((~np.isnan(vectors[..., 0, 0])).sum(axis=1) - length, 0)
    places = random.integers(spare + 1)[:, np.newaxis] + np.arange(length)  # (clips, length)
    return vectors[np.arange(len(vectors))[:, np.newaxis], places]


def pad_frames(clips: Sequence[np.ndarray]) -> np.ndarray:
    """Stack clips of frames.

    Args:
        clips: float32 (frames, layers, width) each.

    Returns:
        float32 (clips, frames, layers, width), frames a multiple of `PADDED_TO`.
    """
    longest = max(len(clip) for clip in clips)
    padded = np.full((len(clips), _padded(longest), *clips[0].shape[1:]), np.nan, np.float32)
    for row, clip in zip(padded, clips, strict=True):
        row[: len(clip)] = clip
    return padded


def valid_frames(vectors: np.ndarray) -> np.ndarray:
    """Return the frames that exist, of all clips in one row: (frames, layers, width)."""
    return vectors if vectors.ndim == 3 else vectors[~np.isnan(vectors[..., 0, 0])]


def clip_means(vectors: np.ndarray) -> np.ndarray:
    """Return one vector per clip, the mean over its frames: (clips, layers, width)."""
    return vectors if vectors.ndim == 3 else np.nanmean(vectors, axis=1)


def _padded(frames: int) -> int:
    """Return the next multiple of `PADDED_TO`, above 0."""
    return max(1, -(-frames // PADDED_TO)) * PADDED_TO
