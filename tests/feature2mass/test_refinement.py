"""Convolutions that add to a decoder's unit, and the noise that they make texture of."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_masses

from feature2mass.networks import build_decoder, build_encoder, build_generator, finished_networks
from feature2mass.refinement import hashed, refined
from training.layers import determined_noise

CONFIG = replace(tiny_masses.NETWORK, refined_units=(5, 6), noise_units=(6,))


def features_of(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 1024)).astype("f4")


@pytest.fixture(scope="module")
def noise() -> keras.Model:
    keras.utils.set_random_seed(0)
    feature = keras.Input((1024,))
    return keras.Model(feature, determined_noise(hashed(feature), 32, 32, "noise"))


def correlation(a, b) -> float:
    return float(np.corrcoef(np.ravel(a), np.ravel(b))[0, 1])


def test_refinement_changes_nothing_at_first():
    features, numbers = keras.Input((8, 8, 4)), keras.Input((32,))
    model = keras.Model([features, numbers], refined(features, numbers, "refined", "float32"))
    values = np.random.default_rng(0).standard_normal((2, 8, 8, 4)).astype("f4")
    np.testing.assert_array_equal(model([values, np.ones((2, 32), "f4")]), values)


def test_noise_is_white_and_of_variance_one(noise):
    maps = np.asarray(noise(features_of(200)))[..., 0]
    assert maps.mean() == pytest.approx(0, abs=0.05) and maps.var() == pytest.approx(1, rel=0.1)
    assert correlation(maps[:, 1:], maps[:, :-1]) == pytest.approx(0, abs=0.05)


def test_a_feature_decides_its_noise(noise):
    np.testing.assert_array_equal(noise(features_of(3)), noise(features_of(3)))


def test_a_shorter_feature_has_the_same_noise(noise):
    np.testing.assert_allclose(noise(0.3 * features_of(3)), noise(features_of(3)), atol=1e-3)


def test_features_that_differ_by_a_half_have_noise_of_their_own(noise):
    first = features_of(50)
    second = first + 0.5 * features_of(50, seed=1)
    maps = zip(np.asarray(noise(first)), np.asarray(noise(second)), strict=True)
    assert np.mean([correlation(*pair) for pair in maps]) < 0.5


def test_no_gradient_goes_through_noise(noise):
    feature = tf.constant(features_of(2))
    with tf.GradientTape() as tape:
        tape.watch(feature)
        total = tf.reduce_sum(noise(feature))
    assert tape.gradient(total, feature) is None


def test_a_saved_decoder_has_stock_layers_and_computes_what_the_trained_one_does(tmp_path):
    keras.utils.set_random_seed(1)
    generator = build_generator(build_encoder(CONFIG, 2, 3), build_decoder(CONFIG))
    decoder = generator.get_layer("decoder")
    for variable in decoder.trainable_variables:  # last convolutions too, which start at zero
        variable.assign(variable + 0.05 * tf.random.normal(variable.shape))
    _, finished = finished_networks(generator, CONFIG, 2, 3)
    assert {type(layer).__module__.split(".")[0] for layer in finished.layers} == {"keras"}
    finished.save(tmp_path / "decoder.keras")
    opened = keras.models.load_model(tmp_path / "decoder.keras")
    np.testing.assert_allclose(opened(features_of(4)), np.clip(decoder(features_of(4)), 0, 1), atol=1e-5)
