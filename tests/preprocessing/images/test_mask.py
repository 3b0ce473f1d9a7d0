"""Masks resized: a pixel belongs to the mask where half of its area does."""

import numpy as np
import pytest

from preprocessing.images.mask import mask_of, resize_mask


def test_half_of_a_pixel_is_in_the_mask_and_less_is_not():
    np.testing.assert_array_equal(mask_of(np.array([0.49, 0.5, 1])), [False, True, True])


def test_a_smaller_mask_is_where_half_of_the_area_is():
    mask = np.array([[1, 1, 1, 0], [0, 0, 0, 0]], bool)
    np.testing.assert_array_equal(resize_mask(mask, (1, 2)), [[True, False]])


@pytest.mark.parametrize("size", [(4, 4), (9, 5), (2, 3)])
def test_a_resized_mask_is_boolean_and_of_the_size(size):
    resized = resize_mask(np.ones((4, 4), bool), size)
    assert resized.dtype == bool and resized.shape == size and resized.all()
