"""Folders of mask images."""

import cv2
import numpy as np
import pytest

from generation.sources import MaskSource
from preprocessing.shards import DataError


@pytest.mark.parametrize(
    ("columns", "reason"), [(slice(8), "has no background: set"), (slice(2, 6), "does not touch the chest wall")]
)
def test_a_mask_that_is_no_breast_is_named(tmp_path, columns, reason):
    mask = np.zeros((16, 8), np.uint8)
    mask[:, columns] = 255
    cv2.imwrite(str(tmp_path / "wrong.png"), mask)
    with pytest.raises(DataError, match=f"wrong.png: {reason}"):
        MaskSource(16, 8, tmp_path)[0]


def test_masks_are_found_in_every_format_that_preparation_takes(tmp_path):
    mask = np.zeros((16, 8), np.uint8)
    mask[:, :4] = 255
    for suffix in ("bmp", "png", "tif"):
        cv2.imwrite(str(tmp_path / f"mask.{suffix}"), mask)
    (tmp_path / ".hidden.png").write_bytes(b"")
    source = MaskSource(16, 8, tmp_path)
    assert [file.name for file in source.files] == ["mask.bmp", "mask.png", "mask.tif"] and source[0].mask.any()
