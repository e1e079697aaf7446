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


def pool_batch(hidden: "torch.Tensor", valid: "torch.Tensor | None", pooling: str) -> "torch.Tensor":
    """Pool the frames of clips side by side; sums run in float32 whatever the frames' type.

    Args:
        hidden: (clips, frames, width).
        valid: bool (clips, frames), False where a frame is padding; None if there is none.
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
