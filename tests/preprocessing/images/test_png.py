"""Pictures on disk: every grey of 16 bits, masks in black and white, and one clear line for what cannot be written."""

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure

from preprocessing.images.png import write_figure, write_image
from preprocessing.shards import DataError


def test_an_image_keeps_16_bits(tmp_path):
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    write_image(tmp_path / "image.png", levels.astype(np.float32) / 65535)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "image.png"), cv2.IMREAD_UNCHANGED), levels)


def test_a_mask_is_black_and_white_of_8_bits(tmp_path):
    write_image(tmp_path / "mask.png", np.array([[True, False]]))
    written = cv2.imread(str(tmp_path / "mask.png"), cv2.IMREAD_UNCHANGED)
    assert written.dtype == np.uint8 and written.tolist() == [[255, 0]]


def test_a_figure_is_written_and_its_folder_made(tmp_path):
    path = tmp_path / "new" / "figure.png"
    assert write_figure(path, Figure(figsize=(1, 0.5))) == path
    assert cv2.imread(str(path)).shape == (60, 120, 3)


@pytest.mark.parametrize("name", ["file/figure.png", "figure.unknown"], ids=["place", "ending"])
def test_a_figure_that_cannot_be_written_is_named(tmp_path, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=f"--figure {tmp_path / name}: cannot be written"):
        write_figure(tmp_path / name, Figure())
