"""Breast masks, orientation, standard size: on drawn films, and on real ones where at hand."""

import cv2
import numpy as np
import pytest

from preprocessing.images.read import UnusableFilm, read_film
from preprocessing.mammograms.breast_mask import (
    breast_mask,
    edge_map,
    find_breast,
    orient,
    otsu_threshold,
    pyramid,
    standardise,
)
from preprocessing.mammograms.outline import Outline
from preprocessing.phantoms.mammogram import mammogram_phantom


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def components(mask: np.ndarray) -> int:
    return cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)[0] - 1


def drawn_film(height: int = 640, width: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Half an ellipse of noisy tissue at the left edge, on a dark noisy background."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:height, :width]
    breast = ((y - height / 2) / (0.35 * height)) ** 2 + (x / (0.6 * width)) ** 2 < 1
    pixels = np.where(breast, 0.5, 0.03) + rng.normal(0, 0.01, breast.shape)
    return np.clip(pixels, 0, 1).astype(np.float32), breast


def marker(text: str, position: tuple[int, int]) -> np.ndarray:
    """Where a film of the drawn size shows the letters."""
    letters = np.zeros((640, 400), np.uint8)
    return cv2.putText(letters, text, position, cv2.FONT_HERSHEY_SIMPLEX, 1.6, 1, thickness=8) > 0


def with_marker_and_borders(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The film with "LCC" in a corner and white strips on three sides, and where these are."""
    spoiled = pixels.copy()
    spoiled[marker("LCC", (260, 90))] = 1
    spoiled[:12], spoiled[-18:], spoiled[:, :8] = 0.95, 0.95, 0.95
    return spoiled, spoiled != pixels


# ------------------------------------------------------------------------------------ drawn films


def test_film_finds_a_drawn_breast():
    pixels, breast = drawn_film()
    assert iou(breast_mask(pixels), breast) > 0.97


def test_film_leaves_marker_and_borders_out():
    pixels, breast = drawn_film()
    spoiled, artefacts = with_marker_and_borders(pixels)
    mask = breast_mask(spoiled)
    assert not (mask & artefacts).any()
    assert iou(mask, breast & ~artefacts) > 0.95


def test_film_leaves_a_tilted_border_out_that_ends_in_the_middle_of_an_edge():
    pixels, breast = drawn_film()
    cv2.fillPoly(pixels, [np.array([[0, 0], [220, 0], [220, 4], [0, 14]])], 0.95)
    mask = breast_mask(pixels)
    assert not mask[:15].any() and iou(mask, breast) > 0.97


def test_film_leaves_a_border_out_that_shows_over_bright_muscle_alone():
    pixels, breast = drawn_film()
    pixels[:300, :80], breast[:300, :80] = 0.75, True  # muscle up to the film's upper edge
    pixels[:12, :90] = 0.9
    mask = breast_mask(pixels)
    assert not mask[:12].any() and mask[24:, :80].any(axis=0).all()
    assert iou(mask, breast) > 0.95


def test_film_leaves_a_border_out_that_a_dark_line_parts_from_the_edge():
    pixels, breast = drawn_film()
    pixels[:300, :80], breast[:300, :80] = 0.75, True
    pixels[:14, :90], pixels[:3] = 0.95, 0.02
    assert not breast_mask(pixels)[:14].any()


def test_film_keeps_muscle_that_only_brightens_towards_the_edge():
    pixels, breast = drawn_film()
    shading = np.linspace(0.95, 0.6, 300, dtype=np.float32)[:, np.newaxis]
    pixels[:300, :80], breast[:300, :80] = shading, True
    assert breast_mask(pixels)[0, 10:60].all()


def test_film_leaves_glow_along_the_chest_wall_out():
    pixels, breast = drawn_film()
    pixels += (0.3 * np.exp(-np.arange(pixels.shape[1]) / 12)).astype(np.float32)
    mask = breast_mask(np.clip(pixels, 0, 1))
    assert not mask[:50].any() and not mask[-50:].any()
    assert iou(mask, breast) > 0.95


def test_film_works_on_a_digital_image_with_exactly_zero_background():
    pixels, breast = drawn_film()
    assert iou(breast_mask(pixels * breast), breast) > 0.97


def test_film_fills_holes():
    pixels, breast = drawn_film()
    pixels[300:340, 60:100] = 0
    assert breast_mask(pixels)[300:340, 60:100].all()


def test_film_mask_is_one_component():
    pixels, _ = drawn_film()
    pixels[20:80, 300:390] = 0.9
    assert components(breast_mask(pixels)) == 1


def test_film_mask_of_a_mirrored_film_is_the_mirrored_mask():
    pixels, _ = with_marker_and_borders(drawn_film()[0])
    assert iou(breast_mask(pixels[:, ::-1])[:, ::-1], breast_mask(pixels)) > 0.999


@pytest.mark.parametrize("factor", [0.05, 0.5])
def test_film_mask_does_not_depend_on_brightness(factor):
    pixels, _ = with_marker_and_borders(drawn_film()[0])
    assert iou(breast_mask(pixels * np.float32(factor)), breast_mask(pixels)) > 0.999


def test_film_mask_hardly_depends_on_resolution():
    pixels, _ = drawn_film()
    large = cv2.resize(pixels, None, fx=2.5, fy=2.5, interpolation=cv2.INTER_LINEAR)
    shrunk = cv2.resize(breast_mask(large).astype(np.uint8), pixels.shape[::-1])
    assert iou(shrunk > 0, breast_mask(pixels)) > 0.98


@pytest.mark.parametrize("seed", range(4))
def test_film_finds_the_breast_of_a_phantom(seed):
    image, breast, _ = mammogram_phantom(seed)
    assert iou(breast_mask(image), breast) > 0.9


def test_otsu_is_the_plain_threshold():
    pixels = np.array([[0.1, 0.1, 0.1, 0.9], [0.1, 0.9, 0.1, 0.1]], np.float32)
    np.testing.assert_array_equal(breast_mask(pixels, "otsu"), pixels > 0.5)


def test_otsu_thresholds_are_scikit_images():
    from skimage.filters import threshold_otsu

    for seed in range(5):
        image = np.random.default_rng(seed).gamma(seed + 1, size=(60, 40)).astype(np.float32)
        assert otsu_threshold(np.sort(image, axis=None)) == threshold_otsu(image)


def test_a_large_films_breast_is_found_as_an_outline_of_its_mask():
    pixels, _ = with_marker_and_borders(drawn_film()[0])
    large = cv2.resize(pixels, (1123, 1797), interpolation=cv2.INTER_LINEAR)
    found = find_breast(large)
    assert isinstance(found, Outline)
    np.testing.assert_array_equal(found.mask(), breast_mask(large))
    assert components(found.mask()) == 1


@pytest.mark.parametrize("method", ["film", "otsu"])
@pytest.mark.parametrize(
    ("grey", "reason"), [(0, "all black"), (1, "all white"), (0.4, "one grey"), (np.nan, "finite")]
)
def test_an_image_without_contrast_is_unusable(method, grey, reason):
    with pytest.raises(UnusableFilm, match=reason):
        breast_mask(np.full((64, 32), grey, np.float32), method)


def test_an_image_of_noise_is_unusable():
    with pytest.raises(UnusableFilm, match="no dark background"):
        breast_mask(np.random.default_rng(0).random((320, 160), np.float32))


def test_a_film_with_a_marker_alone_is_unusable():
    pixels = marker("RCC", (100, 90)).astype(np.float32)
    with pytest.raises(UnusableFilm, match="no breast"):
        breast_mask(pixels)


def test_an_unknown_method_is_named():
    with pytest.raises(ValueError, match="'triangle'"):
        breast_mask(np.eye(8, dtype=np.float32), "triangle")


# ---------------------------------------------------------------------- orientation, standard size


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
        with pytest.raises(UnusableFilm, match="mask is empty"):
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


# --------------------------------------------------------------------------------- pyramid, edges


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


def test_edge_map_of_a_step_inside_the_breast():
    image = np.zeros((5, 6), np.float32)
    image[:, 3:] = 0.25  # Sobel: 4 · 0.25 = 1 on both sides of the step, and √(1 / 4) = 0.5
    edges = edge_map(image, np.ones((5, 6), bool))
    assert edges.shape == (5, 6, 1) and edges.dtype == np.float32
    np.testing.assert_allclose(edges[2, :, 0], [0.5, 0.5, 0.75, 0.75, 0.5, 0.5])


def test_edge_map_sees_both_directions_alike():
    image = np.random.default_rng(0).random((9, 9), np.float32)
    mask = np.ones((9, 9), bool)
    turned = edge_map(image.T, mask)[..., 0].T
    np.testing.assert_allclose(turned, edge_map(image, mask)[..., 0], atol=1e-6)


def test_edge_map_shows_no_skin_line_and_nothing_outside():
    mask = np.zeros((9, 9), bool)
    mask[2:7, :5] = True
    edges = edge_map(mask * np.float32(0.8), mask)[..., 0]
    np.testing.assert_array_equal(edges, mask * np.float32(0.5))


# ------------------------------------------------------------------------------------- real films


def test_masks_agree_with_the_hand_labels_of_66_films(shared_data):
    agreement = []
    for film in sorted((shared_data / "ddsm-tissue66").glob("*/fgt_seg/*.png")):
        labels = film.parents[1] / "fgt_seg_labels" / f"{film.stem}_LI.png"
        pixels = cv2.imread(str(film), cv2.IMREAD_GRAYSCALE).astype(np.float32) / 255
        by_hand = cv2.imread(str(labels), cv2.IMREAD_GRAYSCALE) != 64
        agreement.append(iou(breast_mask(pixels), by_hand))
    assert len(agreement) == 66
    assert np.mean(agreement) >= 0.95 and min(agreement) >= 0.85


@pytest.mark.parametrize("number", range(8))
def test_a_scanned_film_becomes_one_component_at_the_chest_wall(mammograms_dicoms, number):
    pixels = read_film(mammograms_dicoms[number]).pixels
    pixels, mask, _ = orient(pixels, breast_mask(pixels))
    image, small = standardise(pixels, mask)
    assert components(mask) == components(small) == 1
    border = int(mask.any(axis=0).argmax())  # a white border at the chest wall is no breast
    assert border <= 0.03 * mask.shape[1] and small[:, 0].any()
    assert 0.1 < mask.mean() < 0.6
    far_right = mask[:, -mask.shape[1] // 4 :]  # where these films' markers and borders are
    assert not far_right.any()
    assert image.min() == 0 and image.max() <= 1
