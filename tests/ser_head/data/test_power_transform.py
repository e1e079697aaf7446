"""Power transform: equal to SciPy's, with exponents like scikit-learn's, and harmless where nothing varies."""

import numpy as np
import pytest
from scipy.stats import skew, yeojohnson
from sklearn.preprocessing import PowerTransformer

from ser_head.data.power_transform import CLIP_AT, EXPONENTS, fit_yeo_johnson, yeo_johnson
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


def transform(vectors: np.ndarray) -> np.ndarray:
    layer = PowerTransform()
    layer.build(vectors.shape)
    layer.use(fit_yeo_johnson(vectors))
    return keras.ops.convert_to_numpy(layer(vectors))


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_values_are_transformed_as_by_scipy(exponent):
    values = np.concatenate([np.linspace(-CLIP_AT, CLIP_AT, 41), [-1e-6, 0.0, 1e-6]])
    assert yeo_johnson(values, exponent) == pytest.approx(yeojohnson(values, lmbda=exponent), rel=1e-12, abs=1e-15)
    tensors = yeo_johnson(keras.ops.convert_to_tensor(values, "float32"), np.float32(exponent), keras.ops)
    assert keras.ops.convert_to_numpy(tensors) == pytest.approx(yeojohnson(values, lmbda=exponent), rel=1e-5, abs=1e-6)


def test_exponents_are_the_likeliest_as_in_scikit_learn():
    vectors = np.clip(skewed(), -CLIP_AT, CLIP_AT)
    for layer in range(2):
        expected = PowerTransformer().fit(vectors[:, layer].astype(np.float64)).lambdas_
        exponent = fit_yeo_johnson(vectors).exponent[layer]
        assert exponent == pytest.approx(expected, abs=0.15)  # the steps of the grid are 0.25


def test_skewed_dimensions_become_symmetric_and_standardised():
    vectors = skewed()
    transformed = transform(vectors)
    assert np.abs(skew(vectors[..., :2])).min() > 1
    assert np.abs(skew(transformed[..., :2])).max() < 0.25
    assert transformed.mean(axis=0) == pytest.approx(0, abs=1e-4)
    assert transformed.std(axis=0) == pytest.approx(1, abs=1e-4)


def test_the_order_of_clips_is_kept_in_every_dimension():
    vectors = skewed()
    order = np.argsort(vectors, axis=0)
    assert (np.diff(np.take_along_axis(transform(vectors), order, axis=0), axis=0) >= 0).all()


def test_a_constant_dimension_is_left_as_it_is():
    vectors = skewed()
    vectors[:, 0, 1] = 0
    layer = PowerTransform()
    layer.build(vectors.shape)
    layer.use(fit_yeo_johnson(vectors))
    new = np.full((1, 2, 4), 0.01, np.float32)
    assert keras.ops.convert_to_numpy(layer(new))[0, 0, 1] == pytest.approx(0.01, abs=1e-6)


def test_a_layer_without_a_fitted_transform_only_clips():
    vectors = skewed(20)
    assert keras.ops.convert_to_numpy(PowerTransform()(vectors)) == pytest.approx(
        np.clip(vectors, -CLIP_AT, CLIP_AT), abs=1e-5
    )
