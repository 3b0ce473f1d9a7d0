"""Octaves: taken apart and put together; what averaging took comes back."""

import cv2
import numpy as np
import pytest

from feature2mass.octaves import LARGEST_GAIN, energies, join, restored, split

RANDOM = np.random.default_rng(0)
MEAN = cv2.GaussianBlur(RANDOM.random((64, 64), np.float32), (0, 0), 8)


def texture(blur: float) -> np.ndarray:
    noise = cv2.GaussianBlur(RANDOM.standard_normal((64, 64), np.float32), (0, 0), blur)
    return noise / noise.std()


def test_octaves_put_together_are_the_image():
    image = RANDOM.random((64, 64), np.float32)
    parts = split(image)
    assert [part.shape[0] for part in parts] == [64, 32, 16, 8, 4, 2]
    np.testing.assert_allclose(join(parts), image, atol=1e-6)


def test_what_is_flat_has_energy_in_nothing_but_the_last():
    np.testing.assert_allclose(energies(np.full((64, 64), 0.5, np.float32)), [0, 0, 0, 0, 0, 0.25], atol=1e-12)


def test_pixels_that_alternate_are_energy_of_the_finest_octave():
    rows, columns = np.indices((64, 64))
    found = energies(np.where((rows + columns) % 2, 0.1, -0.1).astype(np.float32))
    np.testing.assert_allclose(found, [0.01, 0, 0, 0, 0, 0], atol=1e-9)


def test_mirror_images_have_the_same_energies():
    image = texture(2)
    np.testing.assert_allclose(energies(image[::-1, ::-1]), energies(image), rtol=1e-4)


@pytest.mark.parametrize("blur", [0.5, 2, 6])
def test_the_average_of_unlike_textures_gets_their_energy_back(blur):
    masses = [MEAN + 0.1 * texture(blur) for _ in range(4)]
    average = np.mean(masses, axis=0)
    wanted = np.mean([energies(mass - MEAN) for mass in masses], axis=0)
    assert np.var(average - MEAN) < 0.5 * wanted.sum()
    found = energies(restored(average, MEAN, wanted) - MEAN)
    np.testing.assert_allclose(found[wanted > 1e-4], wanted[wanted > 1e-4], rtol=0.25)


def test_a_mass_that_lacks_nothing_stays_as_it_is():
    mass = MEAN + 0.1 * texture(2)
    np.testing.assert_allclose(restored(mass, MEAN, 0.5 * energies(mass - MEAN)), mass, atol=1e-6)


def test_the_mean_stays_the_mean():
    np.testing.assert_allclose(restored(MEAN, MEAN, np.full(6, 0.01)), MEAN, atol=1e-6)


def test_nothing_is_amplified_beyond_the_limit():
    deviation = 0.001 * texture(2)
    found = restored(MEAN + deviation, MEAN, np.ones(6)) - MEAN
    np.testing.assert_allclose(found, LARGEST_GAIN * deviation, atol=1e-4)
