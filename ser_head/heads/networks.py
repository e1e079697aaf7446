"""The Keras networks behind `ser_head.heads.registry`, and the scaling in front of them.

Every network takes vectors (batch, layers, width), or frames (batch, frames, layers, width) in which a frame that a
clip does not have is NaN. A personalised one takes a list: vectors, then what its methods tell of the speaker (batch,
numbers). The output is probabilities (batch, classes), or a standardised number (batch, 1). Only `keras.*` and
`keras.ops.*` are used, so that a saved head runs on any backend.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ser_embed.errors import InputError
from ser_head.data.power_transform import YeoJohnson
from ser_head.data.scaling import OUTLIER, Scaling
from ser_head.heads.backend import keras
from ser_head.heads.layers import WeightedLayerSum, attentive_statistics_pooling, conv_stack
from ser_head.heads.registry import HeadSpec
from ser_head.scoring.temperature import SMALLEST_PROBABILITY

NETWORK = "network"  # its name inside a saved head
POWER_TRANSFORM = "bend"  # the name of its layer that bends
SPEAKER_WIDTH = 16  # numbers per row of the speaker table, before its dense layer
# Keras' 0.99 averages over the last hundreds of steps, more than many trainings have: early validation scores would be
# those of half-initialised statistics.
BATCH_NORM_MOMENTUM = 0.9
_SCORED_AT_ONCE = 1024  # clips per forward pass


@dataclass(frozen=True)
class NetworkShape:
    """What a network is built for.

    Attributes:
        layers: encoder layers per clip.
        width: numbers per layer.
        classes: emotions; 0 for a head that answers with a number.
        speaker_inputs: name and width of each input that tells of the speaker, in their order.
        power_transformed: whether vectors are bent before all else; see `ser_head.data.power_transform`.
    """

    layers: int
    width: int
    classes: int
    speaker_inputs: Mapping[str, int] = field(default_factory=dict)
    power_transformed: bool = False


@dataclass(frozen=True)
class Regularization:
    """What makes learning harder, while training only.

    Attributes:
        dropout: share of each hidden layer's units left out per step.
        noise: standard deviation of the noise added to what enters the dense stack.
    """

    dropout: float
    noise: float


class PowerTransform(keras.layers.Layer):
    """Bends standardised vectors as `ser_head.data.power_transform` found best: (..., layers, width), which it keeps."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create what leaves vectors as they are."""
        parts = (("exponent", "ones"), ("mean", "zeros"), ("deviation", "ones"))
        self.exponent, self.mean, self.deviation = (
            self.add_weight(shape=input_shape[-2:], initializer=first, trainable=False, name=name)
            for name, first in parts
        )

    def call(self, vectors: Any) -> Any:
        """Bend and standardise."""
        return YeoJohnson(self.exponent, self.mean, self.deviation).apply(vectors, keras.ops)

    def use(self, power: YeoJohnson) -> None:
        """Bend like this from now on."""
        self.set_weights([power.exponent, power.mean, power.deviation])


# Heads saved before version 0.2 name these classes.
EARLIER_LAYER_NAMES = {"Bend": PowerTransform, "LayerMix": WeightedLayerSum}


def build_network(spec: HeadSpec, shape: NetworkShape, regularization: Regularization, seed: int) -> keras.Model:
    """Build an untrained head on standardised vectors or frames.

    Args:
        spec: the network.
        shape: sizes of input and output.
        regularization: what makes learning harder.
        seed: draws first weights, dropout and noise; Keras' global generator is not used.
    """
    seeds = iter(np.random.SeedSequence(seed).generate_state(64).tolist())
    time = (None,) if spec.takes_frames else ()
    vectors = keras.Input((*time, shape.layers, shape.width), name="vectors")
    speaker_inputs = {name: keras.Input((width,), name=name) for name, width in shape.speaker_inputs.items()}
    mask = keras.ops.logical_not(keras.ops.isnan(vectors[..., :1, 0])) if spec.takes_frames else None
    hidden = vectors if mask is None else keras.ops.where(mask[..., None], vectors, 0.0)
    hidden = PowerTransform(name=POWER_TRANSFORM)(hidden) if shape.power_transformed else hidden
    hidden = keras.ops.clip(hidden, -OUTLIER, OUTLIER)
    hidden = WeightedLayerSum(name="layer_mix")(hidden) if shape.layers > 1 else hidden[..., 0, :]
    for name, about in speaker_inputs.items():
        hidden = keras.layers.Add()([hidden, _speaker(name, about, shape.width, seeds)])
    hidden = keras.layers.GaussianNoise(regularization.noise, seed=next(seeds))(hidden)
    if spec.kind == "attention":
        hidden = attentive_statistics_pooling(hidden, mask, seeds)
    elif spec.kind == "cnn":
        hidden = conv_stack(hidden, mask, regularization.dropout, seeds)
    for units in spec.hidden:
        hidden = _dense(units, next(seeds), activation="relu")(hidden)
        hidden = keras.layers.Dropout(regularization.dropout, seed=next(seeds))(hidden)
        hidden = keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM)(hidden)
    if shape.classes:
        output = _dense(shape.classes, next(seeds), activation="softmax", name="emotion")(hidden)
    else:
        output = _dense(1, next(seeds), name="number")(hidden)
    return keras.Model([vectors, *speaker_inputs.values()] if speaker_inputs else vectors, output, name=NETWORK)


def _speaker(name: str, about: Any, width: int, seeds: Iterator[int]) -> Any:
    """Return what is added to a clip's vector for its speaker; a weighted row of a table is a product with it."""
    if name == "embedding":
        first = keras.initializers.RandomNormal(stddev=0.05, seed=next(seeds))
        table = keras.layers.Dense(SPEAKER_WIDTH, use_bias=False, kernel_initializer=first, name="voice")
        about = table(about)
    return _dense(width, next(seeds), name=f"{name}_dense")(about)


def to_inference_model(
    network: keras.Model,
    scaling: Scaling,
    temperature: float = 1.0,
    numbers: tuple[float, float] | None = None,
) -> keras.Model:
    """Return a trained network as it is saved: vectors as the store holds them in, calibrated probabilities out.

    Args:
        network: from standardised vectors to probabilities.
        scaling: put in front.
        temperature: divides the logits behind.
        numbers: mean and deviation of the numbers, where it answers with one.
    """
    inputs = [keras.Input(each.shape[1:], dtype=each.dtype, name=each.name) for each in network.inputs]
    normalize = keras.layers.Normalization(axis=(-2, -1), name="scaling")
    normalize.build(inputs[0].shape)
    normalize.set_weights([scaling.mean, scaling.variance, np.int32(0)])
    normalize.finalize_state()
    scaled = [normalize(inputs[0]), *inputs[1:]]
    # Without loss and optimiser, which are no part of what is saved.
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
    network = load_head(path).get_layer(NETWORK)

    def predict(inputs: list[np.ndarray]) -> np.ndarray:
        scored = [np.zeros((0, network.output_shape[-1]), np.float32)]
        for start in range(0, len(inputs[0]), _SCORED_AT_ONCE):
            part = [each[start : start + _SCORED_AT_ONCE] for each in inputs]
            # Called directly: predict_on_batch would trace a graph for each head, which costs more than it saves.
            scored.append(keras.ops.convert_to_numpy(network(unwrap_single(part), training=False)))
        return np.concatenate(scored)

    return predict


def load_head(path: Path) -> keras.Model:
    """Load a saved head without running any code it may bring.

    Raises:
        InputError: it is not a head this version can read.
    """
    try:
        own = {
            **{layer.__name__: layer for layer in (PowerTransform, WeightedLayerSum)},
            **EARLIER_LAYER_NAMES,
        }
        return keras.saving.load_model(path, custom_objects=own, compile=False, safe_mode=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"expected a head saved by this library, but {path} cannot be read as one ({error})"
        ) from error


def layer_weights(network: keras.Model) -> list[float] | None:
    """Return what the mix gives each layer, or None where there is but one."""
    mixes = [layer for layer in network.layers if isinstance(layer, WeightedLayerSum)]
    return keras.ops.convert_to_numpy(mixes[0].weighting()).tolist() if mixes else None


def unwrap_single(inputs: list[Any]) -> Any:
    """Return inputs as Keras wants them: a single one not in a list."""
    return inputs if len(inputs) > 1 else inputs[0]


def _dense(units: int, seed: int, **options: Any) -> keras.layers.Dense:
    return keras.layers.Dense(units, kernel_initializer=keras.initializers.GlorotUniform(seed=seed), **options)
