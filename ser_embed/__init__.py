"""Stage 1: a corpus of clips becomes mean-pooled speech-encoder vectors, kept in an HDF5 store.

>>> import ser_embed
>>> report = ser_embed.extract(model="mfcc", data="data")  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ser_embed.audio.reader import AudioFile
    from ser_embed.encoders.embedder import Embedder
    from ser_embed.store.reader import Store

__version__ = "0.1.0"

_COMMANDS = ("demo", "embed", "extract", "inspect", "pretrain")
_CLASSES = {
    "AudioFile": "ser_embed.audio.reader",
    "Embedder": "ser_embed.encoders.embedder",
    "Store": "ser_embed.store.reader",
}

__all__ = ["AudioFile", "Embedder", "Store", "__version__", "demo", "embed", "extract", "inspect", "pretrain"]


def __getattr__(name: str) -> Any:
    """Load a command or a class on first use, so that importing the package stays light."""
    if name in _COMMANDS:
        return import_module(f"{__name__}.{name}")
    if name in _CLASSES:
        return getattr(import_module(_CLASSES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
