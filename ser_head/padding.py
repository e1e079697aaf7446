"""Clips of frames side by side in one array: what a clip does not have is NaN.

Frames are float32 (clips, frames, layers, width). Vectors, one per clip, are (clips, layers, width); the functions here
leave them as they are.
"""

from collections.abc import Sequence

import numpy as np

PADDED_TO = 32  # frames; five halvings of them come out even, so that a network's last pooling is the same in any batch


def pad_frames(clips: Sequence[np.ndarray]) -> np.ndarray:
    """Stack clips of frames.

    Args:
        clips: float32 (frames, layers, width) each.

    Returns:
        float32 (clips, frames, layers, width), frames a multiple of `PADDED_TO`.
    """
    longest = max(len(clip) for clip in clips)
    padded = np.full((len(clips), -(-longest // PADDED_TO) * PADDED_TO, *clips[0].shape[1:]), np.nan, np.float32)
    for row, clip in zip(padded, clips, strict=True):
        row[: len(clip)] = clip
    return padded


def existing(vectors: np.ndarray) -> np.ndarray:
    """Return the frames that exist, of all clips in one row: (frames, layers, width)."""
    return vectors if vectors.ndim == 3 else vectors[~np.isnan(vectors[..., 0, 0])]


def clip_means(vectors: np.ndarray) -> np.ndarray:
    """Return one vector per clip, the mean over its frames: (clips, layers, width)."""
    return vectors if vectors.ndim == 3 else np.nanmean(vectors, axis=1)
