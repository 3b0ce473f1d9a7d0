"""Twins, two fakes of one mask: how alike their detail is, and what follows from it for the generator."""

import numpy as np
import pytest
import tensorflow as tf

from mask_embedding_gan.diversity import AS_IN_FILMS, correlation_inside, fakes_and_twins, fine_octaves, shared_detail

HEIGHT, WIDTH = 64, 32
MASKS = np.ones((3, HEIGHT, WIDTH, 1), np.float32)


def grain(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((3, HEIGHT, WIDTH, 1)).astype(np.float32)


def shared(first: np.ndarray, second: np.ndarray, masks: np.ndarray = MASKS) -> float:
    twins = tuple(tf.constant(x, tf.float32) for x in (first, second, masks))
    return float(shared_detail(twins, fine_octaves(HEIGHT, WIDTH)))


def test_correlation_is_measured_inside_the_mask():
    a = np.array([1, 2, 3, 9], np.float32).reshape(1, 1, 4, 1)
    b = np.array([2, 1, 0, -9], np.float32).reshape(1, 1, 4, 1)
    mask = np.array([1, 1, 1, 0], np.float32).reshape(1, 1, 4, 1)
    wanted = (1 * 2 + 2 * 1) / np.sqrt((1 + 4 + 9) * (4 + 1))
    np.testing.assert_allclose(correlation_inside(*map(tf.constant, (a, b, mask))), [wanted], rtol=1e-6)
    np.testing.assert_allclose(correlation_inside(*map(tf.constant, (a, b, 0 * mask))), [0])


def test_equal_twins_share_the_detail_of_both_octaves():
    assert shared(grain(0), grain(0)) == pytest.approx(2 * (1 - AS_IN_FILMS), abs=1e-4)


def test_twins_of_which_each_has_its_own_detail_share_none():
    assert shared(grain(0), grain(1)) < 0.1


def test_loud_detail_of_ones_own_does_not_hide_what_is_shared_in_another_octave():
    """Pixels that alternate are of the finest octave alone, of a period of four pixels a quarter is in the next."""
    across, down = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    pattern = np.cos(2 * np.pi * across / 4)
    own = [10 * (-1.0) ** along for along in (across, down)]
    first, second = (np.tile((alone + pattern)[None, ..., None], (3, 1, 1, 1)) for alone in own)
    away_from_the_frame = np.pad(np.ones((3, HEIGHT - 8, WIDTH - 8, 1)), ((0, 0), (4, 4), (4, 4), (0, 0)))
    assert shared(first, second, away_from_the_frame) == pytest.approx(1 - AS_IN_FILMS, abs=0.05)


def test_the_skin_line_that_twins_share_does_not_count():
    masks = np.zeros_like(MASKS)
    masks[:, 8:56, :26] = 1
    assert shared(masks + 0.01 * masks * grain(0), masks + 0.01 * masks * grain(1), masks) < 0.3
    assert shared(masks + 0.01 * masks * grain(0), masks + 0.01 * masks * grain(1)) > 1.5  # with the edge: nearly equal


def test_its_gradient_makes_details_less_alike():
    first, second = (tf.Variable(grain(0) + 0.5 * grain(seed)) for seed in (1, 2))
    before = shared(first.numpy(), second.numpy())
    with tf.GradientTape() as tape:
        loss = shared_detail((first, second, tf.constant(MASKS)), fine_octaves(HEIGHT, WIDTH))
    step = tape.gradient(loss, first)
    first.assign_sub(step / tf.norm(step))
    assert shared(first.numpy(), second.numpy()) < before


def test_every_fourth_mask_has_twins_of_different_latents():
    masks, latents = tf.ones((8, 4, 2, 1)) * tf.reshape(tf.range(8.0), (8, 1, 1, 1)), tf.zeros((8, 1))
    generator = lambda inputs, training: inputs[0] + inputs[1][:, :, None, None]
    fakes, twins = fakes_and_twins(generator, masks, latents, None, lambda count: 100.0 + tf.zeros((count, 1)))
    np.testing.assert_array_equal(fakes[:, 0, 0, 0], np.arange(8))
    np.testing.assert_array_equal([x[:, 0, 0, 0] for x in twins], [[0, 4], [100, 104], [0, 4]])
