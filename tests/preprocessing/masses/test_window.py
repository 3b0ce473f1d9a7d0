"""The window around a lesion, and its contrast."""

import cv2
import numpy as np
import pytest
from contrast import undo_contrast

from preprocessing.images.image import UnusableImage
from preprocessing.images.stored_image import StoredImage
from preprocessing.masses.lesion import Box, box_of
from preprocessing.masses.window import cut_window, normalise_contrast


def ramp(height: int, width: int) -> np.ndarray:
    """Every pixel tells its place: columns in steps of 1/1000, rows of 1/100."""
    y, x = np.mgrid[:height, :width]
    return (x / 1000 + y / 100).astype(np.float32)


def test_window_is_the_box_with_context():
    window = cut_window(ramp(50, 50), Box(20, 22, 8, 4), context=1.5, size=12)
    np.testing.assert_allclose(window, ramp(50, 50)[18:30, 18:30], atol=1e-6)


def test_window_at_the_edge_is_moved_inside_the_film():
    window = cut_window(ramp(50, 50), Box(0, 44, 6, 6), context=2, size=12)
    np.testing.assert_allclose(window, ramp(50, 50)[38:, :12], atol=1e-6)


def test_box_that_is_the_whole_image_gives_the_image_whatever_the_context():
    image = np.random.default_rng(0).random((64, 64), np.float32)
    np.testing.assert_array_equal(cut_window(image, Box(0, 0, 64, 64), context=3), image)


def test_box_longer_than_the_film_is_filled_with_its_mirror_image():
    image = ramp(4, 8)
    window = cut_window(image, Box(0, 0, 8, 4), size=8)
    expected = np.vstack([image[1::-1], image, image[:1:-1]])
    np.testing.assert_allclose(window, expected, atol=1e-6)


def test_large_window_is_averaged_by_area():
    image = np.random.default_rng(0).random((128, 128), np.float32)
    expected = image.reshape(64, 2, 64, 2).mean((1, 3))
    np.testing.assert_allclose(cut_window(image, Box(0, 0, 128, 128)), expected, atol=1e-6)


def test_a_stored_image_gives_the_window_of_its_pixels():
    levels = np.linspace(0, 1, 256, dtype=np.float32)
    image = StoredImage(np.random.default_rng(0).integers(0, 256, (90, 70), np.uint8), levels)
    box = Box(0, 10, 60, 80)
    np.testing.assert_array_equal(cut_window(image, box), cut_window(image.pixels(), box))


def test_a_box_whose_square_would_fill_the_memory_is_refused():
    image = np.zeros((1, 20_000), np.float32)
    with pytest.raises(UnusableImage, match="box of 20000 x 1 pixels: too large"):
        cut_window(image, Box(0, 0, 20_000, 1))


@pytest.mark.parametrize("box", [Box(-1, 0, 5, 5), Box(46, 0, 5, 5), Box(0, 46, 5, 5), Box(90, 90, 5, 5)])
def test_box_outside_the_image_is_refused(box):
    with pytest.raises(UnusableImage, match="box outside the image, which is 50 x 50 pixels"):
        cut_window(ramp(50, 50), box)


@pytest.mark.parametrize("box", [Box(5, 5, 0, 5), Box(5, 5, 5, -2)])
def test_empty_box_is_refused(box):
    with pytest.raises(UnusableImage, match="empty box"):
        cut_window(ramp(50, 50), box)


def test_box_of_a_mask():
    mask = np.zeros((20, 30), bool)
    mask[3:7, 10:21] = True
    assert box_of(mask) == Box(10, 3, 11, 4)


# --------------------------------------------------------------------------------------- contrast


def faint(seed: int = 0) -> np.ndarray:
    """A window of low contrast with one bright and one dark speck."""
    window = np.float32(0.5) + np.float32(0.1) * np.random.default_rng(seed).random((64, 64), np.float32)
    window[3, 4], window[5, 6] = 1, 0
    return window


def test_normalised_window_uses_the_whole_range():
    window = np.linspace(0.3, 0.4, 64 * 64, dtype=np.float32).reshape(64, 64)
    stored, low, high = normalise_contrast(window)
    # Of an even ramp from 0.3 to 0.4, 0.4 percent lie below 0.3004.
    assert (low, high) == (pytest.approx(0.3004, abs=1e-5), pytest.approx(0.3996, abs=1e-5))
    assert stored[32, 0] == pytest.approx(0.5, abs=1e-3)


def test_specks_neither_set_the_range_nor_leave_it():
    stored, low, high = normalise_contrast(faint())
    assert 0.5 <= low < 0.501 and 0.599 < high <= 0.6
    assert stored[3, 4] == 1 and stored[5, 6] == 0


def test_window_of_one_value_but_for_a_speck_is_stretched_over_the_speck():
    window = np.full((64, 64), 0.5, np.float32)
    window[0, 0] = 0.75
    stored, low, high = normalise_contrast(window)
    assert (low, high) == (0.5, 0.75) and stored[0, 0] == 1 and stored[1:].max() == 0


def test_normalising_does_not_see_brightness_and_contrast_of_the_film():
    window = faint()
    np.testing.assert_allclose(normalise_contrast(0.3 + window / 4)[0], normalise_contrast(window)[0], atol=1e-5)


def test_normalising_real_masses_clips_less_than_a_hundredth(shared_data):
    for path in sorted((shared_data / "cbis-masses" / "images").glob("*.png"))[::10]:
        window = np.float32(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) / 255)
        clipped = np.abs(undo_contrast(*normalise_contrast(window)) - window) > 1e-5
        assert clipped.mean() < 0.01
