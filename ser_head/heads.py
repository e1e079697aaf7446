"""The networks a head can be, by name. This module says what they are; `ser_head.networks` builds them in Keras."""

from dataclasses import dataclass


@dataclass(frozen=True)
class HeadSpec:
    """A stack of dense layers in front of the softmax over emotions.

    Attributes:
        hidden: units of each hidden layer; each is Dense - ReLU - dropout - batch normalisation.
        summary: what it is, in a few words.
    """

    hidden: tuple[int, ...]
    summary: str


HEADS = {
    "mlp": HeadSpec((256, 64), "two hidden layers, 256 and 64 units (Brown, 2023)"),
    "deep": HeadSpec((1024, 256, 64, 64), "four hidden layers, 1024, 256, 64 and 64 units (Brown, 2023)"),
}
