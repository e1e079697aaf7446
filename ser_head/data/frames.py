"""Frames of clips in one array, padded with NaN where a clip has no more frames.

Frames are float32 (clips, frames, layers, width). Vectors, one per clip, are (clips, layers, width); the functions here
leave them as they are.
"""

from collections.abc import Sequence

import numpy as np

# Padded lengths are multiples of this many frames: it can be halved five times, so a network's last pooling covers the
# same frames whatever the longest clip of the batch.
PADDED_TO = 32
# Frames of the store in a cut, which is what a training step sees of a clip: 3.8 s of mfcc. Most acted clips are no
# longer, so steps have one shape and none is as long as the longest clip. Cuts of 2.6 s missed the silence at both
# ends, and the cnn, which takes a mean over time, then did worse on whole clips than on cuts (RAVDESS, loss 2.65 and
# 2.18).
CUT_TO = 384


def average_neighbours(frames: np.ndarray, step: int) -> np.ndarray:
    """Lower the frame rate of a clip: every `step` frames become their mean, the last ones where fewer are left.

    >>> average_neighbours(np.array([[1.0], [3.0], [7.0]], np.float32), 2).tolist()
    [[2.0], [7.0]]

    Args:
        frames: float32 (frames, ...) of one clip, at least one.
        step: number of frames that become one.

    Returns:
        float32 (frames / step, rounded up, ...).
    """
    starts = np.arange(0, len(frames), step)
    counts = np.diff(np.append(starts, len(frames))).reshape(-1, *[1] * (frames.ndim - 1))
    return np.add.reduceat(frames, starts, axis=0) / counts.astype(np.float32)


def random_cuts(vectors: np.ndarray, step: int, random: np.random.Generator) -> np.ndarray:
    """Cut about `CUT_TO` consecutive frames out of each clip, at a random position; shorter clips stay whole.

    Args:
        vectors: padded frames, (clips, frames, layers, width); arrays that are no frames are returned as they are.
        step: number of frames of the store that became one.
        random: draws the first frame of each cut.

    Returns:
        Frames, (clips, `CUT_TO` / `step` padded, layers, width); `vectors` itself where no clip is longer.
    """
    length = _padded_length(CUT_TO // step)
    if vectors.ndim < 4 or vectors.shape[1] <= length:
        return vectors
    latest_starts = np.maximum((~np.isnan(vectors[..., 0, 0])).sum(axis=1) - length, 0)
    frame_indices = random.integers(latest_starts + 1)[:, np.newaxis] + np.arange(length)  # (clips, length)
    return vectors[np.arange(len(vectors))[:, np.newaxis], frame_indices]


def pad_frames(clips: Sequence[np.ndarray]) -> np.ndarray:
    """Stack clips of different lengths.

    Args:
        clips: frames of each clip, float32 (frames, layers, width).

    Returns:
        float32 (clips, frames, layers, width), padded with NaN to a multiple of `PADDED_TO` frames.
    """
    longest = max(len(clip) for clip in clips)
    padded = np.full((len(clips), _padded_length(longest), *clips[0].shape[1:]), np.nan, np.float32)
    for row, clip in zip(padded, clips, strict=True):
        row[: len(clip)] = clip
    return padded


def valid_frames(vectors: np.ndarray) -> np.ndarray:
    """Return the frames of all clips without padding, one after another: (frames, layers, width)."""
    return vectors if vectors.ndim == 3 else vectors[~np.isnan(vectors[..., 0, 0])]


def clip_means(vectors: np.ndarray) -> np.ndarray:
    """Return one vector per clip, the mean over its frames: (clips, layers, width)."""
    return vectors if vectors.ndim == 3 else np.nanmean(vectors, axis=1)


def _padded_length(num_frames: int) -> int:
    """Return the smallest multiple of `PADDED_TO` that holds `num_frames`, above 0."""
    return max(1, -(-num_frames // PADDED_TO)) * PADDED_TO
