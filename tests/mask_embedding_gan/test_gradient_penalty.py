"""The gradient penalty against closed forms, whatever the order of a batch."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

from mask_embedding_gan.critic import build_critic
from mask_embedding_gan.train_step import gradient_penalty

HALF = tf.constant([0.5])


def linear_critic(w: np.ndarray, mask_weight: float = 0.0) -> keras.Model:
    """score = w · image + mask_weight · Σ mask + 3."""
    shape = (*w.shape, 1)
    image, mask = keras.Input(shape, name="image"), keras.Input(shape, name="mask")
    alpha = keras.Input(batch_shape=(1,), name="alpha")
    flat = keras.layers.Concatenate()([keras.layers.Flatten()(image), keras.layers.Flatten()(mask)])
    model = keras.Model([image, mask, alpha], keras.layers.Dense(1)(flat))
    kernel = np.concatenate([w.ravel(), np.full(w.size, mask_weight)])[:, None]
    model.set_weights([kernel, np.array([3.0])])
    return model


def penalty(critic, images, masks) -> float:
    return gradient_penalty(critic, tf.constant(images), tf.constant(masks), HALF).numpy()


@pytest.mark.parametrize("norm", [0.25, 1.0, 3.0])
def test_penalty_of_a_linear_critic(norm):
    images, masks, _ = tiny.inputs(1)
    w = np.random.default_rng(0).standard_normal((8, 4))
    w *= norm / np.linalg.norm(w)
    assert penalty(linear_critic(w), images, masks) == pytest.approx((norm - 1) ** 2, abs=1e-6)


def test_penalty_is_of_the_norm_over_all_pixels_of_an_image():
    """Were it taken pixel by pixel, 32 slopes of ¼ would each cost (¼ − 1)²."""
    images, masks, _ = tiny.inputs(1)
    w = np.full((8, 4), 0.25)
    assert penalty(linear_critic(w), images, masks) == pytest.approx((0.25 * 32**0.5 - 1) ** 2, rel=1e-5)


def test_penalty_does_not_look_at_the_slope_in_the_mask():
    images, masks, _ = tiny.inputs(1)
    w = np.full((8, 4), 0.25)
    with_mask = penalty(linear_critic(w, mask_weight=5.0), images, masks)
    assert with_mask == pytest.approx(penalty(linear_critic(w), images, masks), rel=1e-5)


def test_penalty_of_a_flat_critic_has_a_finite_gradient():
    images, masks, _ = tiny.inputs(1)
    critic = linear_critic(np.zeros((8, 4)))
    with tf.GradientTape() as tape:
        value = gradient_penalty(critic, tf.constant(images), tf.constant(masks), HALF)
    kernel_gradient = tape.gradient(value, critic.trainable_variables[0])
    assert float(value) == pytest.approx(1, abs=1e-5)
    assert np.isfinite(kernel_gradient).all()


@pytest.mark.parametrize(
    "order",
    [[4, 5, 6, 7, 0, 1, 2, 3], [2, 0, 3, 1, 7, 6, 5, 4]],
    ids=["groups exchanged", "images exchanged within groups"],
)
def test_penalty_and_its_gradient_do_not_depend_on_the_order_of_the_batch(order):
    critic = build_critic(tiny.NETWORK, 2)
    images, masks, _ = tiny.inputs(2, count=8)
    results = []
    for chosen in (list(range(8)), order):
        with tf.GradientTape() as tape:
            value = gradient_penalty(critic, tf.constant(images[chosen]), tf.constant(masks[chosen]), HALF)
        gradients = tape.gradient(value, critic.trainable_variables)
        results.append([value, *(gradient for gradient in gradients if gradient is not None)])  # no bias of the score
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
