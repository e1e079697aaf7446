"""Stage 2: cached vectors become a trained head, its honest figures, and emotions of new audio.

>>> import ser_head
>>> run = ser_head.train(store="embeddings/mfcc.h5", personalized=True)  # doctest: +SKIP
"""

from importlib import import_module
from typing import Any

from ser_embed import __version__

__all__ = ["__version__", "compare", "enroll", "predict", "score", "train"]


def __getattr__(name: str) -> Any:
    """Load a command on first use, so that importing the package stays light."""
    if name in __all__:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
