"""Outlines of masks: heights, mirror and shares are those of the mask itself."""

import cv2
import numpy as np
import pytest

from preprocessing.outline import Outline


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


def test_shares_are_the_averages_of_stretches_in_a_frame():
    mask = blobs(1, height=40)
    frame = np.zeros((60, 40))  # 10 rows above, 10 below
    frame[10:50] = mask
    shares = Outline.of(mask).shares(top=10, left=0, columns=40, height=12, factor=5)
    np.testing.assert_allclose(shares, frame.reshape(12, 5, 40).mean(axis=1), atol=1e-12)


def test_shares_count_a_pixel_by_the_part_that_lies_in_a_stretch():
    mask = np.ones((3, 1), bool)
    shares = Outline.of(mask).shares(top=1, left=0, columns=1, height=4, factor=1.5)
    np.testing.assert_allclose(shares[:, 0], [0.5 / 1.5, 1, 1 / 1.5, 0])


def test_shares_of_columns_beyond_the_mask_are_zero():
    shares = Outline.of(np.ones((4, 3), bool)).shares(top=0, left=2, columns=3, height=2, factor=2)
    np.testing.assert_array_equal(shares, [[1, 0, 0], [1, 0, 0]])
