"""What is found must look like a breast, and a film in padding like a film."""

import warnings

import cv2
import numpy as np
import pytest
from drawn_breast import drawn_film, iou
from mammogram_files import converted, phantom, write_png

from preprocessing.images.image import UnusableImage
from preprocessing.mammograms.breast_mask import breast_mask
from preprocessing.mammograms.plausibility import check_breast, check_grey_levels
from preprocessing.mammograms.standardise import orient


@pytest.mark.parametrize("number", range(8))
def test_phantoms_are_plausible(number):
    pixels, _ = phantom(number)
    check_grey_levels(pixels)
    assert check_breast(*orient(pixels, breast_mask(pixels))[:2]) == []


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("base", [0, 0.12])
def test_an_inverted_image_is_refused(number, base):
    pixels, mask = phantom(number)
    inverted = 1 - np.where(mask, np.maximum(pixels, base), base).astype(np.float32)
    with pytest.raises(UnusableImage, match="inverted|no dark background|fills the image"):
        check_breast(*orient(inverted, breast_mask(inverted))[:2])


def test_what_lies_in_the_middle_is_no_breast():
    specimen = np.zeros((512, 400), np.float32)
    cv2.ellipse(specimen, (200, 250), (90, 70), 20, 0, 360, 0.6, -1)
    with pytest.raises(UnusableImage, match="does not lie along"):
        check_breast(specimen, specimen > 0)


def test_a_mask_that_reaches_into_a_corner_away_from_the_chest_wall_is_doubtful():
    y, x = np.mgrid[:512, :256]
    breast = x < 120 + 80 * np.exp(-(((y - 300) / 140) ** 2))
    doubts = [check_breast(np.where(mask, 0.3 + x / 1000, 0.02), mask) for mask in (breast, breast | (y < 40))]
    assert [any("corner" in doubt for doubt in found) for found in doubts] == [False, True]


STRIPS = {"at the nipple": (200, 340, 12), "above": (100, 180, 30), "wide": (230, 300, 40), "a nipple": (252, 288, 22)}


@pytest.mark.parametrize("name", STRIPS)
def test_a_strip_of_film_next_to_the_breast_is_doubtful_and_a_nipple_is_not(name):
    first, last, width = STRIPS[name]
    y, x = np.mgrid[:512, :300]
    breast = x < 200 * np.sqrt(np.maximum(0, 1 - ((y - 270) / 220) ** 2))
    strip = (y >= first) & (y < last) & (x < breast[first:last].sum(axis=1).max() + width)
    doubts = [check_breast(np.where(mask, 0.3 + x / 1000, 0.02), mask) for mask in (breast, breast | strip)]
    assert [any("straight edge" in doubt for doubt in found) for found in doubts] == [False, name != "a nipple"]


@pytest.mark.parametrize("slant", [3, 6])
def test_a_film_that_lies_aslant_is_not_doubtful(slant):
    pixels, mask = phantom(1)
    film = np.arange(256)[np.newaxis] >= np.linspace(0, slant, 512)[:, np.newaxis]
    assert not check_breast(pixels, mask & film)


def test_a_breast_that_lies_along_the_upper_edge_is_no_upright_one():
    pixels, mask = phantom(1)
    with pytest.raises(UnusableImage):
        check_breast(*orient(pixels.T, mask.T)[:2])


def test_an_image_of_one_column_is_refused_without_a_warning():
    pixels = np.linspace(0, 1, 256, dtype=np.float32)[:, np.newaxis]
    with warnings.catch_warnings(action="error"), pytest.raises(UnusableImage):
        check_breast(pixels, pixels > 0.5)


def test_a_nearly_black_breast_is_refused():
    pixels, mask = phantom()
    with pytest.raises(UnusableImage, match="not brighter|nearly black"):
        check_breast(pixels / 400, mask)


def test_a_white_breast_is_doubtful():
    pixels, mask = phantom()
    white = np.where(mask, np.minimum(50 * pixels, 1), 0)
    assert check_breast(white, mask) == ["what is bright is nearly all white: look at the window"]


def test_an_image_of_two_breasts_is_doubtful():
    pixels, mask = phantom()
    dark = np.zeros_like(pixels)
    both = np.hstack([pixels, dark, dark, pixels[:, ::-1]])
    doubts = check_breast(both, np.hstack([mask, *[dark > 0] * 3]))
    assert any("two breasts" in doubt for doubt in doubts)


def test_an_mlo_view_upside_down_is_doubtful():
    y, x = np.mgrid[:512, :256]
    mask = x < 12 + 200 * (y / 512) ** 2  # a breast of which hardly anything is above
    pixels = np.where(mask, 0.5 + x / 1000, 0.01).astype(np.float32)
    assert any("upside down" in doubt for doubt in check_breast(pixels, mask, "MLO"))
    assert not any("upside down" in doubt for doubt in check_breast(pixels[::-1], mask[::-1], "MLO"))


LABELS = {"mask": (0, 255), "label map": (0, 1, 2, 3), "levels of tissue": (64, 128, 192, 255)}


@pytest.mark.parametrize("values", LABELS.values(), ids=LABELS)
def test_a_mask_is_no_mammogram(values, tmp_path):
    pixels, mask = phantom()
    parts = np.digitize(pixels, np.quantile(pixels[mask], np.linspace(0, 1, len(values))[1:-1])) + 1
    labels = np.array(values, np.uint8)[np.where(mask, np.minimum(parts, len(values) - 1), 0)]
    write_png(tmp_path / "in/a.png", labels)
    ((_, reason),) = converted(tmp_path / "in", tmp_path).rejected
    assert reason == "has few grey levels: a mask or label map, not a mammogram"


def test_a_compressed_mask_is_no_mammogram(tmp_path):
    _, mask = phantom()
    write_png(tmp_path / "in/a.jpg", np.uint8(cv2.resize(np.float32(mask), (512, 1024)) * 255))
    ((_, reason),) = converted(tmp_path / "in", tmp_path).rejected
    assert "few grey levels" in reason


@pytest.mark.parametrize("base", [0.1, 0.25])
@pytest.mark.parametrize("padding", [(0, 60), (30, 40)])
def test_a_film_whose_base_is_bright_is_told_from_its_padding(base, padding):
    pixels, breast = drawn_film()
    film = np.clip(base + (1 - base) * pixels, 0.02, 1)
    below, right = padding
    size = ((0, below), (0, right))
    assert iou(breast_mask(np.pad(film, size).astype(np.float32)), np.pad(breast, size)) > 0.9
