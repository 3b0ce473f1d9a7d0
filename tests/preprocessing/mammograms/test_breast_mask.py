"""Breast masks: on drawn images, and on real ones where at hand."""

import tracemalloc

import cv2
import numpy as np
import pytest
from drawn_breast import components, drawn_film, iou

from preprocessing.images.image import UnusableImage
from preprocessing.images.outline import Outline
from preprocessing.images.read import read_image
from preprocessing.mammograms.breast_mask import breast_mask, find_breast, otsu_threshold
from preprocessing.mammograms.morphology import dilated
from preprocessing.mammograms.standardise import orient, standardise
from preprocessing.phantoms.mammogram import mammogram_phantom


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


def with_skin(pixels: np.ndarray, breast: np.ndarray, width: int, brightness: float) -> np.ndarray:
    """Put dim skin of a width around the breast; where that is."""
    skin = dilated(breast, width) & ~breast
    pixels[skin] += brightness - 0.03
    return skin


@pytest.mark.parametrize("brightness", [0.08, 0.1])  # of a breast of 0.5 on a film of 0.03
def test_film_takes_dim_skin_of_usual_width(brightness):
    pixels, breast = drawn_film()
    skin = with_skin(pixels, breast, 6, brightness)
    assert breast_mask(pixels)[skin].mean() > 0.8


def test_film_leaves_a_wide_dim_halo_out():
    pixels, breast = drawn_film()
    with_skin(pixels, breast, 40, 0.08)
    assert iou(breast_mask(pixels), breast) > 0.93


@pytest.mark.parametrize("shade", [0, 0.035])  # by which a third of the film is brighter
@pytest.mark.parametrize("base", [0.06, 0.12])
def test_film_base_that_padding_surrounds_is_not_breast(base, shade):
    pixels, breast = drawn_film()
    pixels += base - 0.03
    pixels[420:] += shade
    border = ((60, 60), (0, 200))
    padded, breast = (np.pad(layer, border) for layer in (pixels, breast))
    assert iou(breast_mask(padded), breast) > 0.95


@pytest.mark.parametrize("fat", [0.08, 0.2])  # of a muscle of 0.5, on exact zeros
def test_film_takes_flat_fat_of_a_digital_image_for_breast(fat):
    pixels, breast = drawn_film()
    depth = cv2.distanceTransform(breast.astype(np.uint8), cv2.DIST_L2, 5)
    depth[:, 0] = depth[:, 1]
    pixels[:] = np.where(breast, fat * np.clip(depth / 40, 0, 1), 0)
    pixels[150:300, :60] = 0.5
    assert iou(breast_mask(pixels), breast) > 0.9


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
    with pytest.raises(UnusableImage, match=reason):
        breast_mask(np.full((64, 32), grey, np.float32), method)


def test_an_image_of_noise_is_unusable():
    with pytest.raises(UnusableImage, match="no dark background"):
        breast_mask(np.random.default_rng(0).random((320, 160), np.float32))


def test_a_film_with_a_marker_alone_is_unusable():
    pixels = marker("RCC", (100, 90)).astype(np.float32)
    with pytest.raises(UnusableImage, match="no breast"):
        breast_mask(pixels)


@pytest.mark.parametrize("shape", [(1, 256), (3, 4000), (20, 321)], ids=str)
def test_a_strip_is_refused_before_it_is_enlarged(shape):
    strip = np.linspace(0, 1, shape[0] * shape[1], dtype=np.float32).reshape(shape)
    tracemalloc.start()
    try:
        with pytest.raises(UnusableImage, match=f"the image is {shape[0]} x {shape[1]} pixels"):
            breast_mask(strip)
        assert tracemalloc.get_traced_memory()[1] < 1e6
    finally:
        tracemalloc.stop()


def test_an_unknown_method_is_named():
    with pytest.raises(ValueError, match="'triangle'"):
        breast_mask(np.eye(8, dtype=np.float32), "triangle")


# ------------------------------------------------------------------------------------- real films


def test_masks_agree_with_the_hand_labels_of_66_films(shared_data):
    agreement = []
    for film in sorted((shared_data / "ddsm-tissue66").glob("*/fgt_seg/*.png")):
        labels = film.parents[1] / "fgt_seg_labels" / f"{film.stem}_LI.png"
        pixels = cv2.imread(str(film), cv2.IMREAD_GRAYSCALE).astype(np.float32) / 255
        by_hand = cv2.imread(str(labels), cv2.IMREAD_GRAYSCALE) != 64
        agreement.append(iou(breast_mask(pixels), by_hand))
    assert len(agreement) == 66
    assert np.mean(agreement) >= 0.96 and min(agreement) >= 0.88


@pytest.mark.parametrize("number", range(8))
def test_a_scanned_film_becomes_one_component_at_the_chest_wall(mammograms_dicoms, number):
    pixels = read_image(mammograms_dicoms[number]).pixels
    pixels, mask, _ = orient(pixels, breast_mask(pixels))
    image, small = standardise(pixels, mask)
    assert components(mask) == components(small) == 1
    border = int(mask.any(axis=0).argmax())  # a white border at the chest wall is no breast
    assert border <= 0.03 * mask.shape[1] and small[:, 0].any()
    assert 0.1 < mask.mean() < 0.6
    far_right = mask[:, -mask.shape[1] // 4 :]  # where these films' markers and borders are
    assert not far_right.any()
    assert image.min() == 0 and image.max() <= 1
