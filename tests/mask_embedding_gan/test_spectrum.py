"""A filter that gives generated images the power spectrum of real ones."""

from types import SimpleNamespace

import cv2
import keras
import numpy as np
import pytest

from mask_embedding_gan.spectrum import (
    FILTER,
    NoRoomError,
    level_spectrum,
    levelling_filter,
    log_spectrum,
    with_filter,
)
from training.export import open_model, save_model

SIZE = 256
INSIDE = np.ones((1, SIZE, SIZE), bool)
BLUR = np.outer([1, 6, 1], [1, 4, 1]).astype(np.float32) / 48  # not the same in both directions


def noise(count: int, seed: int = 0) -> np.ndarray:
    return 0.5 + 0.05 * np.random.default_rng(seed).standard_normal((count, SIZE, SIZE)).astype(np.float32)


def blurred(images: np.ndarray) -> np.ndarray:
    return np.array([cv2.filter2D(image, -1, BLUR, borderType=cv2.BORDER_REPLICATE) for image in images])


def spectrum(images: np.ndarray) -> np.ndarray:
    return log_spectrum(images, np.repeat(INSIDE, len(images), 0))


def generator_of(size: int = SIZE) -> keras.Model:
    """Images are the latent's numbers, in [0, 1] and beyond."""
    mask, latent = keras.Input((size, size, 1)), keras.Input((size * size,))
    image = keras.layers.Reshape((size, size, 1), name="image")(latent)
    image = keras.layers.Multiply(name="image_in_mask")([image, mask])
    return keras.Model([mask, latent], keras.layers.ReLU(max_value=1.0, name="clip")(image))


def drawn(generator: keras.Model, images: np.ndarray, masks: np.ndarray | None = None) -> np.ndarray:
    masks = np.ones_like(images) if masks is None else masks
    return np.asarray(generator([masks[..., None], images.reshape(len(images), -1)]))[..., 0]


# --- spectra ------------------------------------------------------------------------------------


def test_the_spectrum_of_white_noise_is_flat():
    found = spectrum(noise(8))
    assert found.shape == (32, 32)
    assert found[2:-1, 2:-1].std() < 0.1


def test_what_lies_outside_the_mask_does_not_count():
    images = noise(1)
    masks = INSIDE.copy()
    masks[:, :, 96:] = False
    changed = images.copy()
    changed[:, :, 96:] = 0
    np.testing.assert_array_equal(log_spectrum(images, masks), log_spectrum(changed, masks))


def test_masks_without_room_are_refused():
    with pytest.raises(NoRoomError, match="no breast has room"):
        log_spectrum(noise(1), np.zeros((1, SIZE, SIZE), bool))


# --- the filter ---------------------------------------------------------------------------------


def test_the_filter_finds_a_blur():
    """Real images are the same noise blurred: the filter is that blur, different along rows and columns."""
    taps = levelling_filter(spectrum(blurred(noise(64))), spectrum(noise(64, 1)))
    middle = FILTER // 2
    np.testing.assert_allclose(taps[middle - 1 : middle + 2, middle - 1 : middle + 2], BLUR, atol=0.03)
    assert np.abs(taps).sum() - np.abs(taps[middle - 1 : middle + 2, middle - 1 : middle + 2]).sum() < 0.3


def test_the_filter_keeps_brightness_and_moves_nothing():
    taps = levelling_filter(spectrum(blurred(noise(4))), spectrum(noise(4, 1)))
    assert taps.sum() == pytest.approx(1, abs=1e-5)
    for axis in (0, 1):
        np.testing.assert_allclose(taps, np.flip(taps, axis), atol=1e-6)


def test_filtered_images_have_the_spectrum_of_real_ones():
    real, generated = spectrum(blurred(noise(32))), noise(32, 1)
    filtered = drawn(with_filter(generator_of(), levelling_filter(real, spectrum(generated))), generated)
    before, after = (np.abs(spectrum(images) - real)[2:-1, 2:-1].mean() for images in (generated, filtered))
    assert before > 1
    assert after < 0.15


# --- the generator ------------------------------------------------------------------------------


def test_a_generator_of_white_noise_becomes_one_of_the_dataset_s_texture():
    """Its latents are standard normal, so that real images are of that mean and spread, clipped as its images are."""
    white = np.random.default_rng(3).standard_normal((32, SIZE, SIZE)).astype(np.float32)
    generator, generated = generator_of(), white[16:]
    clipped = lambda images: np.clip(images, 0, 1)
    dataset = SimpleNamespace(
        indices=lambda split: np.arange(16),
        masks=lambda level, items: np.repeat(INSIDE, len(items), 0),
        images=lambda level, items: clipped(blurred(white[items])),
    )
    real = spectrum(clipped(blurred(white[:16])))
    images = clipped(generated), drawn(level_spectrum(generator, dataset), generated)
    before, after = (np.abs(spectrum(one) - real)[2:-1, 2:-1].mean() for one in images)
    assert after < 0.5 * before


def test_the_filter_of_equal_spectra_changes_nothing():
    same = levelling_filter(spectrum(noise(4)), spectrum(noise(4)))
    np.testing.assert_allclose(drawn(with_filter(generator_of(), same), noise(1)), noise(1), atol=1e-5)


def test_even_images_stay_as_they_are_up_to_the_frame():
    taps = levelling_filter(spectrum(blurred(noise(4))), spectrum(noise(4, 1)))
    even = np.full((1, SIZE, SIZE), 0.25, np.float32)
    np.testing.assert_allclose(drawn(with_filter(generator_of(), taps), even), even, atol=1e-5)


def test_images_stay_zero_outside_their_masks():
    taps = levelling_filter(spectrum(blurred(noise(4))), spectrum(noise(4, 1)))
    mask = np.zeros((1, SIZE, SIZE), np.float32)
    mask[:, 30:90, :70] = 1
    image = drawn(with_filter(generator_of(), taps), noise(1), mask)
    assert not image[mask == 0].any()
    assert image[mask == 1].min() > 0.1


def test_a_filtered_generator_can_be_saved_and_opened(tmp_path):
    filtered = with_filter(generator_of(), levelling_filter(spectrum(blurred(noise(4))), spectrum(noise(4, 1))))
    save_model(filtered, tmp_path / "generator.keras")
    np.testing.assert_array_equal(drawn(open_model(tmp_path / "generator.keras"), noise(1)), drawn(filtered, noise(1)))
