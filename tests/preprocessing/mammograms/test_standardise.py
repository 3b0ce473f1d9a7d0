"""Orientation, standard size, pyramid."""

import tracemalloc

import numpy as np
import pytest
from drawn_breast import components, drawn_film

from preprocessing.images.image import UnusableImage
from preprocessing.images.outline import Outline
from preprocessing.images.stored_image import StoredImage
from preprocessing.mammograms.standardise import orient, pyramid, standardise


@pytest.mark.parametrize("shape", [(4096, 2048), (4095, 2047), (4096, 2047), (3000, 2049)], ids=str)
def test_a_large_image_and_its_mask_are_not_copied(shape):
    rng = np.random.default_rng(0)
    image = StoredImage(rng.integers(0, 65536, shape, np.uint16), np.linspace(0, 1, 65536, dtype=np.float32))
    breast = np.indices(shape)[1] < shape[1] // 2
    tracemalloc.start()
    try:
        small, mask = standardise(image, breast)
        assert tracemalloc.get_traced_memory()[1] < image.stored.nbytes
    finally:
        tracemalloc.stop()
    assert small[mask].mean() == pytest.approx(0.5, abs=0.01)


def test_orient_leaves_a_chest_wall_on_the_left_alone():
    pixels, breast = drawn_film()
    turned, mask, flipped = orient(pixels, breast)
    assert not flipped
    np.testing.assert_array_equal(turned, pixels)
    np.testing.assert_array_equal(mask, breast)


def test_orient_mirrors_a_chest_wall_on_the_right():
    pixels, breast = drawn_film()
    turned, mask, flipped = orient(pixels[:, ::-1], breast[:, ::-1])
    assert flipped
    np.testing.assert_array_equal(turned, pixels)
    np.testing.assert_array_equal(mask, breast)


def test_orient_needs_no_mask_that_touches_the_edge():
    pixels, breast = drawn_film()
    shifted = np.roll(breast, 30, axis=1)
    assert not orient(pixels, shifted)[2]
    assert orient(pixels, shifted[:, ::-1])[2]


def test_orient_and_standardise_reject_an_empty_mask():
    pixels, breast = drawn_film()
    for function in (orient, standardise):
        with pytest.raises(UnusableImage, match="mask is empty"):
            function(pixels, np.zeros_like(breast))


def test_standardise_pads_a_wide_film_above_and_below_alike():
    _, mask = standardise(np.ones((100, 100), np.float32), np.ones((100, 100), bool), 8, 4)
    np.testing.assert_array_equal(mask.all(axis=1), [0, 0, 1, 1, 1, 1, 0, 0])


def test_standardise_pads_a_narrow_film_on_the_right():
    _, mask = standardise(np.ones((400, 100), np.float32), np.ones((400, 100), bool), 8, 4)
    np.testing.assert_array_equal(mask.all(axis=0), [1, 1, 0, 0])


def test_standardise_cuts_the_border_at_the_chest_wall_off():
    pixels, breast = np.full((200, 110), 0.5, np.float32), np.ones((200, 110), bool)
    pixels[:, :10], breast[:, :10] = 1, False
    image, mask = standardise(pixels, breast, 8, 4, keep_background=True)
    assert mask.all() and (image == 0.5).all()


def test_standardise_averages_areas():
    pixels = np.arange(8 * 4, dtype=np.float32).reshape(8, 4) / 31
    image, _ = standardise(pixels, np.ones((8, 4), bool), 4, 2)
    np.testing.assert_allclose(image, pixels.reshape(4, 2, 2, 2).mean(axis=(1, 3)), atol=1e-6)


def test_standardise_clears_the_background_unless_it_is_to_be_kept():
    pixels, breast = drawn_film()
    cleared, mask = standardise(pixels, breast)
    kept, _ = standardise(pixels, breast, keep_background=True)
    assert (cleared[~mask] == 0).all() and kept[~mask].any()
    np.testing.assert_array_equal(cleared[mask], kept[mask])


def test_standardise_keeps_the_aspect_ratio():
    y, x = np.mgrid[:700, :500]
    disc = (y - 350) ** 2 + (x - 150) ** 2 < 150**2
    _, mask = standardise(disc.astype(np.float32), disc)
    rows, columns = mask.any(axis=1).sum(), mask.any(axis=0).sum()
    assert rows == pytest.approx(columns, rel=0.05)  # a little is cut at the chest wall


def test_standardise_gives_one_component_that_touches_the_left_edge():
    pixels, breast = drawn_film()
    breast[:40, 300:340] = True
    image, mask = standardise(pixels, breast)
    assert image.shape == mask.shape == (512, 256)
    assert image.dtype == np.float32 and mask.dtype == bool
    assert components(mask) == 1 and mask[:, 0].any()


@pytest.mark.parametrize("keep_background", [False, True])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(
    ("height", "width"),
    [(640, 400), (1024, 400), (1537, 512), (640, 384), (1101, 1003), (600, 130)],
    ids=["padded rows", "factor 2", "padded columns", "factor 1.5", "wide", "narrow"],
)
def test_an_outline_gives_the_bits_that_its_mask_gives(height, width, mirrored, keep_background):
    pixels, breast = drawn_film(height, width)
    if mirrored:
        pixels, breast = pixels[:, ::-1], breast[:, ::-1]
    turned, mask, _ = orient(pixels, breast)
    image, small = standardise(turned, mask, keep_background=keep_background)
    turned, outline, flipped = orient(pixels, Outline.of(breast))
    same, alike = standardise(turned, outline, keep_background=keep_background)
    assert flipped == mirrored
    np.testing.assert_array_equal(same, image)
    np.testing.assert_array_equal(alike, small)


def test_a_breast_up_to_the_right_edge_of_a_narrow_film_is_averaged_whole():
    pixels, breast = np.full((1500, 301), 0.5, np.float32), np.ones((1500, 301), bool)
    np.testing.assert_array_equal(standardise(pixels, Outline.of(breast))[0], standardise(pixels, breast)[0])


def test_pyramid_averages_two_by_two():
    image = np.array([[0, 4, 1, 1], [0, 0, 1, 5]], np.float32) / 8
    levels = pyramid(image, [(1, 2), (2, 4)])
    np.testing.assert_array_equal(levels[1, 2], [[1 / 8, 2 / 8]])
    np.testing.assert_array_equal(levels[2, 4], image)


def test_pyramid_of_a_mask_is_the_share_of_the_area():
    mask = np.zeros((4, 4), bool)
    mask[0, :3] = True
    levels = pyramid(mask, [(1, 1), (2, 2)])
    np.testing.assert_array_equal(levels[2, 2], [[0.5, 0.25], [0, 0]])
    assert levels[1, 1].item() == 3 / 16


def test_pyramid_names_a_level_out_of_reach():
    with pytest.raises(ValueError, match=r"\(3, 3\)"):
        pyramid(np.zeros((8, 8)), [(4, 4), (3, 3)])
