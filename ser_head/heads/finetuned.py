"""Head of a fine-tuned encoder: the folder of a transformers model, and the file that says which layer it begins at.

The folder holds the whole model, for anyone to open. This library computes the layers below as frames, by the base
model, once for all folds, and here the rest. Scorers give heads standardised frames, as they do for any head; the file
holds mean and deviation to undo that.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ser_embed.errors import InputError
from ser_embed.reading import expect, read_arrays
from ser_head.data.scaling import Scaling
from ser_head.heads.head_file import MODEL, input_error_on_head

HEAD_FILE = "head.npz"
_LAYER, _MEAN, _DEVIATION = "layer", "mean", "deviation"


def save_finetuned(folder: Path, layer: str, scaling: Scaling) -> str:
    """Write the file beside a saved model; return its name.

    Args:
        folder: of the fold; the model is in `MODEL` below it.
        layer: name of the layer whose frames the model is given.
        scaling: what standardises frames.
    """
    mean, deviation = statistics_of(scaling)
    arrays: dict[str, Any] = {_MEAN: mean, _DEVIATION: deviation, _LAYER: np.frombuffer(layer.encode(), np.uint8)}
    np.savez(folder / HEAD_FILE, **arrays)
    return HEAD_FILE


def statistics_of(scaling: Scaling) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and deviation of a scaling as `raw_frames` takes them, float32 (1, width) each."""
    return scaling.mean.astype(np.float32), np.sqrt(scaling.variance).astype(np.float32)


def load_finetuned(path: Path) -> Callable[[list[np.ndarray]], np.ndarray]:
    """Load a fine-tuned head.

    Args:
        path: written by `save_finetuned`.

    Returns:
        The function from standardised frames, float32 (clips, frames, 1, width), padded with NaN, to probabilities,
        float32 (clips, classes).

    Raises:
        InputError: the file or the model beside it is not one that this version can read, or torch is not there.
    """
    try:
        from ser_embed.finetuning.scoring import load_scoring_function
    except ImportError as error:
        raise InputError(
            f"a fine-tuned run needs {error.name} to score; install it with: pip install 'twostage-ser[embed]'"
        ) from error
    with input_error_on_head(path):
        arrays = read_arrays(path)
        mean, deviation, layer = arrays[_MEAN], arrays[_DEVIATION], arrays[_LAYER].tobytes().decode("ascii")
        is_one_layer = mean.ndim == 2 and len(mean) == 1 and mean.shape == deviation.shape
        expect(is_one_layer, "mean and deviation of one layer", (mean.shape, deviation.shape))
    probabilities = load_scoring_function(path.parent / MODEL, layer)
    return lambda inputs: probabilities(raw_frames(inputs[0], mean, deviation))


def raw_frames(frames: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Undo the standardisation of frames of one layer: (clips, frames, 1, width) to (clips, frames, width).

    Args:
        frames: standardised, padded with NaN.
        mean: float32 (1, width).
        deviation: float32 (1, width).
    """
    return (frames * deviation + mean)[:, :, 0]
