"""Octaves: taken apart and put together; what averaging took comes back."""

import cv2
import numpy as np
import pytest

from feature2mass.octaves import LARGEST_GAIN, Grain, energies, join, restored, spectrum, split, textures

RANDOM = np.random.default_rng(0)
NO_GRAIN = np.zeros((64, 64), np.float32)
MEAN = cv2.GaussianBlur(RANDOM.random((64, 64), np.float32), (0, 0), 8)


@pytest.fixture(autouse=True)
def same_numbers():
    """Each test draws the same numbers, whichever tests ran before it."""
    global RANDOM
    RANDOM = np.random.default_rng(0)


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


def test_the_edge_of_a_film_is_no_texture():
    """A line along one side has nine tenths of the finest octave's squares, and next to none of its energy."""
    plain = 0.01 * texture(0.5)
    lined = plain.copy()
    lined[:, 0] += 0.5
    assert np.mean(np.square(split(lined)[0])) > 10 * np.mean(np.square(split(plain)[0]))
    assert energies(lined)[0] < 1.4 * energies(plain)[0]


@pytest.mark.parametrize("blur", [0.5, 2, 6])
def test_the_average_of_unlike_textures_gets_their_energy_back(blur):
    masses = [MEAN + 0.1 * texture(blur) for _ in range(4)]
    average = np.mean(masses, axis=0)
    wanted = np.mean([energies(mass - MEAN) for mass in masses], axis=0)
    assert np.var(average - MEAN) < 0.5 * wanted.sum()
    found = energies(restored(average, MEAN, wanted, NO_GRAIN) - MEAN)
    np.testing.assert_allclose(found[wanted > 1e-4], wanted[wanted > 1e-4], rtol=0.25)


def test_a_mass_that_lacks_nothing_stays_as_it_is():
    mass = MEAN + 0.1 * texture(2)
    np.testing.assert_allclose(restored(mass, MEAN, 0.5 * energies(mass - MEAN), NO_GRAIN), mass, atol=1e-6)


def test_the_mean_stays_the_mean():
    np.testing.assert_allclose(restored(MEAN, MEAN, np.full(6, 0.01), NO_GRAIN), MEAN, atol=1e-6)


def test_nothing_is_amplified_beyond_the_limit():
    deviation = 0.001 * texture(2)
    found = restored(MEAN + deviation, MEAN, np.ones(6), NO_GRAIN) - MEAN
    np.testing.assert_allclose(found, LARGEST_GAIN * deviation, atol=1e-4)


def test_grain_brings_what_the_finest_octave_lacks_and_nothing_else():
    """Pixels that alternate are all finest octave; of 1e-4 the mass has next to none, amplified or not."""
    rows, columns = np.indices((64, 64))
    alternating = np.where((rows + columns) % 2, 1.0, -1.0).astype(np.float32)
    mass = MEAN + 0.1 * texture(10)
    wanted = energies(mass - MEAN)
    wanted[0] = 1e-4
    found = energies(restored(mass, MEAN, wanted, alternating) - MEAN)
    assert found[0] == pytest.approx(1e-4, rel=0.1)
    np.testing.assert_allclose(found[1:], wanted[1:], rtol=0.15)  # octaves overlap a little


def test_the_finest_octave_may_get_grain_alone():
    deviation = 0.001 * texture(2)
    found = restored(MEAN + deviation, MEAN, np.ones(6), NO_GRAIN, amplify_finest=False) - MEAN
    finest, *others = split(deviation)
    np.testing.assert_allclose(found, join([finest, *(LARGEST_GAIN * part for part in others)]), atol=1e-4)


def examples() -> tuple[np.ndarray, np.ndarray]:
    """Features, and residuals of vertical stripes, each with a phase of its own."""
    stripes = 0.1 * np.sin(np.arange(64) * np.pi / 2 + np.linspace(0, np.pi, 30)[:, None])
    return RANDOM.standard_normal((30, 1024)), np.repeat(stripes[:, None], 64, axis=1).astype(np.float32)


def test_grain_has_the_spectrum_of_what_is_lacking():
    features, residuals = examples()
    power = np.abs(np.fft.fft2(Grain.of(features, residuals)(features[0]))) ** 2
    assert power[0, [16, 48]].sum() > 0.99 * power.sum()


def test_grain_is_a_smooth_function_of_the_feature():
    features, residuals = examples()
    grain = Grain.of(features, residuals)
    first, near, other = (grain(f) for f in (features[0], 0.99 * features[0] + 0.01 * features[1], features[1]))
    np.testing.assert_array_equal(grain(features[0]), first)
    assert np.abs(near - first).mean() < 0.05 * np.abs(other - first).mean()


# --- textures of a spectrum ---------------------------------------------------------------------


def test_textures_have_the_spectrum_of_the_details():
    rng = np.random.default_rng(1)
    white = rng.standard_normal((200, 32, 16))
    stripes = white - np.roll(white, 1, axis=2)  # high frequencies along x
    made = textures(spectrum(stripes), 300, rng)

    def mean_power(fields: np.ndarray) -> np.ndarray:
        power = np.mean(np.abs(np.fft.rfft2(fields)) ** 2, axis=0)
        return power / power.mean()

    np.testing.assert_allclose(mean_power(made), mean_power(stripes), atol=0.9)
    assert np.corrcoef(mean_power(made).ravel(), mean_power(stripes).ravel())[0, 1] > 0.97


def test_textures_have_variance_1():
    details = np.random.default_rng(0).standard_normal((4, 16, 8))
    np.testing.assert_allclose(
        textures(spectrum(details), 5, np.random.default_rng(1)).std(axis=(1, 2)), 1.0, rtol=1e-4
    )
