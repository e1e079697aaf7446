"""Embedding of new audio in memory, without a store: the vectors that a trained head predicts on.

>>> vectors = ser_embed.embed(["a.mp3", "b.wav"], model="hubert-base")  # doctest: +SKIP
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ser_embed.cli import CommandModule

if TYPE_CHECKING:
    import numpy as np

    from ser_embed.encoders.base import EncoderOptions


def embed(
    clips: "Sequence[str | Path | np.ndarray]", model: str, options: "EncoderOptions | None" = None
) -> "np.ndarray":
    """Embed audio files or waveforms in one call.

    Args:
        clips: paths, or float32 waveforms (samples,), mono at 16 kHz.
        model: encoder name, Hub id, or folder of a saved model.
        options: layers, pooling, preprocessing, device and dtype; None for the defaults.

    Returns:
        float32 (clips, layers, width); with frames pooling an object array of (frames, layers, width).

    Raises:
        InputError: there is no such model, or an option does not fit it.
        ClipError: a clip cannot be used.
    """
    from ser_embed.encoders.embedder import Embedder

    embedder = Embedder(model, options)
    if any(isinstance(clip, (str, Path)) for clip in clips):
        return embedder.embed_files([Path(clip) for clip in clips])  # type: ignore[arg-type]
    return embedder.embed_waveforms(clips)  # type: ignore[arg-type]


sys.modules[__name__].__class__ = CommandModule
