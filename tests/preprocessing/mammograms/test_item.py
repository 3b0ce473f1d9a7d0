"""One mammogram as an item of a dataset."""

import numpy as np

from preprocessing.mammograms.item import mammogram_item
from preprocessing.phantoms.mammogram import mammogram_phantom
from preprocessing.shards import LEVELS


def test_an_item_has_every_level_rounded_once():
    image, mask, _ = mammogram_phantom(3)
    item = mammogram_item(image, mask, subject="a")
    for height, width in LEVELS:
        areas = image.reshape(height, 512 // height, width, 256 // width).mean((1, 3), dtype=np.float64)
        share = mask.reshape(height, 512 // height, width, 256 // width).mean((1, 3))
        assert np.abs(item[f"image/{height}x{width}"] - areas * 65535).max() < 0.51
        np.testing.assert_array_equal(item[f"mask/{height}x{width}"], share >= 0.5)
