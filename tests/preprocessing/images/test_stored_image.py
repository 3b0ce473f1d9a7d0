"""Stored images have the pixels of whole ones; area averages, which are made in strips, those of OpenCV."""

import cv2
import numpy as np
import pytest

from preprocessing.images import stored_image
from preprocessing.images.stored_image import StoredImage, averages, counts_of, pixels_of


def stored(dtype: str, height: int = 100, width: int = 60) -> StoredImage:
    """Random integers and a random grey level for each."""
    rng = np.random.default_rng(0)
    levels = rng.random(2 ** (8 * np.dtype(dtype).itemsize), np.float32)
    return StoredImage(rng.integers(0, len(levels), (height, width)).astype(dtype), levels)


def resized(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_AREA)


@pytest.mark.parametrize("by_opencv", [True, False])
@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_pixels_are_the_levels_of_the_stored_values(dtype, by_opencv, monkeypatch):
    if not by_opencv:
        monkeypatch.setattr(stored_image, "_opencv_looks_up_16_bits", lambda: False)
    image = stored(dtype)
    np.testing.assert_array_equal(image.pixels(), image.levels[image.stored])


@pytest.mark.parametrize("by_opencv", [True, False])
def test_parts_and_mirror_images_are_of_the_pixels(by_opencv, monkeypatch):
    if not by_opencv:
        monkeypatch.setattr(stored_image, "_opencv_looks_up_16_bits", lambda: False)
    image = stored("u2")
    part = image[10:50][:, ::-1][:, 5:]
    assert part.shape == (40, 55)
    np.testing.assert_array_equal(part.pixels(), image.pixels()[10:50, ::-1][:, 5:])


@pytest.mark.parametrize("dtype", ["u1", "i1", "<u2", ">u2", "<i2", ">i2"])
def test_signed_values_and_either_byte_order_are_looked_up(dtype):
    values = np.array([[3, 100, 7]] if "u" in dtype else [[-3, 100, -120]]).astype(dtype)
    first = int(values.min())
    levels = (np.arange(first, 101) + 200) / np.float32(512)
    np.testing.assert_array_equal(StoredImage.of(values, levels, first).pixels(), (values.astype(int) + 200) / 512)


@pytest.mark.parametrize("first", [0, 40])
@pytest.mark.parametrize("white", [255, 4095, 65535])
def test_values_over_the_white_one_are_divided_instead_of_looked_up(first, white):
    levels = (np.arange(first, white + 1) / white).astype(np.float32)
    values = np.random.default_rng(0).integers(first, white + 1, (30, 20)).astype(np.uint16)
    image = StoredImage.of(values, levels, first)
    assert image.divisor == white
    np.testing.assert_array_equal(image.pixels(), image.levels[values])


@pytest.mark.parametrize("levels", [np.linspace(1, 0, 256), np.linspace(0, 1, 256) ** 2, np.zeros(256)], ids=str)
def test_other_levels_are_looked_up(levels):
    assert StoredImage.of(np.zeros((3, 2), np.uint8), levels.astype(np.float32), 0).divisor == 0


@pytest.mark.parametrize("as_stored", [True, False])
@pytest.mark.parametrize("size", [(50, 30), (33, 20), (37, 23), (100, 60), (25, 17), (99, 6), (7, 17)], ids=str)
def test_averages_are_opencvs(size, as_stored):
    image = stored("u2")
    image = image if as_stored else image.pixels()
    np.testing.assert_allclose(averages(image, size), resized(pixels_of(image), size), atol=1e-6)


@pytest.mark.parametrize("size", [(32, 16), (27, 13)], ids=["whole factors", "others"])
@pytest.mark.parametrize("columns", [1, 7, 12])
def test_averages_of_a_frame_are_opencvs(size, columns):
    image, frame = stored("u2"), (160, 80)
    framed = np.zeros(frame, np.float32)
    framed[30:130, :60] = image.pixels()
    found = averages(image, size, frame, top=30, columns=columns)
    np.testing.assert_allclose(found, resized(framed, size)[:, :columns], atol=1e-6)


@pytest.mark.parametrize("frame", [(150, 80), (160, 79), (101, 61), (150, 63)], ids=str)
@pytest.mark.parametrize("size", [(32, 16), (50, 61), (100, 60)], ids=str)
@pytest.mark.parametrize("columns", [1, 5, 16])
def test_averages_of_frames_that_hardly_shrink_or_shrink_wholly_one_way_are_opencvs(frame, size, columns):
    image = stored("u2")
    framed = np.zeros(frame, np.float32)
    framed[1:101, :60] = image.pixels()
    found = averages(image, size, frame, top=1, columns=columns)
    np.testing.assert_allclose(found, resized(framed, size)[:, :columns], atol=1e-6)


def test_averages_of_few_rows_are_opencvs():
    image = stored("u2")[:3]
    framed = np.zeros((160, 60), np.float32)
    framed[70:73] = image.pixels()
    np.testing.assert_allclose(averages(image, (20, 10), (160, 60), top=70), resized(framed, (20, 10)), atol=1e-6)


@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_every_value_is_counted(dtype):
    values = stored(dtype).stored
    np.testing.assert_array_equal(
        counts_of(values[:, ::-2]), np.bincount(values[:, ::-2].ravel(), minlength=len(stored(dtype).levels))
    )


def test_averages_of_a_mirrored_image_are_opencvs():
    image = stored("u2")
    mirrored = resized(image.pixels()[:, ::-1].copy(), (37, 23))
    np.testing.assert_allclose(averages(image[:, ::-1], (37, 23)), mirrored, atol=1e-6)
