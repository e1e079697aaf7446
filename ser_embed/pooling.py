"""From frames to a clip's vector, by NumPy for one clip and by torch for a padded batch.

Averages run over a clip's own frames only; padding never enters. The standard deviation is the population's
(divided by the number of frames), so that a clip of one frame has 0 and not NaN.
"""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def pooled_width(width: int, pooling: str) -> int:
    """Return how many numbers per layer a pooled vector has."""
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


def pool_batch(hidden: "torch.Tensor", valid: "torch.Tensor", pooling: str) -> "torch.Tensor":
    """Pool a padded batch of one layer's frames; sums run in float32 whatever the layer's type.

    Args:
        hidden: (batch, frames, width).
        valid: bool (batch, frames), False where a frame is padding.
        pooling: "mean", "mean+std" or "frames".

    Returns:
        float32 (batch, width) or (batch, 2 width); with "frames" float32 (all valid frames, width), clip after clip.
    """
    import torch

    if pooling == "frames":
        return hidden[valid].float()
    counts = valid.sum(dim=1, keepdim=True)  # (batch, 1)
    padding = ~valid.unsqueeze(-1)  # (batch, frames, 1)
    mean = hidden.masked_fill(padding, 0).sum(dim=1, dtype=torch.float32) / counts
    if pooling == "mean":
        return mean
    deviation = (hidden.float() - mean.unsqueeze(1)).masked_fill(padding, 0)
    return torch.cat([mean, (deviation.square().sum(dim=1) / counts).sqrt()], dim=-1)
