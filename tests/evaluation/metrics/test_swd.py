"""SWD: nothing between a set and itself, more the more a set is blurred, hand-computed for one direction."""

import cv2
import numpy as np
import pytest

from evaluation import image_set as samples
from evaluation.image_set import Samples
from evaluation.metrics.swd import (
    MOST_PATCHES,
    SlicedWasserstein,
    laplacian_pyramid,
    patches_of,
    patches_of_images,
    patches_per_image,
)


@pytest.fixture(scope="module")
def textures() -> np.ndarray:
    noise = np.random.default_rng(0).random((24, 64, 32))
    return np.array([cv2.GaussianBlur(image, (0, 0), 1) for image in noise])


def blurred(images: np.ndarray, sigma: float) -> np.ndarray:
    return np.array([cv2.GaussianBlur(image, (0, 0), sigma) for image in images])


def patches(images: np.ndarray) -> np.ndarray:
    return patches_of_images(images, np.ones(images.shape, bool), np.arange(len(images)), 128, seed=0)


def sliced_wasserstein(real: np.ndarray | Samples, fake: np.ndarray | Samples) -> np.ndarray:
    """SWD ×10³ of equally many images per level; both sets draw the same places, so that a set is at 0 from itself."""
    both = [one if isinstance(one, Samples) else Samples(one) for one in (real, fake)]
    count = patches_per_image(2 * len(real))
    found = [
        patches_of_images(images, masks, numbers, count, 0)
        for samples in both
        for numbers, images, masks in samples.chunks()
    ]
    numbers = np.arange(2 * len(real))
    return SlicedWasserstein(np.concatenate(found), numbers[: len(real)]).distances(*np.split(numbers, 2))


def test_a_set_is_at_distance_0_from_itself(textures):
    assert sliced_wasserstein(textures, textures) == pytest.approx([0, 0], abs=1e-3)


def test_it_rises_with_blur(textures):
    finest = [sliced_wasserstein(textures, blurred(textures, sigma))[0] for sigma in (0.4, 0.8, 1.6, 3.2)]
    assert finest == sorted(finest) and finest[0] > 10


def test_fine_blur_shows_at_the_finest_level_first(textures):
    distances = sliced_wasserstein(textures, blurred(textures, 0.8))
    assert distances[0] > 2 * distances[1]


def test_faint_texture_counts_although_its_form_is_right(textures):
    assert sliced_wasserstein(textures, 0.5 + (textures - 0.5) / 2)[0] > 100


def test_the_distance_of_shifted_values_is_known():
    """All patches of one set at 0, of the other at 1, so projections differ by the sum of a direction's components."""
    images = np.repeat([0.0, 0.0, 1.0, 1.0], 256).reshape(4, 16, 16)  # mean 0.5, deviation 0.5: values −1 and 1
    swd = SlicedWasserstein(patches(images), np.arange(4), seed=3)
    directions = np.random.default_rng(3).standard_normal((49, 64)).astype(np.float32)
    directions /= np.linalg.norm(directions, axis=0)
    expected = 1000 * np.abs(2 * directions.sum(axis=0)).mean()
    assert swd.distances(np.array([0, 1]), np.array([2, 3])) == pytest.approx([expected], rel=1e-4)


def test_of_two_sets_neither_comes_first_when_they_are_normalised_alike(textures):
    swd = SlicedWasserstein(patches(textures), np.arange(24))
    first, second = np.arange(12), np.arange(12, 24)
    assert swd.distances(first, second) == pytest.approx(swd.distances(second, first))


def test_the_chunk_makes_no_difference(textures, monkeypatch):
    whole = sliced_wasserstein(textures, blurred(textures, 1))
    monkeypatch.setattr(samples, "CHUNK", 5)
    assert sliced_wasserstein(textures, blurred(textures, 1)) == pytest.approx(whole)


def test_the_bands_of_the_pyramid_add_up_to_the_image(textures):
    bands = laplacian_pyramid(textures[0])
    image = bands[-1]
    for band in bands[-2::-1]:
        image = band + cv2.resize(image, band.shape[::-1], interpolation=cv2.INTER_LINEAR)
    assert [band.shape for band in bands] == [(64, 32), (32, 16)]
    assert image == pytest.approx(textures[0], abs=1e-6)


def test_patches_have_their_centre_in_the_mask():
    image = np.tile(np.arange(64.0), (64, 1))
    mask = np.zeros((64, 64), bool)
    mask[:, 20:24] = True
    low_pass = patches_of(image, mask, 50, np.random.default_rng(0))[-1].reshape(-1, 7, 7)
    assert (low_pass[:, 3, 3] > 15).all() and (low_pass[:, 3, 3] < 28).all()


@pytest.mark.parametrize("count", [10, 400, 20_000])
def test_the_number_of_patches_is_bounded_whatever_the_count(count):
    assert 0 < count * patches_per_image(count) <= MOST_PATCHES


def test_with_masks_the_empty_outside_does_not_dilute(textures):
    masks = np.zeros(textures.shape, bool)
    masks[:, :, :16] = True
    worse = np.where(masks, blurred(textures, 2), textures)
    inside = sliced_wasserstein(Samples(textures, masks), Samples(worse, masks))
    assert inside[0] > 1.5 * sliced_wasserstein(textures, worse)[0]
