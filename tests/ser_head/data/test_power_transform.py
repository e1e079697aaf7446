"""Power transforms: bent as SciPy bends, as normal as scikit-learn makes them, and harmless where nothing varies."""

import numpy as np
import pytest
from scipy.stats import skew, yeojohnson
from sklearn.preprocessing import PowerTransformer

from ser_head.data.power_transform import EXPONENTS, REACH, fit_yeo_johnson, yeo_johnson
from ser_head.heads.backend import keras
from ser_head.heads.networks import PowerTransform


def skewed(clips: int = 800) -> np.ndarray:
    """Standardised vectors of two layers: tails to the right, to the left, on both sides, and none."""
    random = np.random.default_rng(0)
    normal = random.normal(size=(clips, 2, 4))
    raw = np.stack(
        [np.exp(0.7 * normal[..., 0]), -np.exp(0.5 * normal[..., 1]), normal[..., 2] ** 3, normal[..., 3]], axis=-1
    )
    return ((raw - raw.mean(axis=0)) / raw.std(axis=0)).astype(np.float32)


def bend(vectors: np.ndarray) -> np.ndarray:
    layer = PowerTransform()
    layer.build(vectors.shape)
    layer.use(fit_yeo_johnson(vectors))
    return keras.ops.convert_to_numpy(layer(vectors))


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_values_are_bent_as_scipy_bends_them(exponent):
    values = np.concatenate([np.linspace(-REACH, REACH, 41), [-1e-6, 0.0, 1e-6]])
    assert yeo_johnson(values, exponent) == pytest.approx(yeojohnson(values, lmbda=exponent), rel=1e-12, abs=1e-15)
    tensors = yeo_johnson(keras.ops.convert_to_tensor(values, "float32"), np.float32(exponent), keras.ops)
    assert keras.ops.convert_to_numpy(tensors) == pytest.approx(yeojohnson(values, lmbda=exponent), rel=1e-5, abs=1e-6)


def test_exponents_are_the_likeliest_as_scikit_learn_finds_them():
    vectors = np.clip(skewed(), -REACH, REACH)
    for layer in range(2):
        expected = PowerTransformer().fit(vectors[:, layer].astype(np.float64)).lambdas_
        assert fit_yeo_johnson(vectors).exponent[layer] == pytest.approx(
            expected, abs=0.15
        )  # the grid's steps are 0.25


def test_what_leans_stands_upright_and_is_standardised():
    vectors = skewed()
    bent = bend(vectors)
    assert np.abs(skew(vectors[..., :2])).min() > 1
    assert np.abs(skew(bent[..., :2])).max() < 0.25
    assert bent.mean(axis=0) == pytest.approx(0, abs=1e-4)
    assert bent.std(axis=0) == pytest.approx(1, abs=1e-4)


def test_the_order_of_clips_is_kept_in_every_dimension():
    vectors = skewed()
    order = np.argsort(vectors, axis=0)
    assert (np.diff(np.take_along_axis(bend(vectors), order, axis=0), axis=0) >= 0).all()


def test_a_dimension_that_does_not_vary_is_left_alone():
    vectors = skewed()
    vectors[:, 0, 1] = 0
    layer = PowerTransform()
    layer.build(vectors.shape)
    layer.use(fit_yeo_johnson(vectors))
    new = np.full((1, 2, 4), 0.01, np.float32)
    assert keras.ops.convert_to_numpy(layer(new))[0, 0, 1] == pytest.approx(0.01, abs=1e-6)


def test_a_layer_that_was_told_nothing_changes_nothing():
    vectors = skewed(20)
    assert keras.ops.convert_to_numpy(PowerTransform()(vectors)) == pytest.approx(
        np.clip(vectors, -REACH, REACH), abs=1e-5
    )
