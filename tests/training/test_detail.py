"""Stochastic detail: off until it is switched on, mixed by the source, and like what real images add."""

import keras
import numpy as np
import pytest

from training.detail import finest_detail, octave, relative_detail, sum_of_octaves, textured, textures
from training.export import stock_model


@pytest.fixture
def model() -> keras.Model:
    """source (5) → an octave (16, 8, 1)."""
    source = keras.Input((5,), name="source")
    return keras.Model(source, octave(source, 16, 8, 4, "detail"))


def sources() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((2, 5)).astype(np.float32)


def give_maps(model: keras.Model) -> np.ndarray:
    maps = np.random.default_rng(7).standard_normal((4, 128)).astype(np.float32)
    model.get_layer("detail_maps").set_weights([maps])
    return maps


def test_there_is_none_before_the_bank_has_maps(model):
    assert not np.asarray(model(sources())).any()


def test_an_octave_mixes_its_maps(model):
    maps = give_maps(model)
    (drawn,) = model.get_layer("detail_drawn").get_weights()
    mixture = sources() @ drawn
    mixture /= np.sqrt(np.mean(mixture**2, axis=1, keepdims=True))
    np.testing.assert_allclose(model(sources()), (mixture @ maps).reshape(2, 16, 8, 1), rtol=1e-4, atol=1e-5)


def test_the_length_of_the_source_does_not_matter(model):
    give_maps(model)
    np.testing.assert_allclose(model(5 * sources()), model(sources()), rtol=1e-4, atol=1e-5)


def test_nothing_is_trained(model):
    assert not model.trainable_weights


def test_the_stock_copy_gives_the_same(model):
    give_maps(model)
    np.testing.assert_allclose(stock_model(model)(sources()), model(sources()), atol=1e-6)


def test_a_sum_shows_every_octave():
    coarse, fine = keras.Input((2, 2, 1)), keras.Input((4, 4, 1))
    model = keras.Model([coarse, fine], sum_of_octaves([coarse, fine], "field"))
    spot = np.zeros((1, 4, 4, 1), np.float32)
    spot[0, 1, 2] = 5.0
    np.testing.assert_allclose(model([np.full((1, 2, 2, 1), 3.0, np.float32), spot]), 3.0 + spot)


def test_texture_is_proportional_to_the_brightness_and_nothing_below_black():
    image, field = keras.Input((1, 4, 1)), keras.Input((1, 4, 1))
    model = keras.Model([image, field], textured(image, field, "image"))
    shades = np.float32([-1.2, -1.0, 0.0, 1.0]).reshape(1, 1, 4, 1)
    wanted = np.float32([-1.2, -1.0, 0.1, 1.2])
    np.testing.assert_allclose(np.ravel(model([shades, np.full((1, 1, 4, 1), 0.1, np.float32)])), wanted, rtol=1e-6)


def test_a_bank_is_as_strong_as_the_detail_relative_to_the_image():
    rng = np.random.default_rng(0)
    images = 0.5 * (1 + 0.1 * rng.standard_normal((8, 64, 32)))
    details, inner = finest_detail(images, np.ones_like(images))
    bank = relative_detail(images, np.ones_like(images), 5, rng)
    assert np.sqrt(np.sum(bank.var(axis=1))) == pytest.approx(details[inner].std() / 0.5, rel=0.03)


def ramps(count: int = 3) -> np.ndarray:
    y, x = np.mgrid[:64, :32]
    return np.stack([(0.3 + 0.004 * slope * x + 0.002 * y) for slope in range(count)]).astype(np.float32)


def test_smooth_images_have_no_detail():
    details, _ = finest_detail(ramps(), np.ones((3, 64, 32)))
    assert np.abs(details).max() < 1e-4


def test_the_frame_is_a_rim():
    _, inner = finest_detail(ramps(), np.ones((3, 64, 32)))
    assert inner[:, 3:-3, 3:-3].all() and not inner[:, :, :3].any() and not inner[:, -3:].any()


def test_pixelwise_noise_is_nearly_all_detail():
    noise = np.random.default_rng(0).standard_normal((3, 64, 32)).astype(np.float32)
    details, inner = finest_detail(ramps() + 0.1 * noise, np.ones((3, 64, 32)))
    assert np.corrcoef(details[inner], noise[inner])[0, 1] > 0.85


def test_the_rim_of_a_mask_is_outline_and_not_detail():
    masks = np.zeros((1, 64, 32))
    masks[:, 10:50, :20] = 1
    details, inner = finest_detail(masks * 0.7, masks)
    assert np.abs(details).max() < 1e-6 and inner[0, 30, 8] and not inner[0, 10].any()


def test_textures_have_the_spectrum_of_the_details():
    rng = np.random.default_rng(1)
    white = rng.standard_normal((200, 32, 16))
    stripes = white - np.roll(white, 1, axis=2)  # high frequencies along x
    made = textures(stripes, 300, rng).reshape(300, 32, 16)

    def mean_power(fields: np.ndarray) -> np.ndarray:
        power = np.mean(np.abs(np.fft.rfft2(fields)) ** 2, axis=0)
        return power / power.mean()

    np.testing.assert_allclose(mean_power(made), mean_power(stripes), atol=0.9)
    assert np.corrcoef(mean_power(made).ravel(), mean_power(stripes).ravel())[0, 1] > 0.97


def test_textures_have_variance_1():
    details = np.random.default_rng(0).standard_normal((4, 16, 8))
    np.testing.assert_allclose(textures(details, 5, np.random.default_rng(1)).std(axis=1), 1.0, rtol=1e-4)


def test_masks_that_are_nothing_but_rim_give_no_detail():
    bank = relative_detail(ramps(), np.zeros((3, 64, 32)), 2, np.random.default_rng(0))
    assert not bank.any()
