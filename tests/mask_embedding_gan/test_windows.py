"""Levels that are trained on windows: a window is what the whole image has there, to the last pixel."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

from mask_embedding_gan.blocks import FILTER, resolution
from mask_embedding_gan.critic import build_critic
from mask_embedding_gan.generator import build_generator, finished_generator
from mask_embedding_gan.spectrum import with_filter
from mask_embedding_gan.windows import (
    LevelsBelow,
    WindowGAN,
    build_window_block,
    reduced,
    window_of,
)
from training.model import Players

CONFIG = replace(  # whole images of 16×8
    tiny.FILM, noise_levels=(2,), windows_from=3, levelled=True, keeps_averages=True
)
PHASES = pytest.mark.parametrize("phase", [3, 4])


def finished(phase: int) -> keras.Model:
    """A finished generator with weights that no initialiser would give."""
    keras.utils.set_random_seed(0)
    trained = build_generator(CONFIG, 2)
    tiny.randomise(trained)
    sharper = np.pad(np.full((1, 1), 1.8, np.float32), FILTER // 2)
    sharper[FILTER // 2, FILTER // 2 + 1] = -0.8
    generator = with_filter(finished_generator(trained, CONFIG, 2), sharper, "image_2")
    for level in range(3, phase + 1):
        below = LevelsBelow(generator, CONFIG, level)
        block = build_window_block(CONFIG, level, *below.window)
        tiny.randomise(block, level)
        generator = below.finished(block)
    return generator


def model_of(phase: int) -> WindowGAN:
    below = LevelsBelow(finished(phase - 1), CONFIG, phase)
    block, ema_block = (build_window_block(CONFIG, phase, *below.window) for _ in range(2))
    tiny.randomise(block)
    ema_block.set_weights(block.get_weights())
    schedule = replace(tiny.preset().schedule(3), phase=phase, fade_in_images=0, amplification=(2.0,))
    model = WindowGAN(Players(block, build_critic(CONFIG, 2), ema_block), below, schedule)
    model.compile(*schedule.optimizers(), schedule.duration)
    return model


def half_ellipses(phase: int, count: int = 4) -> np.ndarray:
    """Masks (count, height, width, 1) that reach the left edge and leave the other three."""
    height, width = resolution(phase)
    y, x = np.mgrid[:height, :width]
    sizes = np.linspace(0.6, 0.95, count)[:, None, None]
    inside = ((y - height / 2 + 0.5) / (sizes * height / 2)) ** 2 + (x / (sizes * width)) ** 2 < 1
    return inside[..., None].astype(np.float32)


def batch_of(phase: int, count: int = 4) -> dict[str, tf.Tensor]:
    mask = half_ellipses(phase, count)
    image = mask * np.random.default_rng(0).random(mask.shape, np.float32)
    return {"image": tf.constant(image), "mask": tf.constant(mask)}


# --- no seam ------------------------------------------------------------------------------------


@PHASES
def test_windows_tile_to_the_whole_image(phase):
    model = model_of(phase)
    masks = tf.constant(half_ellipses(phase, 2))
    latents = tf.constant(tiny.inputs(1, 2)[2])
    height, width = model.window
    tiled = np.zeros(masks.shape, np.float32)
    for top in range(0, masks.shape[1], height):
        for left in range(0, masks.shape[2], width):
            corner = tf.constant([[top, left]] * 2)
            _, image = model.generator(model.below(masks, latents, corner))
            tiled[:, top : top + height, left : left + width] = image
    tiled = np.clip((0.5 + 0.5 * tiled) * masks, 0, 1)
    whole = np.asarray(model.finished()([masks, latents]))
    assert whole.std() > 0.05
    np.testing.assert_allclose(tiled, whole, atol=1e-5)


@PHASES
def test_a_window_anywhere_is_that_part_of_the_whole_image(phase):
    model = model_of(phase)
    masks = tf.constant(half_ellipses(phase, 4))
    latents = tf.constant(tiny.inputs(1, 4)[2])
    corner = model.corners(masks, tf.constant(7, tf.int64))
    _, image = model.generator(model.below(masks, latents, corner))
    image = np.clip((0.5 + 0.5 * image) * window_of(masks, corner, *model.window), 0, 1)
    whole = tf.constant(model.finished()([masks, latents]))
    np.testing.assert_allclose(image, window_of(whole, corner, *model.window), atol=1e-5)


def test_a_window_on_three_levels_is_that_part_of_the_whole_image():
    """Each level's mask is reduced once: one that is reduced level by level is another at the third."""
    model = model_of(5)
    masks = tf.constant(np.random.default_rng(0).random((2, *resolution(5), 1)) > 0.55, tf.float32)
    assert np.any(reduced(reduced(masks, 2), 2) != reduced(masks, 4))
    latents, corner = tf.constant(tiny.inputs(1, 2)[2]), tf.constant([[64, 32]] * 2)
    _, image = model.generator(model.below(masks, latents, corner))
    finished = model.finished()
    whole = keras.Model(finished.inputs, finished.get_layer("image_5").output)([masks, latents])
    np.testing.assert_allclose(image, window_of(whole, corner, *model.window), rtol=1e-4, atol=1e-4)


@PHASES
def test_a_level_keeps_the_image_below_as_averages(phase):
    whole = finished(phase)
    names = "image_2_levelled" if phase == 3 else f"image_{phase - 1}", f"image_{phase}"
    outputs = [whole.get_layer(name).output for name in names]
    below, image = keras.Model(whole.inputs, outputs)([half_ellipses(phase), tiny.inputs(1)[2]])
    assert np.std(keras.layers.UpSampling2D(2)(below) - image) > 0.01
    np.testing.assert_allclose(keras.layers.AveragePooling2D(2)(image), below, atol=1e-5)


def test_the_filter_of_the_last_whole_level_stays_as_it_was_measured():
    before, after = finished(2), finished(4)
    kernels = [generator.get_layer("image_2_levelled").get_weights()[0] for generator in (before, after)]
    assert kernels[0][FILTER // 2, FILTER // 2].item() == np.float32(1.8)
    np.testing.assert_array_equal(*kernels)
    masks, latents = half_ellipses(2), tiny.inputs(1)[2]
    plain, filtered = (before.get_layer(name).output for name in ("image_2", "image_2_levelled"))
    plain, filtered = keras.Model(before.inputs, [plain, filtered])([masks, latents])
    inner = 1.8 * plain[:, :, :-1] - 0.8 * plain[:, :, 1:]
    np.testing.assert_allclose(filtered[:, :, :-1], inner, atol=1e-5)


def test_without_keeps_averages_a_block_starts_as_the_image_below_enlarged():
    config = replace(CONFIG, keeps_averages=False)
    below = LevelsBelow(finished(2), config, 3)
    whole = below.finished(build_window_block(config, 3, *below.window))
    masks, latents = half_ellipses(3), tiny.inputs(1)[2]
    image = keras.Model(whole.inputs, whole.get_layer("image_2_levelled").output)([masks, latents])
    enlarged = keras.layers.UpSampling2D(2, interpolation="bilinear")(image)
    np.testing.assert_allclose(whole([masks, latents]), np.clip((0.5 + 0.5 * enlarged) * masks, 0, 1), atol=1e-5)


# --- where windows are --------------------------------------------------------------------------


@pytest.mark.parametrize("phase, unit", [(3, 2), (4, 4)])
def test_windows_lie_within_the_image_where_the_levels_below_have_whole_pixels(phase, unit):
    model, masks = model_of(phase), tf.constant(half_ellipses(phase, 4))
    corners = np.concatenate([model.corners(masks, tf.constant(step, tf.int64)) for step in range(50)])
    assert not (corners % unit).any()
    limits = np.array(resolution(phase)) - model.window
    assert (corners >= 0).all() and (corners <= limits).all()
    assert len(np.unique(corners, axis=0)) > 5


def test_windows_hold_tissue():
    model, masks = model_of(4), half_ellipses(4, 4)
    masks[:, :40] = 0  # a breast in one corner of the image
    for step in range(20):
        corner = model.corners(tf.constant(masks), tf.constant(step, tf.int64))
        assert np.asarray(window_of(tf.constant(masks), corner, *model.window)).any(axis=(1, 2, 3)).all()


def test_a_window_beyond_the_frame_is_zero_or_continued():
    x = tf.reshape(tf.range(1.0, 7.0), (1, 2, 3, 1))
    corner = tf.constant([[-1, 1]])
    assert window_of(x, corner, 3, 3)[0, ..., 0].numpy().tolist() == [[0, 0, 0], [2, 3, 0], [5, 6, 0]]
    assert window_of(x, corner, 3, 3, continued=True)[0, ..., 0].numpy().tolist() == [[2, 3, 3], [2, 3, 3], [5, 6, 6]]


def test_a_mask_is_reduced_by_majority():
    mask = tf.constant([[1.0, 1, 1, 0], [0, 0, 0, 0]])[None, ..., None]
    assert reduced(mask, 2)[0, ..., 0].numpy().tolist() == [[1, 0]]


# --- the step -----------------------------------------------------------------------------------


@PHASES
def test_every_weight_of_the_block_and_the_critic_gets_a_gradient(phase):
    model = model_of(phase)
    critic, generator, losses = model.player_gradients(batch_of(phase), tf.constant(3, tf.int64), model.variant(3))
    assert np.isfinite([float(loss) for loss in losses.values()]).all()
    for gradients, network in ((critic, model.stable_critic), (generator, model.generator)):
        seen = {id(variable) for variable in network.trainable_variables}
        whole = model.discriminator if network is model.stable_critic else network
        for gradient, variable in zip(gradients, whole.trainable_variables, strict=True):
            cancels = variable.path.endswith(f"to_image_{phase}/bias")  # by the averages that are kept
            assert np.any(gradient) or cancels or id(variable) not in seen, variable.path


def test_nothing_below_the_block_changes():
    model = model_of(4)
    before = [np.array(weight) for weight in model.below.whole_levels.weights]
    model.fit(tf.data.Dataset.from_tensors(batch_of(4)).repeat(), steps_per_epoch=2, verbose=0)
    for weight, kept in zip(model.below.whole_levels.weights, before, strict=True):
        assert np.array_equal(weight, kept)
