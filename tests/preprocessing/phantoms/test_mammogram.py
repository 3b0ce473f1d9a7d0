"""Phantoms: reproducible, stored as mammograms are, and with the statistics of breast tissue."""

import json
from itertools import pairwise

import cv2
import numpy as np
import pytest

from preprocessing.phantoms.mammogram import make_phantoms, mammogram_phantom, phantom_mask
from preprocessing.shards import LEVELS, DataError, open_dataset

PATCH = 96  # pixels


@pytest.fixture(scope="module")
def phantoms() -> list[tuple[np.ndarray, np.ndarray, str]]:
    return [mammogram_phantom(seed) for seed in range(40)]


def power_law_exponent(image: np.ndarray, mask: np.ndarray) -> float | None:
    """Slope of the mean periodogram of Hann-windowed patches in the breast (Burgess et al. 2001).

    Fitted over 4 to 24 cycles a patch; None where no patch fits into the breast.
    """
    window = np.outer(np.hanning(PATCH), np.hanning(PATCH))
    spectra = []
    for y in range(0, image.shape[0] - PATCH + 1, PATCH // 2):
        for x in range(0, image.shape[1] - PATCH + 1, PATCH // 2):
            here = slice(y, y + PATCH), slice(x, x + PATCH)
            if mask[here].all():
                patch = (image[here] - image[here].mean()) * window
                spectra.append(np.abs(np.fft.fft2(patch)) ** 2)
    if not spectra:
        return None
    cycles = PATCH * np.hypot(np.fft.fftfreq(PATCH)[:, None], np.fft.fftfreq(PATCH)[None, :])
    power = np.mean(spectra, axis=0)
    edges = np.geomspace(4, 24, 9)
    rings = [(cycles >= low) & (cycles < high) for low, high in pairwise(edges)]
    radial = [power[ring].mean() for ring in rings]
    return -np.polyfit(np.log(np.sqrt(edges[:-1] * edges[1:])), np.log(radial), 1)[0]


def test_exponent_of_a_known_power_law_is_recovered():
    rng = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(512)[:, None], np.fft.fftfreq(256)[None, :])
    frequency[0, 0] = np.inf
    field = np.fft.ifft2(np.fft.fft2(rng.standard_normal((512, 256))) * frequency ** (-3 / 2)).real
    assert power_law_exponent(field, np.ones_like(field, bool)) == pytest.approx(3, abs=0.2)


def test_same_seed_gives_the_same_phantom():
    first, second = mammogram_phantom(7), mammogram_phantom(7)
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    assert first[2] == second[2]


def test_other_seeds_give_other_breasts(phantoms):
    assert len({image.tobytes() for image, _, _ in phantoms}) == len(phantoms)
    assert len({mask.tobytes() for _, mask, _ in phantoms}) == len(phantoms)


def test_global_random_state_is_neither_used_nor_changed():
    np.random.seed(1)
    first = mammogram_phantom(3)[0]
    after = np.random.random()
    np.random.seed(1)
    assert np.random.random() == after
    np.testing.assert_array_equal(first, mammogram_phantom(3)[0])


def test_shapes_and_types(phantoms):
    for image, mask, _ in phantoms:
        assert image.shape == mask.shape == (512, 256)
        assert image.dtype == np.float32 and mask.dtype == bool


def test_brightness_stays_in_range(phantoms):
    for image, _, _ in phantoms:
        assert np.isfinite(image).all() and image.min() >= 0 and image.max() <= 1


def test_background_is_exactly_zero_and_the_breast_is_not(phantoms):
    for image, mask, _ in phantoms:
        assert not image[~mask].any()
        assert (image[mask] > 0).mean() > 0.999


def test_mask_is_one_component_on_the_chest_wall(phantoms):
    for _, mask, _ in phantoms:
        count, _ = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
        assert count == 2  # the background and the breast
        assert mask[:, 0].any()


def test_a_mask_alone_is_that_of_the_phantom(phantoms):
    for seed, (_, mask, view) in enumerate(phantoms):
        alone, same_view = phantom_mask(seed)
        np.testing.assert_array_equal(alone, mask)
        assert alone.dtype == bool and same_view == view


def test_both_views_occur(phantoms):
    views = [view for _, _, view in phantoms]
    assert set(views) == {"CC", "MLO"}
    assert 8 <= views.count("CC") <= 32


def test_breasts_are_small_and_large(phantoms):
    share = [mask.mean() for _, mask, _ in phantoms]
    assert min(share) < 0.3 and max(share) > 0.6
    assert min(share) > 0.1 and max(share) < 0.95


def test_muscle_lies_at_the_top_left_of_an_mlo(phantoms):
    corner = {"CC": [], "MLO": []}
    for image, mask, view in phantoms:
        corner[view].append(image[5:60, 2:20].mean() / image[mask].mean())
    assert np.median(corner["MLO"]) > 1.2
    assert np.median(corner["CC"]) < 1


def test_fat_and_dense_tissue_have_the_brightness_of_film(phantoms):
    inner = []
    for image, mask, _ in phantoms:
        depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
        inner.append(np.percentile(image[depth > 25], (5, 50, 95)))
    fat, middle, dense = np.median(inner, axis=0)
    assert 0.25 < fat < 0.45 < middle < 0.6 < dense < 0.85


def test_brightness_falls_to_the_skin(phantoms):
    for image, mask, _ in phantoms:
        depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
        assert np.median(image[(depth > 0) & (depth < 3)]) < 0.6 * np.median(image[depth > 30])


def test_texture_follows_the_power_law_of_breast_tissue(phantoms):
    fits = [power_law_exponent(image, mask) for image, mask, _ in phantoms]
    exponents = np.array([beta for beta in fits if beta is not None])
    assert len(exponents) > 30
    assert 2.6 < np.median(exponents) < 3.4
    assert np.mean((exponents > 2.6) & (exponents < 3.4)) > 0.8


@pytest.mark.parametrize("height", [8, 64, 128, 256, 1024])
def test_other_sizes_show_the_same_breast(height):
    full, full_mask, view = mammogram_phantom(5)
    image, mask, same_view = mammogram_phantom(5, height, height // 2)
    assert image.shape == mask.shape == (height, height // 2)
    assert same_view == view
    assert mask.mean() == pytest.approx(full_mask.mean(), abs=0.1)
    assert not image[~mask].any()


# --------------------------------------------------------------------------------------- a dataset


def test_phantoms_depend_on_count_and_seed_alone(tmp_path):
    a, b = (make_phantoms(tmp_path / name, 5, seed=2, workers=workers) for name, workers in (("a", 1), ("b", 2)))
    for level in LEVELS:
        for x, y in zip(a.read(level, range(5)), b.read(level, range(5))):
            np.testing.assert_array_equal(x, y)
    assert a.field("subject").tolist() == b.field("subject").tolist()
    assert len(set(a.field("subject"))) == 5 and a.meta["synthetic"]


def test_phantoms_of_two_seeds_share_none(tmp_path):
    a, b = (make_phantoms(tmp_path / str(seed), 4, seed=seed, workers=1) for seed in (0, 1))
    images = np.concatenate([a.read((64, 32), range(4))[0], b.read((64, 32), range(4))[0]])
    assert len(np.unique(images.reshape(8, -1), axis=0)) == 8


def test_phantoms_are_made_once(tmp_path):
    make_phantoms(tmp_path / "data", 3, workers=1)
    description = tmp_path / "data" / "dataset.json"
    before = description.stat().st_mtime_ns
    make_phantoms(tmp_path / "data", 3, workers=1)
    assert description.stat().st_mtime_ns == before
    assert json.loads(description.read_text())["made"]["seed"] == 0
    with pytest.raises(DataError, match="with --seed 0, not 1"):
        make_phantoms(tmp_path / "data", 3, seed=1)
    assert open_dataset(tmp_path / "data", verify=True).count == 3
