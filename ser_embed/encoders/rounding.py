"""Rounding of vectors to half precision, IEEE 754's binary16: stores of frames then take half the space.

A number keeps three digits, a relative error of at most 0.0005, which is less than what bfloat16 arithmetic costs. What
is above 65504 becomes infinite, and the clip is refused as not finite. Vectors are float32 in memory, and are rounded
for storing and scoring alike: those of a clip that is predicted are those that a store of the same spec would have.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from ser_embed.encoders.base import Encoder
from ser_embed.spec import FLOAT32


def with_storage(encoder: Encoder, storage: str) -> Encoder:
    """Return an encoder whose vectors are rounded to a floating-point type; the encoder itself for float32."""
    return encoder if storage == FLOAT32 else _RoundingEncoder(encoder, storage)


class _RoundingEncoder:
    """Encoder whose vectors are those of another, rounded."""

    def __init__(self, encoder: Encoder, storage: str) -> None:
        self._encoder, self._dtype = encoder, np.dtype(storage)
        self.spec = dataclasses.replace(encoder.spec, storage=storage)
        self.device, self.threads, self.notes = encoder.device, encoder.threads, encoder.notes
        self.batch_seconds, self.max_clip_s = encoder.batch_seconds, encoder.max_clip_s

    def encode(self, waveforms: Sequence[np.ndarray]) -> Callable[[], list[np.ndarray]]:
        """Start encoding a batch; see `Encoder.encode`."""
        fetch = self._encoder.encode(waveforms)
        return lambda: [self._rounded(vectors) for vectors in fetch()]

    def _rounded(self, vectors: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):  # told later, with the name of the clip
            return vectors.astype(self._dtype).astype(np.float32)
