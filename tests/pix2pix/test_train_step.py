"""The train step: losses by hand, the textbook's gradients, and dropout as a function of the step."""

from math import log

import numpy as np
import pytest
import tensorflow as tf
import tiny_pix2pix

from pix2pix.train import build_model
from pix2pix.train_step import Pix2Pix


def model_of(**changes) -> Pix2Pix:
    return build_model(tiny_pix2pix.preset(**changes), seed=0)


def batch_of(count: int = 4) -> dict[str, tf.Tensor]:
    return {name: tf.constant(value) for name, value in tiny_pix2pix.batch(count).items()}


def gradients(model: Pix2Pix, step: int = 3, batch: dict | None = None) -> tuple[list, list, dict]:
    """(discriminator's, generator's, losses)."""
    discriminator, generator, losses = model.player_gradients(batch or batch_of(), tf.constant(step, tf.int64), None)
    return [np.array(g) for g in discriminator], [np.array(g) for g in generator], losses


def relative_difference(ours, theirs) -> float:
    scale = max(np.abs(x).max() for x in theirs)
    return max(np.abs(np.subtract(a, b)).max() for a, b in zip(ours, theirs, strict=True)) / scale


# --- losses ---------------------------------------------------------------------------------------


def test_losses_by_hand():
    """σ(ln 3) = ¾ for every patch, and a grey of ½ for images of ¼."""
    model = model_of()
    last = model.discriminator.layers[-1]
    last.set_weights([np.zeros(last.kernel.shape), np.array([log(3)])])
    last = model.generator.get_layer("decoder_4")
    last.set_weights([np.zeros(last.kernel.shape), np.zeros(1)])
    losses = gradients(model, batch={**batch_of(), "image": tf.fill((4, 32, 16, 1), 0.25)})[2]
    wanted = {"discriminator_real": log(4 / 3), "discriminator_fake": log(4), "adversarial": log(4 / 3), "l1": 0.25}
    assert {name: float(value) for name, value in losses.items()} == pytest.approx(wanted, rel=1e-5)


def bce(logits, target: float):
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(tf.fill(logits.shape, target), logits))


def textbook(model: Pix2Pix, batch: dict, noise: tf.Tensor, l1_weight: float) -> tuple[list, list]:
    """The losses with one tape and one forward pass for each player, images in [−1, 1]."""
    x, y = batch["texture_map"], batch["image"]
    with tf.GradientTape() as tape:
        fake = model.generator([x, noise], training=True)
        loss = 0.5 * (bce(model.discriminator([x, y]), 1.0) + bce(model.discriminator([x, fake]), 0.0))
    discriminator = tape.gradient(loss, model.discriminator.trainable_variables)
    with tf.GradientTape() as tape:
        fake = model.generator([x, noise], training=True)
        l1 = tf.reduce_mean(tf.abs((2 * y - 1) - (2 * fake - 1)))
        loss = bce(model.discriminator([x, fake]), 1.0) + l1_weight * l1
    return discriminator, tape.gradient(loss, model.generator.trainable_variables)


@pytest.mark.parametrize("l1_weight", [0.0, 100.0])
def test_one_pass_gives_the_textbook_s_gradients(monkeypatch, l1_weight):
    """A weight of 0 shows what the discriminator alone says, which 100 would drown."""
    model, batch = model_of(l1_weight=l1_weight), batch_of()
    drawn = []
    generate = model.generator.call
    monkeypatch.setattr(model.generator, "call", lambda x, *a, **k: drawn.append(x[1]) or generate(x, *a, **k))
    ours = gradients(model, batch=batch)
    theirs = textbook(model, batch, drawn[0], l1_weight)
    assert relative_difference(ours[0], theirs[0]) < 1e-4
    assert relative_difference(ours[1], theirs[1]) < 1e-4


# --- where gradients flow -------------------------------------------------------------------------


def test_the_difference_of_pixels_moves_the_generator_alone():
    (a, a_generator, _), (b, b_generator, _) = gradients(model_of(l1_weight=0.0)), gradients(model_of())
    assert relative_difference(b, a) < 1e-6
    assert relative_difference(b_generator, a_generator) > 1


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_every_weight_gets_a_finite_gradient(precision):
    model = model_of(precision=precision)
    discriminator, generator, _ = gradients(model)
    for values, player in ((discriminator, model.discriminator), (generator, model.generator)):
        for gradient, variable in zip(values, player.trainable_variables, strict=True):
            assert gradient.shape == tuple(variable.shape) and np.isfinite(gradient).all(), variable.path
            assert gradient.any(), variable.path


def test_training_lowers_the_difference_of_pixels():
    model, batch = model_of(learning_rate=2e-3), batch_of()
    first = float(gradients(model, batch=batch)[2]["l1"])
    for _ in range(20):
        model.train_step(batch)
    assert float(gradients(model, batch=batch)[2]["l1"]) < 0.95 * first


# --- dropout, and the moving average --------------------------------------------------------------


def test_dropout_in_training_is_a_function_of_the_step():
    model = model_of()
    first, same, other = (float(gradients(model, step)[2]["l1"]) for step in (5, 5, 6))
    assert first == same != other


def test_dropout_in_training_keeps_half(monkeypatch):
    model, drawn = model_of(), []
    generate = model.generator.call
    monkeypatch.setattr(model.generator, "call", lambda x, *a, **k: drawn.append(x[1]) or generate(x, *a, **k))
    gradients(model, batch=batch_of(8))
    noise = np.array(drawn[0])
    assert set(np.unique(noise)) == {0, 1} and noise.mean() == pytest.approx(0.5, abs=0.03)
    assert not np.array_equal(noise[0], noise[1])


def test_without_a_half_life_there_is_no_moving_average():
    model = model_of(ema_half_life_images=0.0)
    model.train_step(batch_of())
    for average, trained in zip(model.ema_generator.weights, model.generator.weights, strict=True):
        np.testing.assert_array_equal(average, trained)
