"""The heads there are, by name. This module says what they are; `networks` and `classic` build them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class HeadSpec:
    """What stands between vectors and emotions.

    Attributes:
        kind: "dense", "attention" and "cnn" are networks, "classic" scikit-learn's, "ensemble" a mean of other runs.
        summary: what it is, in a few words.
        hidden: units of each hidden layer of a network; each is Dense - ReLU - dropout - batch normalisation.
        power_transformed: whether vectors go through `ser_head.data.power_transform` in front of it; a linear machine is left linear.
    """

    kind: str
    summary: str
    hidden: tuple[int, ...] = ()
    power_transformed: bool = False

    @property
    def takes_frames(self) -> bool:
        """Whether it wants a store of frames, not of one vector per clip."""
        return self.kind in ("attention", "cnn")


HEADS = {
    "linear": HeadSpec("dense", "no hidden layer: softmax regression", power_transformed=True),
    "mlp": HeadSpec("dense", "two hidden layers, 256 and 64 units (Brown, 2023)", (256, 64), power_transformed=True),
    "deep": HeadSpec(
        "dense",
        "four hidden layers, 1024, 256, 64 and 64 units (Brown, 2023)",
        (1024, 256, 64, 64),
        power_transformed=True,
    ),
    "svm": HeadSpec("classic", "linear support vector machine"),
    "lda": HeadSpec(
        "classic", "linear discriminant analysis, its covariance shrunk (Ledoit and Wolf, 2004)", power_transformed=True
    ),
    "forest": HeadSpec("classic", "random forest"),
    "attention": HeadSpec("attention", "attention over the frames of a clip, then 256 and 64 units", (256, 64)),
    "cnn": HeadSpec("cnn", "five blocks of convolution over the frames of a clip (NTU, 2024)", (64,)),
    "ensemble": HeadSpec("ensemble", "mean of the log-probabilities of other runs (--members)"),
}
