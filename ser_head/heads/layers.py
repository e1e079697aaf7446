"""Keras layers over encoder layers and over time: weighted layer sum, attention pooling, convolution over frames.

Frames are (batch, frames, width) with a mask (batch, frames, 1), true for the frames a clip has. Padded frames are 0
and change nothing: a clip gives the same numbers alone and padded in any batch.
"""

from collections.abc import Iterator
from typing import Any

from ser_head.heads.backend import keras

# Adam moves a logit by about the learning rate per step, however clear the gradient: at 0.0011, a few hundred steps
# would leave the weights at the plain mean.
LAYER_LOGIT_SCALE = 30.0
ATTENTION_UNITS = 128
CHANNELS = (8, 16, 24, 32, 48)  # of the five blocks; each halves frames and coefficients
# Of the dropout of a dense layer: five blocks of few channels, each missing a quarter of them, learned nothing.
BLOCK_DROPOUT = 0.2
_MASKED_LOGIT = -1e9  # of a padded frame: its softmax is 0


class WeightedLayerSum(keras.layers.Layer):
    """Weighted mean over encoder layers, its weights a softmax of logits: (..., layers, width) to (..., width).

    The sum of SUPERB (Yang et al., 2021).
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create one logit per layer; zeros make the plain mean."""
        self.logits = self.add_weight(shape=(input_shape[-2],), initializer="zeros", name="logits")

    def call(self, vectors: Any) -> Any:
        """Return the weighted mean."""
        return keras.ops.sum(vectors * keras.ops.reshape(self.layer_weights(), (-1, 1)), axis=-2)

    def layer_weights(self) -> Any:
        """Return the weight of each layer, (layers,), adding up to 1."""
        return keras.ops.softmax(LAYER_LOGIT_SCALE * self.logits)


def attentive_statistics_pooling(frames: Any, mask: Any, seeds: Iterator[int]) -> Any:
    """Pool frames to their attention-weighted mean and deviation (Okabe et al., 2018): (batch, 2 x ATTENTION_UNITS).

    Args:
        frames: (batch, frames, width).
        mask: bool (batch, frames, 1).
        seeds: draw initial weights.
    """
    frames = _layer(keras.layers.Dense, seeds, ATTENTION_UNITS, activation="relu")(frames)
    queries = _layer(keras.layers.Dense, seeds, ATTENTION_UNITS // 2, activation="tanh")(frames)
    logits = _layer(keras.layers.Dense, seeds, 1)(queries)  # (batch, frames, 1)
    weights = keras.ops.softmax(keras.ops.where(mask, logits, _MASKED_LOGIT), axis=1)
    mean = keras.ops.sum(weights * frames, axis=1)
    square = keras.ops.sum(weights * keras.ops.square(frames), axis=1)
    deviation = keras.ops.sqrt(keras.ops.maximum(square - keras.ops.square(mean), 1e-6))
    return keras.layers.Concatenate()([mean, deviation])


def conv_stack(frames: Any, mask: Any, dropout: float, seeds: Iterator[int]) -> Any:
    """Run five blocks of Conv2D - ELU - max pooling - dropout over frames and coefficients, then take the mean in time.

    Args:
        frames: (batch, frames, width), frames padded as in `ser_head.data.frames`.
        mask: bool (batch, frames, 1).
        dropout: share of the numbers left out of a dense layer; a block loses `BLOCK_DROPOUT` of that.
        seeds: draw initial weights and dropout.
    """
    image = frames[..., None]  # (batch, frames, width, channels)
    valid = keras.ops.cast(mask, "float32")  # (batch, frames, 1)
    for channels in CHANNELS:
        image = _layer(keras.layers.Conv2D, seeds, channels, 3, padding="same")(image)
        image = keras.layers.MaxPooling2D(2, padding="same")(image)
        valid = keras.layers.MaxPooling1D(2)(valid)
        # An ELU keeps the order of numbers, so it commutes with the maximum; after pooling it costs a quarter.
        image = keras.ops.elu(image) * valid[..., None]  # the bias of a convolution has filled padded frames
        image = keras.layers.Dropout(dropout * BLOCK_DROPOUT, seed=next(seeds))(image)
    image = keras.ops.sum(image * valid[..., None], axis=1) / keras.ops.sum(valid, axis=1)[..., None]
    return keras.layers.Flatten()(image)


def _layer(kind: type, seeds: Iterator[int], *sizes: int, **options: Any) -> Any:
    return kind(*sizes, kernel_initializer=keras.initializers.GlorotUniform(seed=next(seeds)), **options)
