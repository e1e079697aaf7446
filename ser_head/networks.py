"""The Keras networks behind `ser_head.heads`: layer mix, speaker table, dense stack, and the scaling in front.

Every network takes vectors (batch, layers, width); a personalised one takes a list of vectors and speaker rows
(batch,). The output is probabilities (batch, classes). Only `keras.*` and `keras.ops.*` are used, so that a saved head
runs on any backend.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ser_embed.errors import InputError
from ser_head.backend import keras
from ser_head.heads import HeadSpec
from ser_head.scaling import Scaling

SPEAKER_WIDTH = 16  # numbers per row of the speaker table, before its dense layer
# Adam moves a logit by about the learning rate per step, however clear the gradient: at 0.0011, a few hundred steps
# would leave the mix at the plain mean.
MIX_PACE = 30.0
# Keras' 0.99 averages over the last hundreds of steps, more than many trainings have: early validation scores would be
# those of half-initialised statistics.
BATCH_NORM_MOMENTUM = 0.9
# Standard deviations beyond which a value says no more. Functionals such as eGeMAPS have outliers at 10 and above, and
# an unheard speaker brings new ones: cutting them took the validation loss from 0.88 to 0.79 (EmoDB), 1.40 to 1.34
# (RAVDESS).
OUTLIER = 3.0


class LayerMix(keras.layers.Layer):
    """Weighted mean over layers, weights learned through a softmax: (batch, layers, width) -> (batch, width)."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create one logit per layer; zeros make the plain mean."""
        self.logits = self.add_weight(shape=(input_shape[1],), initializer="zeros", name="logits")

    def call(self, vectors: Any) -> Any:
        """Mix the layers."""
        return keras.ops.sum(vectors * keras.ops.reshape(self.weighting(), (1, -1, 1)), axis=1)

    def weighting(self) -> Any:
        """Return the weight of each layer, (layers,), adding up to 1."""
        return keras.ops.softmax(MIX_PACE * self.logits)


@dataclass(frozen=True)
class NetworkShape:
    """What a network is built for.

    Attributes:
        layers: encoder layers per clip.
        width: numbers per layer.
        classes: emotions.
        speakers: rows of the speaker table, the unknown speaker's included; 0 for a head that is not personalised.
    """

    layers: int
    width: int
    classes: int
    speakers: int = 0


@dataclass(frozen=True)
class Regularization:
    """What makes learning harder, while training only.

    Attributes:
        dropout: share of each hidden layer's units left out per step.
        noise: standard deviation of the noise added to what enters the dense stack.
    """

    dropout: float
    noise: float


def build_network(spec: HeadSpec, shape: NetworkShape, regularization: Regularization, seed: int) -> keras.Model:
    """Build an untrained head on standardised vectors.

    Args:
        spec: the dense stack.
        shape: sizes of input and output.
        regularization: what makes learning harder.
        seed: draws first weights, dropout and noise; Keras' global generator is not used.
    """
    seeds = iter(np.random.SeedSequence(seed).generate_state(2 * len(spec.hidden) + 4).tolist())
    vectors = keras.Input((shape.layers, shape.width), name="vectors")
    inputs = [vectors]
    hidden = keras.ops.clip(vectors, -OUTLIER, OUTLIER)
    hidden = LayerMix(name="layer_mix")(hidden) if shape.layers > 1 else keras.layers.Flatten()(hidden)
    if shape.speakers:
        rows = keras.Input((), dtype="int32", name="speaker")
        inputs.append(rows)
        first = keras.initializers.RandomNormal(stddev=0.05, seed=next(seeds))
        voice = keras.layers.Embedding(shape.speakers, SPEAKER_WIDTH, embeddings_initializer=first, name="voice")(rows)
        hidden = keras.layers.Add()([hidden, _dense(shape.width, next(seeds), name="voice_dense")(voice)])
    hidden = keras.layers.GaussianNoise(regularization.noise, seed=next(seeds))(hidden)
    for units in spec.hidden:
        hidden = _dense(units, next(seeds), activation="relu")(hidden)
        hidden = keras.layers.Dropout(regularization.dropout, seed=next(seeds))(hidden)
        hidden = keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM)(hidden)
    output = _dense(shape.classes, next(seeds), activation="softmax", name="emotion")(hidden)
    return keras.Model(inputs if shape.speakers else vectors, output)


def with_scaling(network: keras.Model, scaling: Scaling) -> keras.Model:
    """Put the standardisation in front of a trained network, so that it takes vectors as the store holds them."""
    inputs = [keras.Input(each.shape[1:], dtype=each.dtype, name=each.name) for each in network.inputs]
    normalize = keras.layers.Normalization(axis=(1, 2), name="scaling")
    normalize.build(inputs[0].shape)
    normalize.set_weights([scaling.mean, scaling.variance, np.int32(0)])
    normalize.finalize_state()
    scaled = [normalize(inputs[0]), *inputs[1:]]
    return keras.Model(inputs if len(inputs) > 1 else inputs[0], network(scaled if len(scaled) > 1 else scaled[0]))


def load_head(path: Path) -> keras.Model:
    """Load a saved head without running any code it may bring.

    Raises:
        InputError: it is not a head this version can read.
    """
    try:
        return keras.saving.load_model(path, custom_objects={"LayerMix": LayerMix}, compile=False, safe_mode=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"expected a head saved by this library, but {path} cannot be read as one ({error})"
        ) from error


def layer_weights(network: keras.Model) -> list[float] | None:
    """Return what the mix gives each layer, or None where there is but one."""
    mixes = [layer for layer in network.layers if isinstance(layer, LayerMix)]
    return keras.ops.convert_to_numpy(mixes[0].weighting()).tolist() if mixes else None


def _dense(units: int, seed: int, **options: Any) -> keras.layers.Dense:
    return keras.layers.Dense(units, kernel_initializer=keras.initializers.GlorotUniform(seed=seed), **options)
