"""Encoder interface: the protocol that every encoder follows, and the options that a user chooses.

A waveform is float32 (samples,), mono at 16 kHz. A clip's vectors are float32 (layers, width), or (frames, layers,
width) where frames are not pooled.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import numpy as np

from ser_embed.audio.decode import AudioPreprocessing
from ser_embed.errors import InputError
from ser_embed.spec import FLOAT32, POOLINGS, STORAGES, EmbeddingSpec

CONV = "conv"  # the name of the layer that holds the output of a transformer's convolutions
MAX_CLIP_S = 300.0  # for transformers, because attention grows with the square of a clip's length
DTYPES = ("auto", "float32", "bfloat16", "float16")


@dataclasses.dataclass(frozen=True)
class EncoderOptions:
    """Options of an encoder: its output, the device that computes it, and the revision of its weights.

    Attributes:
        layers: "all", "last", or names separated by commas such as "0,6,12", "final" or "conv". A number, or a
            sequence of names and numbers, is converted to such a text.
        pooling: one of `POOLINGS`, or None for the encoder's default.
        preprocessing: what is done to each waveform before it is encoded.
        device: "auto", "cpu", "cuda", "cuda:1", ...
        dtype: one of `DTYPES`; "auto" is the fastest type that is exact enough on the device.
        revision: branch, tag or commit of a model on the Hub; None for "main".
        storage: one of `STORAGES`, to which vectors are rounded.
    """

    layers: str = "all"
    pooling: str | None = None
    preprocessing: AudioPreprocessing = AudioPreprocessing()
    device: str = "auto"
    dtype: str = "auto"
    revision: str | None = None
    storage: str = FLOAT32

    def __post_init__(self) -> None:
        if not isinstance(self.layers, str):
            names = self.layers if isinstance(self.layers, Iterable) else [self.layers]
            object.__setattr__(self, "layers", ",".join(map(str, names)))
        if self.pooling is not None and self.pooling not in POOLINGS:
            raise InputError(f"pooling has to be one of {', '.join(POOLINGS)}, not {self.pooling!r}")
        if self.storage not in STORAGES:
            raise InputError(f"storage has to be one of {', '.join(STORAGES)}, not {self.storage!r}")
        if self.dtype not in DTYPES:
            raise InputError(f"dtype has to be one of {', '.join(DTYPES)}, not {self.dtype!r}")

    @classmethod
    def of(cls, spec: EmbeddingSpec, device: str = "auto") -> "EncoderOptions":
        """Return the options that reproduce the vectors of `spec`."""
        preprocessing = AudioPreprocessing(spec.trim_db, spec.level_db)
        layers, revision = ",".join(spec.layers), spec.revision or None
        return cls(layers, spec.pooling, preprocessing, device, spec.arithmetic, revision, spec.storage)


class Encoder(Protocol):
    """Model or feature set that turns waveforms into the vectors its spec describes.

    Attributes:
        spec: description of the vectors.
        device: where they are computed.
        batch_seconds: seconds of audio that make a good batch on the device.
        threads: the number of threads that make it faster; several threads may call `encode` at once.
        max_clip_s: the longest clip it accepts, in seconds.
        notes: assumptions that were made when it was loaded, one line each.
    """

    spec: EmbeddingSpec
    device: str
    batch_seconds: float
    threads: int
    max_clip_s: float
    notes: tuple[str, ...]

    def encode(self, waveforms: Sequence[np.ndarray]) -> Callable[[], list[np.ndarray]]:
        """Start encoding a batch of float32 16 kHz waveforms, each (samples,).

        Returns:
            A function that waits for the result: one float32 (layers, width) per clip, or (frames, layers, width)
            with frames pooling. An accelerator computes while the caller prepares its next batch.
        """
        ...


def choose_layers(requested: str, available: Sequence[str], last: str) -> tuple[str, ...]:
    """Resolve the `layers` option.

    Args:
        requested: "all", "last", or names separated by commas.
        available: the encoder's layers, in order.
        last: the layer that "last" stands for.

    Returns:
        The requested names in the encoder's order, without repeats.

    Raises:
        InputError: a name is not among the encoder's layers.

    >>> choose_layers("6,0", ["0", "6", "final"], "final")
    ('0', '6')
    """
    if requested == "all":
        return tuple(available)
    names = {last if name.strip() == "last" else name.strip() for name in requested.split(",")}
    unknown = sorted(names - set(available))
    if unknown:
        raise InputError(f"layers have to be all, last or among {', '.join(available)}, not {unknown[0]!r}")
    return tuple(name for name in available if name in names)
