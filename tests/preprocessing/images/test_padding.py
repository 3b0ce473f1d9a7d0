"""Padding of DICOM mammograms: dark around the image, tissue inside it."""

import numpy as np
import pytest
from dicom_files import header, save

from preprocessing.images.dicom import read_dicom
from preprocessing.images.image import UnusableImage


def breast() -> np.ndarray:
    """Twelve bits, 60 x 40: padding of 0 on the right, a breast of 1000 to 2000 that reaches the left edge."""
    y, x = np.mgrid[:60, :40]
    stored = np.where((x / 28) ** 2 + ((y - 30) / 25) ** 2 < 1, 1000 + 25 * x, 0)
    return stored.astype(np.uint16)


def shown(stored, folder, bits=12, **elements):
    film = read_dicom(save(header(stored, bits, **elements), folder))
    return film.pixels, film.doubts


@pytest.mark.parametrize("limit", [{}, {"PixelPaddingRangeLimit": 5}])
def test_padding_around_the_breast_is_dark_and_inside_it_is_tissue(limit, tmp_path):
    stored, hole = breast(), (slice(25, 35), slice(5, 12))
    around = stored == 0
    stored[hole] = np.arange(70).reshape(10, 7) % 6 if limit else 0
    pixels, doubts = shown(stored, tmp_path, PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=0, **limit)
    assert (pixels[around] == 0).all()
    np.testing.assert_allclose(pixels[~around], 1 - stored[~around] / 4095, atol=1e-6)
    assert doubts == ["values of padding inside the image: taken as tissue"]


def test_padding_that_is_only_around_the_breast_is_no_doubt(tmp_path):
    stored = breast()
    pixels, doubts = shown(stored, tmp_path, PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=0)
    assert (pixels[stored == 0] == 0).all() and (pixels[stored > 0] > 0.5).all() and not doubts


def test_single_pixels_with_the_value_of_padding_are_tissue_without_a_doubt(tmp_path):
    stored = np.kron(breast(), np.ones((4, 4), np.uint16))
    stored[120, 40] = 0  # of 38,400
    pixels, doubts = shown(stored, tmp_path, PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=0)
    assert pixels[120, 40] == 1 and not doubts


def test_padding_of_the_greatest_value_is_dark_and_saturated_tissue_is_white(tmp_path):
    stored = breast()
    around = stored == 0
    stored[around], stored[28:32, 4:8] = 4095, 4095
    pixels, _ = shown(stored, tmp_path, PixelPaddingValue=4095)
    assert (pixels[around] == 0).all() and (pixels[28:32, 4:8] == 1).all()


def test_an_image_of_eight_bits_without_a_spare_value(tmp_path):
    stored = np.arange(256, dtype=np.uint8)[::-1].repeat(10).reshape(64, 40)
    stored[:, -1], stored[20:24, 10:14] = 0, 0
    pixels, _ = shown(stored, tmp_path, 8, PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=0)
    assert (pixels[:, -1] == 0).all() and (pixels[20:24, 10:14] == 1).all()


def test_signed_padding_inside_the_breast_is_tissue(tmp_path):
    stored = np.where(breast() > 0, breast().astype(np.int16) - 1500, -2000).astype(np.int16)
    around = stored == -2000
    stored[28:32, 4:8] = -2000
    elements = {"PhotometricInterpretation": "MONOCHROME1", "WindowCenter": 0, "WindowWidth": 4096}
    pixels, _ = shown(stored, tmp_path, PixelPaddingValue=-2000, **elements)
    assert (pixels[around] == 0).all() and (pixels[28:32, 4:8] > 0.98).all()


def test_an_image_of_nothing_but_padding_and_black_is_refused(tmp_path):
    stored = np.where(breast() > 0, 4095, 0).astype(np.uint16)
    with pytest.raises(UnusableImage, match="every pixel has the same value"):
        shown(stored, tmp_path, PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=0)
