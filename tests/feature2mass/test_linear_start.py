"""Fresh networks that hand a small version of the image through."""

from dataclasses import replace

import cv2
import keras
import numpy as np
import pytest
import tiny_masses

from feature2mass.linear_start import HAAR, start_linearly
from feature2mass.networks import NetworkConfig, build_decoder, build_encoder

HALF = NetworkConfig(width=0.5, **tiny_masses.ADDITIONS)


def smooth_images(count: int, seed: int = 0, sigma: float = 4.0) -> np.ndarray:
    """Blurred noise about 0.5, float32 (n, 64, 64)."""
    noise = np.random.default_rng(seed).standard_normal((count, 64, 64)).astype(np.float32)
    blurred = np.stack([cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT) for image in noise])
    return 0.5 + 0.15 * blurred / blurred.std()


def labels(count: int) -> list[np.ndarray]:
    return [np.eye(2, dtype="f4")[np.arange(count) % 2], np.eye(3, dtype="f4")[np.arange(count) % 3]]


def started(config: NetworkConfig, examples: np.ndarray):
    encoder, decoder = build_encoder(config, 2, 3, synchronized=False), build_decoder(config, synchronized=False)
    start_linearly(encoder, decoder, examples)
    return encoder, decoder


@pytest.fixture(scope="module")
def half():
    return started(HALF, smooth_images(200))


def difference(networks, images: np.ndarray) -> np.ndarray:
    encoder, decoder = networks
    again = np.asarray(decoder(encoder([images[..., None], *labels(len(images))])))[..., 0]
    return again - images


def test_haar_patterns_are_orthonormal():
    patterns = HAAR.reshape(4, 4)
    np.testing.assert_allclose(patterns @ patterns.T, np.eye(4), atol=1e-7)


def test_new_images_come_back(half):
    images = smooth_images(20, seed=1)
    assert np.abs(difference(half, images)).mean() < 0.1 * images.std()


def test_random_kernels_give_nothing_back():
    keras.utils.set_random_seed(0)
    networks = build_encoder(HALF, 2, 3, synchronized=False), build_decoder(HALF, synchronized=False)
    images = smooth_images(20, seed=1)
    assert np.abs(difference(networks, images)).mean() > 0.5 * images.std()


def test_no_frame_stands_around_an_image(half):
    error = np.abs(difference(half, smooth_images(50, seed=2))).mean(axis=0)
    inside = np.zeros_like(error, bool)
    inside[2:-2, 2:-2] = True
    assert error[~inside].mean() < 2 * error[inside].mean()


def test_the_mean_image_comes_back():
    """Every example is brighter in the same place, which is in the means of coefficients alone."""
    y, x = np.mgrid[:64, :64]
    spot = 0.3 * np.exp(-((x - 20) ** 2 + (y - 28) ** 2) / (2 * 12**2)).astype(np.float32)
    networks = started(HALF, smooth_images(200) + spot)
    images = smooth_images(20, seed=1) + spot
    assert np.abs(difference(networks, images).mean(axis=0)).max() < 0.1 * spot.max()


def test_mixed_features_are_mixed_images(half):
    encoder, decoder = half
    images = smooth_images(2, seed=3)
    features = np.asarray(encoder([images[..., None], *labels(2)]))
    mixed = np.asarray(decoder(features.mean(axis=0, keepdims=True)))[0, ..., 0]
    assert np.abs(mixed - images.mean(axis=0)).mean() < 0.15 * images.std()


def test_a_quarter_of_the_feature_is_left_to_the_other_channels(half):
    encoder, _ = half
    image = smooth_images(1, seed=4)[..., None]
    one, other = (np.asarray(encoder([image, *(label[[row]] for label in labels(2))]))[0] for row in (0, 1))
    assert np.array_equal(one[:768], other[:768])  # coefficients do not depend on labels
    assert not np.isclose(one[768:1023], other[768:1023]).any()
    assert one[1023] == 1  # what takes offsets away


@pytest.mark.parametrize("config", [tiny_masses.NETWORK, replace(tiny_masses.NETWORK, low_pass=False)])
def test_narrow_networks_hand_through_what_they_can_hold(config):
    images = smooth_images(200, sigma=12.0)
    networks = started(config, images)
    assert np.abs(difference(networks, smooth_images(20, seed=1, sigma=12.0))).mean() < 0.5 * images.std()
