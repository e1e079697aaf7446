"""Pooling of frames to one vector per clip: in NumPy for a single clip, in torch for a padded batch.

Statistics are taken over a clip's valid frames only; padding is never included. The standard deviation is that of the
population (divided by the number of frames), so a clip of one frame has 0 and not NaN.
"""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def pooled_width(width: int, pooling: str) -> int:
    """Return the width of a pooled vector, for frames of `width` numbers per layer."""
    return 2 * width if pooling == "mean+std" else width


def pool_clip(frames: np.ndarray, pooling: str) -> np.ndarray:
    """Pool the frames of one clip.

    Args:
        frames: float (frames, layers, width).
        pooling: "mean", "mean+std" or "frames".

    Returns:
        float32 (layers, width), (layers, 2 width) or, unpooled, (frames, layers, width).
    """
    if pooling == "frames":
        return frames.astype(np.float32)
    statistics = [frames.mean(axis=0, dtype=np.float64)]
    if pooling == "mean+std":
        statistics.append(frames.std(axis=0, dtype=np.float64))
    return np.concatenate(statistics, axis=-1).astype(np.float32)


def pool_batch(hidden: "torch.Tensor", valid: "torch.Tensor | None", pooling: str) -> "torch.Tensor":
    """Pool the frames of a padded batch of clips. Sums are in float32, whatever the type of the frames.

    Args:
        hidden: (clips, frames, width).
        valid: bool (clips, frames), False where a frame is padding; None if there is no padding.
        pooling: "mean", "mean+std" or "frames".

    Returns:
        float32 (clips, width) or (clips, 2 width); with "frames" float32 (all valid frames, width), clip after clip.
    """
    import torch

    if pooling == "frames":
        return (hidden.flatten(0, 1) if valid is None else hidden[valid]).float()
    counts: int | torch.Tensor = hidden.shape[1]
    if valid is not None:
        counts = valid.sum(dim=1, keepdim=True)  # (clips, 1)
        hidden = hidden.masked_fill(~valid.unsqueeze(-1), 0)
    mean = hidden.sum(dim=1, dtype=torch.float32) / counts
    if pooling == "mean":
        return mean
    deviation = hidden.float() - mean.unsqueeze(1)
    if valid is not None:
        deviation = deviation.masked_fill(~valid.unsqueeze(-1), 0)
    return torch.cat([mean, (deviation.square().sum(dim=1) / counts).sqrt()], dim=-1)
