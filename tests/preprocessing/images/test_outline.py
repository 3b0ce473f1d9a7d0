"""Outlines of masks: heights, mirror and shares are those of the mask itself."""

import cv2
import numpy as np
import pytest

from preprocessing.images.outline import Outline


def blobs(seed: int, height: int = 60, width: int = 40) -> np.ndarray:
    """A random mask with holes, some of it at the frame."""
    noise = np.random.default_rng(seed).normal(size=(height, width)).astype(np.float32)
    return cv2.GaussianBlur(noise, (0, 0), 3) > 0


@pytest.mark.parametrize("seed", range(5))
def test_a_mask_comes_back_from_its_outline(seed):
    mask = blobs(seed)
    np.testing.assert_array_equal(Outline.of(mask).mask(), mask)


def test_heights_are_the_columns_sums():
    mask = blobs(0)
    np.testing.assert_array_equal(Outline.of(mask).heights(), mask.sum(axis=0))


def test_an_empty_mask_has_no_heights():
    assert not Outline.of(np.zeros((5, 4), bool)).heights().any()


def test_a_mirrored_outline_is_of_the_mirrored_mask():
    mask = blobs(0)
    np.testing.assert_array_equal(Outline.of(mask).mirrored().mask(), mask[:, ::-1])


@pytest.mark.parametrize("shape", [(120, 80), (421, 301), (433, 280), (960, 999)])
@pytest.mark.parametrize("seed", range(5))
def test_an_enlarged_outline_is_of_the_enlarged_mask(seed, shape):
    small = blobs(seed)
    size = shape[::-1]
    enlarged = cv2.resize(small.astype(np.float32), size, interpolation=cv2.INTER_LINEAR) >= 0.5
    np.testing.assert_array_equal(Outline.of_enlarged(small, shape).mask(), enlarged)


def test_shares_are_the_averages_of_larger_pixels():
    mask = blobs(1)
    shares = Outline.of(mask).shares((0, 0), (12, 10), (5, 4))
    np.testing.assert_allclose(shares, mask.reshape(12, 5, 10, 4).mean(axis=(1, 3)), atol=1e-9)


def test_shares_count_a_pixel_by_the_part_that_lies_in_a_larger_one():
    shares = Outline.of(np.ones((3, 3), bool)).shares((0, 0), (2, 2), (1.5, 1.5))
    np.testing.assert_array_equal(shares, np.ones((2, 2)))
    mask = np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]], bool)  # a quarter of it in each
    shares = Outline.of(mask).shares((0, 0), (2, 2), (1.5, 1.5))
    np.testing.assert_allclose(shares, np.full((2, 2), 0.25 / 1.5**2), atol=1e-9)


def test_shares_begin_at_the_corner_and_are_zero_beyond_the_mask():
    mask = np.ones((4, 3), bool)
    np.testing.assert_array_equal(Outline.of(mask).shares((-2, 1), (4, 2), (2, 2)), [[0, 0], [1, 0], [1, 0], [0, 0]])


def test_half_a_pixel_is_a_share_of_exactly_half():
    mask = np.zeros((24, 24), bool)
    mask[:, :6], mask[:, 12:18] = True, True
    np.testing.assert_array_equal(Outline.of(mask).shares((0, 0), (2, 2), (12, 12)), np.full((2, 2), 0.5))
