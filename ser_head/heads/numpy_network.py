"""Dense networks in NumPy: a saved head on vectors, scored without a framework's cost per call.

A call of a Keras model takes milliseconds however few clips it is given, nearly as long as a small encoder takes for
two seconds of speech; the same arithmetic in NumPy takes a fraction of one. The weights are Keras', and so are the
probabilities to 1e-5, which `ser_head.heads.networks.load_network` checks for each head it loads.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from ser_head.data.power_transform import YeoJohnson
from ser_head.data.scaling import OUTLIER


@dataclass(frozen=True)
class DenseLayer:
    """Weights of a dense layer.

    Attributes:
        kernel: float32 (inputs, units).
        bias: float32 (units,).
    """

    kernel: np.ndarray
    bias: np.ndarray

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """Return inputs @ kernel + bias, float32 (clips, units)."""
        return inputs @ self.kernel + self.bias


@dataclass(frozen=True)
class HiddenLayer:
    """A hidden layer in inference: dense, ReLU, batch normalisation.

    Attributes:
        dense: its dense layer.
        scale: gamma / sqrt(moving variance + epsilon), float32 (units,).
        offset: beta - moving mean * scale, float32 (units,).
    """

    dense: DenseLayer
    scale: np.ndarray
    offset: np.ndarray

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """Return the layer's output, float32 (clips, units)."""
        return np.maximum(self.dense(inputs), 0) * self.scale + self.offset


@dataclass(frozen=True)
class DenseNetwork:
    """The network of `ser_head.heads.networks.build_network` for vectors, with trained weights.

    Attributes:
        power_transform: applied to the vectors first, or None.
        layer_weights: weight of each encoder layer, float32 (layers,); None where there is one.
        speaker_terms: for each input beside the vectors, the layers it goes through before it is added to the vector.
        hidden: the hidden layers.
        output: the last layer.
        has_classes: whether the output is a softmax over classes, or a number.
    """

    power_transform: YeoJohnson | None
    layer_weights: np.ndarray | None
    speaker_terms: tuple[tuple[Callable[[np.ndarray], np.ndarray], ...], ...]
    hidden: tuple[HiddenLayer, ...]
    output: DenseLayer
    has_classes: bool

    def __call__(self, inputs: list[np.ndarray]) -> np.ndarray:
        """Score clips.

        Args:
            inputs: standardised vectors, float32 (clips, layers, width), then (clips, numbers) for each speaker term.

        Returns:
            Probabilities, float32 (clips, classes), or standardised numbers (clips, 1).
        """
        vectors = inputs[0] if self.power_transform is None else self.power_transform.apply(inputs[0])
        clipped = np.clip(vectors, -OUTLIER, OUTLIER)
        values = clipped[:, 0] if self.layer_weights is None else np.einsum("clw,l->cw", clipped, self.layer_weights)
        for term, layers in zip(inputs[1:], self.speaker_terms, strict=True):
            for layer in layers:
                term = layer(term)
            values = values + term
        for layer in self.hidden:
            values = layer(values)
        outputs = self.output(values)
        return (softmax(outputs, axis=1) if self.has_classes else outputs).astype(np.float32)
