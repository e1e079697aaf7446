"""Frames of a cached layer: the size of their store, told before it is written, and whether there is room for it."""

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

import soundfile

from ser_embed.corpora.scan import scan_data
from ser_embed.encoders.base import CONV
from ser_embed.encoders.huggingface import load_config
from ser_embed.encoders.registry import source_of
from ser_embed.errors import InputError
from ser_embed.finetuning.batches import FRAMES_PER_S

logger = logging.getLogger(__name__)

_BYTES_PER_NUMBER = 2  # half precision
_KEPT_FREE = 0.05  # share of the free space that is left alone


def require_room(data: Path, corpora: Sequence[str], model: str, layer: str, copies: int, folder: Path) -> None:
    """Tell in the log how large a store of frames will be, and check that the disk has room for it.

    Args:
        data: folder that holds the corpora.
        corpora: their names; none for all.
        model: name, Hub id or folder of the encoder.
        layer: name of the layer.
        copies: augmented copies of each clip.
        folder: for the store; it need not exist.

    Raises:
        InputError: there is not enough room.
    """
    num_bytes = frame_bytes(data, corpora, model, layer) * (1 + copies)
    free = shutil.disk_usage(next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())).free
    logger.info("frames of layer %s: about %s in %s", layer, _size(num_bytes), folder)
    # The parts and the store that they are merged into are there at the same time.
    if 2 * num_bytes > (1 - _KEPT_FREE) * free:
        raise InputError(
            f"the frames of layer {layer} need {_size(2 * num_bytes)} while they are written, but {folder} has "
            f"{_size(free)} free; choose another --cache, or none"
        )


def frame_bytes(data: Path, corpora: Sequence[str], model: str, layer: str) -> int:
    """Estimate the size of the frames of all clips, in bytes; see `require_room`."""
    config = load_config(source_of(model))
    width = config.conv_dim[-1] if layer == CONV else config.hidden_size
    durations_s = (_duration_s(data / path) for path in scan_data(data, tuple(corpora)).manifest["path"])
    return round(sum(durations_s) * FRAMES_PER_S * width * _BYTES_PER_NUMBER)


def _duration_s(path: Path) -> float:
    """Return what a file says of its length, in seconds; 0 if it cannot be read, which the extraction will report."""
    try:
        return soundfile.info(path).duration
    except (OSError, soundfile.SoundFileError):
        return 0.0


def _size(num_bytes: float) -> str:
    """Return a size in words.

    >>> _size(136e6), _size(2.5e9)
    ('136 MB', '2.5 GB')
    """
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.0f} MB"
