"""Components, holes and openings: equal to the libraries' slower ways, on random masks."""

import cv2
import numpy as np
import pytest
from scipy.ndimage import binary_fill_holes

from preprocessing.mammograms.morphology import dilated, fill_holes, largest_component, opened


def blobs(seed: int) -> np.ndarray:
    """A random mask of random size, with holes, some of it at the frame."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=rng.integers(3, 120, 2)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), rng.uniform(0.5, 6))
    return smooth > rng.uniform(-0.5, 0.5) * smooth.std()


def disc(radius: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))


@pytest.mark.parametrize("radius", [1, 6, 32])
@pytest.mark.parametrize("seed", range(8))
def test_opening_is_opencvs(seed, radius):
    mask = blobs(seed)
    expected = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, disc(radius)) > 0
    np.testing.assert_array_equal(opened(mask, radius), expected)


@pytest.mark.parametrize("radius", [1, 8])
@pytest.mark.parametrize("seed", range(8))
def test_dilation_is_opencvs(seed, radius):
    mask = blobs(seed)
    np.testing.assert_array_equal(dilated(mask, radius), cv2.dilate(mask.astype(np.uint8), disc(radius)) > 0)


@pytest.mark.parametrize("seed", range(8))
def test_filling_is_scipys(seed):
    mask = blobs(seed)
    np.testing.assert_array_equal(fill_holes(mask), binary_fill_holes(mask))


def test_the_largest_component_is_four_connected():
    mask = np.array([[1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 1]], bool)
    np.testing.assert_array_equal(largest_component(mask), [[0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 0, 1]])


def test_the_largest_component_of_nothing_is_nothing():
    assert not largest_component(np.zeros((3, 4), bool)).any()


def test_the_largest_component_is_kept_without_what_touches_it_at_a_corner():
    mask = np.array([[1, 0, 0, 1], [0, 1, 0, 1], [0, 1, 0, 0], [1, 1, 0, 1]], np.uint8)  # corners do not connect
    wanted = np.array([[0, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0], [1, 1, 0, 0]], bool)
    np.testing.assert_array_equal(largest_component(mask), wanted)
