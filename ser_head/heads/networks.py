"""Keras networks behind `ser_head.heads.registry`, and the scaling in front of them.

Every network takes vectors (batch, layers, width), or frames (batch, frames, layers, width), in which padded frames are
NaN. A personalised one takes a list: the vectors, then one input (batch, numbers) for each method that describes the
speaker. The output is probabilities (batch, classes), or a standardised number (batch, 1). Only `keras.*` and
`keras.ops.*` are used, so that a saved head runs on any backend.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ser_head.data.power_transform import YeoJohnson
from ser_head.data.scaling import OUTLIER, Scaling
from ser_head.heads.backend import keras
from ser_head.heads.head_file import input_error_on_head, require_modest_keras_file
from ser_head.heads.layers import WeightedLayerSum
from ser_head.heads.numpy_network import DenseLayer, DenseNetwork, HiddenLayer
from ser_head.personalization.methods import METHODS
from ser_head.scoring.temperature import SMALLEST_PROBABILITY

# Pools frames (batch, frames, width) under a mask (batch, frames, 1) to (batch, numbers); see `ser_head.heads.layers`.
FramePooling = Callable[[Any, Any, float, Iterator[int]], Any]
NETWORK = "network"  # name of the network inside a saved head
POWER_TRANSFORM = "bend"  # name of the power transform inside a saved head; as it was in the first version
SPEAKER_WIDTH = 16  # numbers per row of the speaker table, before its dense layer
# Keras' 0.99 averages over the last hundreds of steps, more than many trainings have: early validation scores would be
# those of half-initialised statistics.
BATCH_NORM_MOMENTUM = 0.9
_SCORED_AT_ONCE = 1024  # clips per forward pass
_COMPARED, _AGREEMENT = 16, 1e-5  # random clips on which NumPy has to agree with Keras, and how closely


@dataclass(frozen=True)
class NetworkShape:
    """Sizes that a network is built for.

    Attributes:
        layers: encoder layers per clip.
        width: numbers per layer.
        classes: emotions; 0 for a head that answers with a number.
        speaker_inputs: name and width of each input that describes the speaker, in their order.
        power_transformed: whether vectors are power-transformed first; see `ser_head.data.power_transform`.
    """

    layers: int
    width: int
    classes: int
    speaker_inputs: Mapping[str, int] = field(default_factory=dict)
    power_transformed: bool = False


@dataclass(frozen=True)
class Regularization:
    """Regularisation, active in training only.

    Attributes:
        dropout: share of each hidden layer's units left out per step.
        noise: standard deviation of the noise added to what enters the dense stack.
    """

    dropout: float
    noise: float


class PowerTransform(keras.layers.Layer):
    """Yeo-Johnson transform of standardised vectors: (..., layers, width) to the same shape."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create weights that leave vectors as they are."""
        initializers = (("exponent", "ones"), ("mean", "zeros"), ("deviation", "ones"))
        self.exponent, self.mean, self.deviation = (
            self.add_weight(shape=input_shape[-2:], initializer=initializer, trainable=False, name=name)
            for name, initializer in initializers
        )

    def call(self, vectors: Any) -> Any:
        """Transform and standardise."""
        return YeoJohnson(self.exponent, self.mean, self.deviation).apply(vectors, keras.ops)

    def use(self, transform: YeoJohnson) -> None:
        """Take over a fitted transform."""
        self.set_weights([transform.exponent, transform.mean, transform.deviation])


# Heads saved before version 0.2 name their layers' classes so, and Keras finds a layer's weights by its class's name.
_EARLIER_NAMES = {"Bend": PowerTransform, "LayerMix": WeightedLayerSum}
_CUSTOM_LAYERS = {layer.__name__: layer for layer in (PowerTransform, WeightedLayerSum)} | {
    name: type(name, (layer,), {}) for name, layer in _EARLIER_NAMES.items()
}


def build_network(
    shape: NetworkShape,
    regularization: Regularization,
    seed: int,
    hidden_units: Sequence[int],
    frame_pooling: FramePooling | None = None,
) -> keras.Model:
    """Build an untrained network on standardised vectors or frames.

    Args:
        shape: sizes of input and output.
        regularization: dropout and noise.
        seed: draws initial weights, dropout and noise; Keras' global generator is not used.
        hidden_units: units of each hidden layer.
        frame_pooling: pools the frames of a clip, for a network on frames.
    """
    seeds = iter(np.random.SeedSequence(seed).generate_state(64).tolist())
    time = (None,) if frame_pooling else ()
    vectors = keras.Input((*time, shape.layers, shape.width), name="vectors")
    speaker_inputs = {name: keras.Input((width,), name=name) for name, width in shape.speaker_inputs.items()}
    mask = keras.ops.logical_not(keras.ops.isnan(vectors[..., :1, 0])) if frame_pooling else None
    hidden = vectors if mask is None else keras.ops.where(mask[..., None], vectors, 0.0)
    hidden = PowerTransform(name=POWER_TRANSFORM)(hidden) if shape.power_transformed else hidden
    hidden = keras.ops.clip(hidden, -OUTLIER, OUTLIER)
    hidden = WeightedLayerSum(name="layer_mix")(hidden) if shape.layers > 1 else hidden[..., 0, :]
    for name, speaker_input in speaker_inputs.items():
        hidden = keras.layers.Add()([hidden, _speaker_term(name, speaker_input, shape.width, seeds)])
    hidden = keras.layers.GaussianNoise(regularization.noise, seed=next(seeds))(hidden)
    if frame_pooling is not None:
        hidden = frame_pooling(hidden, mask, regularization.dropout, seeds)
    for units in hidden_units:
        hidden = _dense(units, next(seeds), activation="relu")(hidden)
        hidden = keras.layers.Dropout(regularization.dropout, seed=next(seeds))(hidden)
        hidden = keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM)(hidden)
    if shape.classes:
        output = _dense(shape.classes, next(seeds), activation="softmax", name="emotion")(hidden)
    else:
        output = _dense(1, next(seeds), name="number")(hidden)
    return keras.Model([vectors, *speaker_inputs.values()] if speaker_inputs else vectors, output, name=NETWORK)


def _speaker_term(name: str, speaker_input: Any, width: int, seeds: Iterator[int]) -> Any:
    """Return what is added to a clip's vector for its speaker, (batch, width).

    A speaker table is a dense layer without bias: the product with row weights is the weighted row.
    """
    if METHODS[name].uses_speaker_table:
        initializer = keras.initializers.RandomNormal(stddev=0.05, seed=next(seeds))
        table = keras.layers.Dense(SPEAKER_WIDTH, use_bias=False, kernel_initializer=initializer, name=f"{name}_table")
        speaker_input = table(speaker_input)
    return _dense(width, next(seeds), name=f"{name}_dense")(speaker_input)


def to_inference_model(
    network: keras.Model,
    scaling: Scaling,
    temperature: float = 1.0,
    numbers: tuple[float, float] | None = None,
) -> keras.Model:
    """Return a trained network as it is saved: from vectors as the store holds them to calibrated probabilities.

    Args:
        network: from standardised vectors to probabilities.
        scaling: put in front of it.
        temperature: divides the logits behind it.
        numbers: mean and deviation of the training labels, for a network that answers with a number.
    """
    inputs = [keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=tensor.name) for tensor in network.inputs]
    normalize = keras.layers.Normalization(axis=(-2, -1), name="scaling")
    normalize.build(inputs[0].shape)
    normalize.set_weights([scaling.mean, scaling.variance, np.int32(0)])
    normalize.finalize_state()
    scaled = [normalize(inputs[0]), *inputs[1:]]
    # A new model, without the loss and the optimiser, which are not saved.
    network = keras.Model(unwrap_single(network.inputs), network.outputs[0], name=NETWORK)
    probabilities = network(unwrap_single(scaled))
    if numbers is not None:
        value = keras.layers.Rescaling(numbers[1], numbers[0])(probabilities)
        return keras.Model(unwrap_single(inputs), value)
    logits = keras.ops.log(keras.ops.maximum(probabilities, SMALLEST_PROBABILITY))
    return keras.Model(unwrap_single(inputs), keras.ops.softmax(logits / temperature))


def load_network(path: Path) -> Callable[[list[np.ndarray]], np.ndarray]:
    """Load the network of a saved head, without the scaling in front.

    Returns:
        The function from the network's inputs to probabilities, float32 (clips, classes).

    Raises:
        InputError: it is not a head this version can read.
    """
    with input_error_on_head(path):
        return _scoring_function(load_head(path).get_layer(NETWORK))


def _scoring_function(network: keras.Model) -> Callable[[list[np.ndarray]], np.ndarray]:
    """Return the function of `load_network`: in NumPy if the network is on vectors and NumPy agrees with Keras."""

    def predict(inputs: list[np.ndarray]) -> np.ndarray:
        outputs = [np.zeros((0, network.output_shape[-1]), np.float32)]
        for start in range(0, len(inputs[0]), _SCORED_AT_ONCE):
            batch = [array[start : start + _SCORED_AT_ONCE] for array in inputs]
            # Called directly: predict_on_batch would trace a graph for each head, which costs more than it saves.
            outputs.append(keras.ops.convert_to_numpy(network(unwrap_single(batch), training=False)))
        return np.concatenate(outputs)

    if network.inputs[0].shape.count(None) > 1:  # a network on frames, of any number
        return predict
    dense = to_numpy(network)
    random = np.random.default_rng(0)
    examples = [random.normal(size=(_COMPARED, *tensor.shape[1:])).astype(np.float32) for tensor in network.inputs]
    return dense if np.allclose(dense(examples), predict(examples), rtol=0, atol=_AGREEMENT) else predict


def to_numpy(network: keras.Model) -> DenseNetwork:
    """Return a trained network on vectors in NumPy.

    Args:
        network: of `build_network`, without frame pooling.
    """
    speaker_layers = {name: _speaker_layers(network, name) for name in [tensor.name for tensor in network.inputs[1:]]}
    of_speakers = {id(layer) for layers in speaker_layers.values() for layer in layers}
    dense = [layer for layer in _layers(network, keras.layers.Dense) if id(layer) not in of_speakers]
    norms = _layers(network, keras.layers.BatchNormalization)
    transforms, sums = _layers(network, PowerTransform), _layers(network, WeightedLayerSum)
    return DenseNetwork(
        YeoJohnson(*transforms[0].get_weights()) if transforms else None,
        keras.ops.convert_to_numpy(sums[0].layer_weights()) if sums else None,
        tuple(tuple(map(_dense_layer, layers)) for layers in speaker_layers.values()),
        tuple(_hidden_layer(*pair) for pair in zip(dense[:-1], norms, strict=True)),
        _dense_layer(dense[-1]),
        has_classes=dense[-1].activation is keras.activations.softmax,
    )


def _layers(network: keras.Model, kind: type) -> list[Any]:
    return [layer for layer in network.layers if isinstance(layer, kind)]


def _speaker_layers(network: keras.Model, name: str) -> list[Any]:
    """Return the layers that one input beside the vectors goes through, in their order; see `_speaker_term`."""
    names = {layer.name for layer in network.layers}
    tables = [table for table in (f"{name}_table", "voice") if table in names]  # "voice": before version 0.2
    uses_table = METHODS[name].uses_speaker_table
    return [network.get_layer(layer) for layer in [*(tables[:1] if uses_table else []), f"{name}_dense"]]


def _dense_layer(layer: Any) -> DenseLayer:
    kernel, *bias = layer.get_weights()
    return DenseLayer(kernel, bias[0] if bias else np.zeros(kernel.shape[1], np.float32))


def _hidden_layer(dense: Any, norm: Any) -> HiddenLayer:
    gamma, beta, mean, variance = norm.get_weights()
    scale = gamma / np.sqrt(variance + norm.epsilon)
    return HiddenLayer(_dense_layer(dense), scale, beta - mean * scale)


def load_head(path: Path) -> keras.Model:
    """Load a saved head without running any code it may bring.

    Raises:
        InputError: it is not a head this version can read.
    """
    with input_error_on_head(path):
        require_modest_keras_file(path)
        return keras.saving.load_model(path, custom_objects=_CUSTOM_LAYERS, compile=False, safe_mode=True)


def layer_weights(network: keras.Model) -> list[float] | None:
    """Return the learned weight of each encoder layer, or None where there is only one layer."""
    sums = [layer for layer in network.layers if isinstance(layer, WeightedLayerSum)]
    return keras.ops.convert_to_numpy(sums[0].layer_weights()).tolist() if sums else None


def unwrap_single(inputs: list[Any]) -> Any:
    """Return inputs as Keras takes them: a single one is not in a list."""
    return inputs if len(inputs) > 1 else inputs[0]


def _dense(units: int, seed: int, **options: Any) -> keras.layers.Dense:
    return keras.layers.Dense(units, kernel_initializer=keras.initializers.GlorotUniform(seed=seed), **options)
