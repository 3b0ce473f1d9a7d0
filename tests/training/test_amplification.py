"""Octaves that the critic sees amplified: a linear map whose factors can be read off known patterns."""

import numpy as np
import pytest
import tensorflow as tf

from training.amplification import amplifier


def amplified(image: np.ndarray, factors: tuple[float, ...]) -> np.ndarray:
    """One image (height, width) in float64."""
    return amplifier(factors, *image.shape)(tf.constant(image[None, ..., None]))[0, ..., 0].numpy()


def waves(period: int) -> np.ndarray:
    """A cosine across 64 columns, the same in all rows."""
    return np.tile(np.cos(2 * np.pi * np.arange(64) / period), (32, 1))


def test_without_factors_images_are_as_they_are():
    image = np.random.default_rng(0).random((8, 4))
    assert np.array_equal(amplified(image, ()), image)
    assert np.array_equal(amplified(image, (1.0, 1.0)), image)


def test_a_flat_image_stays():
    np.testing.assert_allclose(amplified(np.full((16, 8), 0.7), (6.0, 4.0, 2.0)), 0.7, atol=1e-12)


def test_pixels_that_alternate_are_of_the_finest_octave_alone():
    """[1 4 6 4 1] takes them away whole: 1 − 4 + 6 − 4 + 1 = 0."""
    middle = np.s_[:, 8:-8]
    np.testing.assert_allclose(amplified(waves(2), (6.0, 3.0))[middle], 6 * waves(2)[middle], atol=1e-12)


def test_a_period_of_four_is_shared_by_the_two_finest_octaves():
    """The first blur leaves (6 + 2·cos π) / 16 = 1/4 of it, the second, its taps twice as far apart, nothing."""
    middle = np.s_[:, 8:-8]
    wanted = (6.0 * 3 / 4 + 3.0 / 4) * waves(4)
    np.testing.assert_allclose(amplified(waves(4), (6.0, 3.0))[middle], wanted[middle], atol=1e-12)


def test_rows_and_columns_are_treated_alike():
    image = np.random.default_rng(0).random((16, 16))
    np.testing.assert_allclose(amplified(image.T, (4.0, 2.0)), amplified(image, (4.0, 2.0)).T, atol=1e-12)


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
def test_images_keep_their_type(dtype):
    assert amplifier((2.0,), 8, 4)(tf.zeros((1, 8, 4, 1), dtype)).dtype == dtype


def test_octaves_and_the_rest_add_up_to_the_image():
    image = np.random.default_rng(0).random((1, 32, 16, 1))
    parts = [((1.0,), 0.0), ((0.0, 1.0), 0.0), ((0.0, 0.0), 1.0)]
    found = sum(amplifier(factors, 32, 16, rest)(tf.constant(image)).numpy() for factors, rest in parts)
    np.testing.assert_allclose(found, image, atol=1e-12)


def test_an_octave_alone_has_nothing_of_a_flat_image():
    flat = tf.ones((1, 16, 8, 1), tf.float64)
    np.testing.assert_allclose(amplifier((0.0, 1.0), 16, 8, rest=0.0)(flat), 0, atol=1e-12)
