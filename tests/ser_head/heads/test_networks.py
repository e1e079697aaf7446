"""Networks: scaling inside a saved head, frames padded without effect, averaged weights, no code run on loading."""

import dataclasses

import numpy as np
import pytest

from ser_embed.errors import InputError
from ser_head.data.frames import pad_frames
from ser_head.data.power_transform import fit_yeo_johnson
from ser_head.data.scaling import Scaling
from ser_head.heads.backend import keras
from ser_head.heads.networks import (
    POWER_TRANSFORM,
    NetworkShape,
    Regularization,
    load_head,
    load_network,
    to_inference_model,
    to_numpy,
)
from ser_head.heads.registry import HEADS
from ser_head.scoring.temperature import apply_temperature
from ser_head.training.keras_trainer import WeightAverage

REGULARIZATION = Regularization(dropout=0.3, noise=0.2)
SHAPES = [
    NetworkShape(1, 6, 3),
    NetworkShape(4, 6, 3, power_transformed=True),
    NetworkShape(4, 6, 3, {"embedding": 5, "features": 6}),
]
NETWORKS = [name for name, spec in HEADS.items() if spec.trainer == "keras" and not spec.takes_frames]
FRAMEWISE = [name for name, spec in HEADS.items() if spec.trainer == "keras" and spec.takes_frames]


def inputs_for(shape, vectors):
    speaker_inputs = [
        np.random.default_rng(1).normal(size=(len(vectors), width)) for width in shape.speaker_inputs.values()
    ]
    return [vectors, *(values.astype(np.float32) for values in speaker_inputs)]


def score(network, inputs):
    return keras.ops.convert_to_numpy(network(inputs if len(inputs) > 1 else inputs[0], training=False))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_saved_head_turns_raw_vectors_into_the_trained_networks_probabilities(tmp_path, shape, name):
    random = np.random.default_rng(0)
    size = (shape.layers, shape.width)
    scaling = Scaling(random.normal(0, 100, size), random.uniform(1, 50, size))
    vectors = (scaling.mean + random.normal(size=(9, *size)) * np.sqrt(scaling.variance)).astype(np.float32)
    network = HEADS[name].build(shape, REGULARIZATION, seed=1)
    if shape.power_transformed:
        network.get_layer(POWER_TRANSFORM).use(fit_yeo_johnson(scaling.apply(vectors)))
    to_inference_model(network, scaling, temperature=2.0).save(tmp_path / "head.keras")
    expected = score(network, inputs_for(shape, scaling.apply(vectors)))
    assert load_network(tmp_path / "head.keras")(inputs_for(shape, scaling.apply(vectors))) == pytest.approx(expected)
    scored = score(load_head(tmp_path / "head.keras"), inputs_for(shape, vectors))
    assert scored == pytest.approx(apply_temperature(expected, 2.0), abs=1e-5)
    assert scored.sum(axis=1) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("classes", [3, 0])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_in_numpy_gives_the_answers_of_keras(shape, name, classes):
    random = np.random.default_rng(0)
    shape = dataclasses.replace(shape, classes=classes)
    network = HEADS[name].build(shape, REGULARIZATION, seed=1)
    network.set_weights([np.abs(random.normal(1, 0.3, weights.shape)) for weights in network.get_weights()])
    vectors = random.normal(0, 3, (50, shape.layers, shape.width)).astype(np.float32)
    expected = score(network, inputs_for(shape, vectors))
    assert to_numpy(network)(inputs_for(shape, vectors)) == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert to_numpy(network)([inputs[:0] for inputs in inputs_for(shape, vectors)]).shape == (0, classes or 1)


@pytest.mark.parametrize("name", FRAMEWISE)
def test_a_clip_of_frames_is_scored_the_same_alone_and_among_longer_ones(tmp_path, name):
    random = np.random.default_rng(0)
    shape = NetworkShape(2, 40, 3)
    clips = [random.normal(size=(count, 2, 40)).astype(np.float32) for count in (5, 33, 100)]
    network = HEADS[name].build(shape, REGULARIZATION, seed=1)
    to_inference_model(network, Scaling(np.ones((2, 40)), np.ones((2, 40)))).save(tmp_path / "head.keras")
    predict = load_network(tmp_path / "head.keras")
    alone = np.concatenate([predict([pad_frames([clip])]) for clip in clips])
    assert predict([pad_frames(clips)]) == pytest.approx(alone, abs=1e-6)
    assert np.abs(alone[0] - alone[1]).max() > 1e-3


def test_hidden_layers_are_dense_relu_dropout_batch_normalisation():
    layers = HEADS["deep"].build(NetworkShape(1, 6, 3), REGULARIZATION, seed=0).layers
    stack = layers[[isinstance(layer, keras.layers.Dense) for layer in layers].index(True) :]
    units = [layer.units for layer in stack if isinstance(layer, keras.layers.Dense)]
    assert units == [1024, 256, 64, 64, 3]
    assert [type(layer).__name__ for layer in stack] == ["Dense", "Dropout", "BatchNormalization"] * 4 + ["Dense"]
    assert {layer.rate for layer in stack if isinstance(layer, keras.layers.Dropout)} == {0.3}


def test_first_weights_come_from_the_seed_alone():
    shape = NetworkShape(2, 6, 3, {"embedding": 4})
    keras.utils.set_random_seed(5)
    first = HEADS["mlp"].build(shape, REGULARIZATION, seed=3).get_weights()
    again = HEADS["mlp"].build(shape, REGULARIZATION, seed=3).get_weights()
    other_seed = HEADS["mlp"].build(shape, REGULARIZATION, seed=4).get_weights()
    assert all(map(np.array_equal, first, again))
    assert not all(map(np.array_equal, first, other_seed))


def test_values_are_bounded_at_three_deviations():
    network = HEADS["mlp"].build(NetworkShape(1, 6, 3), REGULARIZATION, seed=0)
    assert np.array_equal(score(network, [np.full((1, 1, 6), 3.0)]), score(network, [np.full((1, 1, 6), 1e6)]))


def test_a_file_that_is_no_head_is_refused(tmp_path):
    (tmp_path / "head.keras").write_text("no archive")
    with pytest.raises(InputError, match="cannot be read as one"):
        load_head(tmp_path / "head.keras")


def test_a_head_with_code_in_it_is_refused(tmp_path):
    inputs = keras.Input((2,))
    keras.Model(inputs, keras.layers.Lambda(lambda values: values)(inputs)).save(tmp_path / "head.keras")
    with pytest.raises(InputError, match="cannot be read as one"):
        load_head(tmp_path / "head.keras")


def test_the_average_is_a_plain_mean_at_first_and_exponential_later() -> None:
    network = HEADS["linear"].build(NetworkShape(layers=1, width=3, classes=2), REGULARIZATION, seed=0)
    average, expected = WeightAverage(network, decay=0.5), 0.0
    for epoch in range(1, 6):
        network.set_weights([np.full_like(weights, epoch) for weights in network.get_weights()])
        with average.in_use():
            expected = (expected * (epoch - 1) + epoch) / epoch if epoch <= 2 else (expected + epoch) / 2
            assert all(weights == pytest.approx(expected) for weights in network.get_weights())
        assert all((weights == epoch).all() for weights in network.get_weights())


def test_without_averaging_the_weights_are_those_of_the_epoch() -> None:
    network = HEADS["linear"].build(NetworkShape(layers=1, width=3, classes=2), REGULARIZATION, seed=0)
    average = WeightAverage(network, decay=0.0)
    for value in (1.0, 7.0):
        network.set_weights([np.full_like(weights, value) for weights in network.get_weights()])
        average.update()
        assert all((weights == value).all() for weights in average.weights)
