"""Stage 1: a corpus of clips becomes mean-pooled speech-encoder vectors, kept in an HDF5 store.

>>> import ser_embed
>>> report = ser_embed.extract(model="mfcc", data="data")  # doctest: +SKIP
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

__all__ = ["__version__", "demo", "embed", "extract", "inspect", "pretrain"]


def __getattr__(name: str) -> Any:
    """Load a command on first use, so that importing the package stays light."""
    if name in __all__:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
