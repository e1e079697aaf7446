"""Stage 2: cached vectors become a trained head, its honest figures, and emotions of new audio.

>>> import ser_head
>>> result = ser_head.train(store="embeddings/mfcc.h5", personalized=True)  # doctest: +SKIP
>>> predictor = ser_head.Predictor(result.run)  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ser_embed import __version__

if TYPE_CHECKING:
    from ser_head.config.finetuning import FinetuneConfig
    from ser_head.config.inference import PredictConfig
    from ser_head.config.training import TrainConfig
    from ser_head.inference.audio import Segment
    from ser_head.inference.predictor import Predictor
    from ser_head.inference.stream import SegmentStream
    from ser_head.runs.location import SHIPPED
    from ser_head.runs.results import RunResults
    from ser_head.runs.run import Run
    from ser_head.scoring.activation import activation

_COMMANDS = ("compare", "enroll", "finetune", "predict", "score", "train")
_NAMES = {
    "SHIPPED": "ser_head.runs.location",
    "FinetuneConfig": "ser_head.config.finetuning",
    "PredictConfig": "ser_head.config.inference",
    "Predictor": "ser_head.inference.predictor",
    "Run": "ser_head.runs.run",
    "RunResults": "ser_head.runs.results",
    "Segment": "ser_head.inference.audio",
    "SegmentStream": "ser_head.inference.stream",
    "TrainConfig": "ser_head.config.training",
    "activation": "ser_head.scoring.activation",
}

__all__ = [
    "SHIPPED",
    "FinetuneConfig",
    "PredictConfig",
    "Predictor",
    "Run",
    "RunResults",
    "Segment",
    "SegmentStream",
    "TrainConfig",
    "__version__",
    "activation",
    "compare",
    "enroll",
    "finetune",
    "predict",
    "score",
    "train",
]


def __getattr__(name: str) -> Any:
    """Load a command, a class or a function on first use, so that importing the package stays light."""
    if name in _COMMANDS:
        return import_module(f"{__name__}.{name}")
    if name in _NAMES:
        return getattr(import_module(_NAMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
