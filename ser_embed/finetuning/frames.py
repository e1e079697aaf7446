"""Size of the frames of a cached layer, which is told before they are written."""

import math
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from ser_embed.corpora.scan import scan_data
from ser_embed.encoders.base import CONV
from ser_embed.encoders.huggingface import load_config
from ser_embed.encoders.registry import source_of
from ser_embed.finetuning.batches import FRAMES_PER_S
from ser_embed.spec import RATE_HZ

_BYTES_PER_NUMBER = 2  # half precision
_KEPT_FREE = 0.05  # share of the free space that is left alone


def free_bytes(folder: Path) -> float:
    """Return the bytes that may be written to a folder, which need not exist, so that some of the disk stays free."""
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    return (1 - _KEPT_FREE) * shutil.disk_usage(existing).free


def frame_bytes(data: Path, corpora: Sequence[str], model: str, layer: str) -> int:
    """Estimate the size of a layer's frames of all clips in half precision, in bytes.

    Args:
        data: folder that holds the corpora.
        corpora: their names; none for all.
        model: name, Hub id or folder of the encoder.
        layer: name of the layer.

    Raises:
        InputError: there is no such corpus or model.
    """
    config = load_config(source_of(model))
    width = config.conv_dim[-1] if layer == CONV else config.hidden_size
    durations_s = (_duration_s(data / path) for path in scan_data(data, tuple(corpora)).manifest["path"])
    return round(sum(durations_s) * FRAMES_PER_S * width * _BYTES_PER_NUMBER)


def frame_counts(model: str, durations_s: np.ndarray) -> np.ndarray:
    """Return the number of frames of clips, int64 (clips,), at least 1.

    Args:
        model: name, Hub id or folder of the encoder.
        durations_s: lengths in seconds, float64 (clips,).
    """
    config = load_config(source_of(model))
    counts = np.round(durations_s * RATE_HZ).astype(np.int64)
    for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
        counts = (counts - kernel) // stride + 1
    return np.maximum(1, counts)


def _duration_s(path: Path) -> float:
    """Return what a file says of its length, in seconds; 0 if it cannot be read, which the extraction will report."""
    try:
        return soundfile.info(path).duration
    except (OSError, soundfile.SoundFileError):
        return 0.0


def size_in_words(num_bytes: float) -> str:
    """Return a size in words.

    >>> size_in_words(136e6), size_in_words(2.5e9)
    ('136 MB', '2.5 GB')
    """
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e9 else f"{math.ceil(num_bytes / 1e6)} MB"
