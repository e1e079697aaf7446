"""Scoring with a fine-tuned model: from frames of its cached layer to probabilities."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from ser_embed.encoders.device import choose_device
from ser_embed.finetuning.model import load_classifier
from ser_embed.finetuning.trainer import frame_probabilities


def load_scoring_function(folder: Path, layer: str) -> Callable[[np.ndarray], np.ndarray]:
    """Load a fine-tuned model.

    Args:
        folder: written by `ser_embed.finetuning.model.save_classifier`.
        layer: name of the layer whose frames it is given.

    Returns:
        The function from frames, float32 (clips, frames, width), padded with NaN, to probabilities, float32 (clips,
        classes), computed in float32.

    Raises:
        InputError: the model cannot be read.
    """
    device = choose_device("auto")
    model = load_classifier(folder, layer).to(device)
    autocast = torch.autocast(device, enabled=False)
    return lambda frames: frame_probabilities(model, frames, autocast)
