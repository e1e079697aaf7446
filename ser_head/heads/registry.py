"""Head registry: the models that turn vectors into emotions, by name.

A head is one `HeadSpec` in `HEADS`, which says how an untrained head is built, which trainer trains it, what it takes
and which options apply to it. Nothing here imports a framework before a head is built or loaded. A new network is a
line here; a new scikit-learn estimator is an entry in `ser_head.heads.sklearn_heads` and a line here.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ser_head.personalization.methods import METHODS

if TYPE_CHECKING:
    import keras

    from ser_head.data.power_transform import YeoJohnson
    from ser_head.heads.networks import FramePooling, NetworkShape, Regularization
    from ser_head.heads.sklearn_heads import SklearnHead


@dataclass(frozen=True, kw_only=True)
class HeadSpec:
    """A kind of head.

    Attributes:
        summary: what it is, in a few words.
        trainer: entry of `ser_head.training.registry.TRAINERS` that trains it; "" for a head that is not trained.
        takes_frames: whether it needs a store of frames, not of one vector per clip.
        power_transformed: whether vectors are power-transformed first; see `ser_head.data.power_transform`.
        personalizable: whether personalisation methods apply to it.
        takes_speaker_inputs: whether it can take inputs beside the vectors, which some methods add.
        augmented: whether `--augment speakers` applies to it.
        searchable: whether `--search` has settings of it to try.
        emotions_only: whether emotions are the only target it learns.
        combines_runs: whether it is a combination of other runs.
        command: the command that trains it.
    """

    summary: str
    trainer: str
    takes_frames: bool = False
    power_transformed: bool = False
    personalizable: bool = False
    takes_speaker_inputs: bool = False
    augmented: bool = False
    searchable: bool = False
    emotions_only: bool = False
    combines_runs: bool = False
    command: str = "train"

    @property
    def trains_encoder(self) -> bool:
        """Whether the encoder's own layers are trained."""
        return self.command != "train"

    def packages(self) -> tuple[str, ...]:
        """Return the packages whose versions a run records, apart from those that every run needs."""
        from ser_head.heads.backend import keras

        return ("keras", keras.backend.backend())

    @property
    def takes_vectors(self) -> bool:
        """Whether it is trained on a store of one vector per clip."""
        return not self.takes_frames and not self.combines_runs

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the personalisation methods that apply to it."""
        if not self.personalizable:
            return ()
        return tuple(name for name, method in METHODS.items() if self.takes_speaker_inputs or not method.adds_input)


@dataclass(frozen=True, kw_only=True)
class KerasHeadSpec(HeadSpec):
    """A network.

    Attributes:
        hidden: units of each hidden layer; each is Dense - ReLU - dropout - batch normalisation.
        frame_pooling: pools the frames of a clip, for a network on frames; None for one on vectors.
    """

    trainer: str = "keras"
    searchable: bool = True
    hidden: tuple[int, ...] = ()
    frame_pooling: "FramePooling | None" = None

    def build(self, shape: "NetworkShape", regularization: "Regularization", seed: int) -> "keras.Model":
        """Return an untrained network; see `ser_head.heads.networks.build_network`."""
        from ser_head.heads.networks import build_network

        return build_network(shape, regularization, seed, self.hidden, self.frame_pooling)


@dataclass(frozen=True, kw_only=True)
class FinetunedHeadSpec(HeadSpec):
    """A fine-tuned encoder."""

    trainer: str = "finetuning"
    takes_frames: bool = True
    emotions_only: bool = True
    command: str = "finetune"

    def packages(self) -> tuple[str, ...]:
        """Return the packages whose versions a run records."""
        return ("torch", "transformers")


@dataclass(frozen=True, kw_only=True)
class SklearnHeadSpec(HeadSpec):
    """An estimator of scikit-learn's.

    Attributes:
        kind: entry of `ser_head.heads.sklearn_heads.KINDS`.
    """

    trainer: str = "sklearn"
    personalizable: bool = True
    emotions_only: bool = True
    kind: str

    def build(self, seed: int, power_transform: "YeoJohnson | None") -> "SklearnHead":
        """Return an untrained head; see `ser_head.heads.sklearn_heads.SklearnHead`."""
        from ser_head.heads.sklearn_heads import KINDS, SklearnHead

        return SklearnHead(KINDS[self.kind], seed, power_transform)


def _attention(frames: Any, mask: Any, _: float, seeds: Iterator[int]) -> Any:
    from ser_head.heads.layers import attentive_statistics_pooling

    return attentive_statistics_pooling(frames, mask, seeds)


def _convolution(frames: Any, mask: Any, dropout: float, seeds: Iterator[int]) -> Any:
    from ser_head.heads.layers import conv_stack

    return conv_stack(frames, mask, dropout, seeds)


def _dense(summary: str, hidden: tuple[int, ...]) -> KerasHeadSpec:
    """Return a dense network on vectors."""
    return KerasHeadSpec(
        summary=summary,
        hidden=hidden,
        power_transformed=True,
        personalizable=True,
        takes_speaker_inputs=True,
        augmented=True,
    )


def _framewise(summary: str, frame_pooling: "FramePooling", hidden: tuple[int, ...]) -> KerasHeadSpec:
    """Return a network on frames."""
    return KerasHeadSpec(summary=summary, hidden=hidden, takes_frames=True, frame_pooling=frame_pooling)


HEADS: dict[str, HeadSpec] = {
    "linear": _dense("no hidden layer: softmax regression", ()),
    "mlp": _dense("two hidden layers, 256 and 64 units (Brown, 2023)", (256, 64)),
    "deep": _dense("four hidden layers, 1024, 256, 64 and 64 units (Brown, 2023)", (1024, 256, 64, 64)),
    "svm": SklearnHeadSpec(summary="linear support vector machine", kind="svm"),
    "lda": SklearnHeadSpec(
        summary="linear discriminant analysis, its covariance shrunk (Ledoit and Wolf, 2004)",
        kind="lda",
        power_transformed=True,
    ),
    "forest": SklearnHeadSpec(summary="random forest", kind="forest"),
    "attention": _framewise("attention over the frames of a clip, then 256 and 64 units", _attention, (256, 64)),
    "cnn": _framewise("five blocks of convolution over the frames of a clip (NTU, 2024)", _convolution, (64,)),
    "ensemble": HeadSpec(
        summary="mean of the log-probabilities of other runs (--members)",
        trainer="",
        emotions_only=True,
        combines_runs=True,
    ),
    "finetuned": FinetunedHeadSpec(summary="the encoder's upper layers and a classifier, fine-tuned"),
}


def trainable_heads() -> tuple[str, ...]:
    """Return the names of the heads that `ser_head.train` makes."""
    return tuple(name for name, spec in HEADS.items() if spec.command == "train")


def load_predict(path: Path) -> Callable[[list[np.ndarray]], np.ndarray]:
    """Load a saved head, once, by the suffix of its file.

    Returns:
        The function from the head's inputs to probabilities, float32 (clips, classes).

    Raises:
        InputError: it is not a head this version can read.
    """
    return _LOADERS[path.suffix](path)


def _load_keras(path: Path) -> Callable[[list[np.ndarray]], np.ndarray]:
    from ser_head.heads.networks import load_network

    return load_network(path)


def _load_sklearn(path: Path) -> Callable[[list[np.ndarray]], np.ndarray]:
    from ser_head.heads.sklearn_heads import SklearnHead

    head = SklearnHead.load(path)
    return lambda inputs: head.probabilities(inputs[0])


def _load_finetuned(path: Path) -> Callable[[list[np.ndarray]], np.ndarray]:
    from ser_head.heads.finetuned import load_finetuned

    return load_finetuned(path)


_LOADERS = {".keras": _load_keras, ".skops": _load_sklearn, ".npz": _load_finetuned}
