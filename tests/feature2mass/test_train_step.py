"""The train step: the gradients of eq. 3–5, flowing where they say and nowhere else; the moving average."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
import tiny_masses

from feature2mass.losses import LossWeights
from feature2mass.train import build_model
from feature2mass.train_step import Feature2Mass

WEIGHTS = LossWeights(margin=2.0, shape=3.0, labels=1.5, reconstruction=20.0)


def model_of(weights: LossWeights = WEIGHTS, seed: int = 0) -> Feature2Mass:
    return build_model(tiny_masses.preset(weights=weights), 2, 3, seed)


def batch_of(count: int = 8) -> dict[str, tf.Tensor]:
    return {name: tf.constant(value) for name, value in tiny_masses.batch(count).items()}


def gradients(model: Feature2Mass, step: int = 3, batch: dict | None = None) -> tuple[list, list, dict]:
    """(discriminator's, generator's, losses), by variable path less the model's name."""
    discriminator, generator, losses = model.player_gradients(batch or batch_of(), tf.constant(step, tf.int64), None)
    return [np.array(g) for g in discriminator], [np.array(g) for g in generator], losses


def relative_difference(ours, theirs) -> float:
    scale = max(np.abs(x).max() for x in theirs)
    return max(np.abs(np.subtract(a, b)).max() for a, b in zip(ours, theirs, strict=True)) / scale


# --- against the equations, each in its own words ------------------------------------------------


def bce(logits, target):
    target = tf.broadcast_to(tf.cast(target, tf.float32), logits.shape)
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(target, logits))


def textbook(model: Feature2Mass, batch: dict, weights: LossWeights) -> tuple[list, list, dict]:
    """Eq. 3–5 with one tape and one forward pass for each loss."""
    image, m, s = batch["image"], batch["margin"], batch["shape"]
    d1 = model.discriminator.get_layer("margin_discriminator")
    d2 = model.discriminator.get_layer("shape_discriminator")
    reconstruction = model.generator([image, m, s], training=True)

    def discriminator_loss(d, label, weight):
        real, fake = d(image, training=True), d(reconstruction, training=True)
        of_labels = bce(real[1], label) + bce(fake[1], label)
        return bce(real[0], 1.0) + bce(fake[0], 0.0) + weight * of_labels

    with tf.GradientTape(persistent=True) as tape:
        loss_1 = discriminator_loss(d1, m, weights.margin)
        loss_2 = discriminator_loss(d2, s, weights.shape)
    discriminator = [*tape.gradient(loss_1, d1.trainable_variables), *tape.gradient(loss_2, d2.trainable_variables)]
    with tf.GradientTape() as tape:
        made = model.generator([image, m, s], training=True)
        first, second = d1(made, training=True), d2(made, training=True)
        labels = bce(first[1], m) + bce(second[1], s)
        l1 = tf.reduce_mean(tf.abs(image - made))
        loss = bce(first[0], 1.0) + bce(second[0], 1.0) + weights.labels * labels + weights.reconstruction * l1
    generator = tape.gradient(loss, model.generator.trainable_variables)
    return discriminator, generator, {"margin_loss": loss_1, "shape_loss": loss_2, "labels": labels, "l1": l1}


def test_one_pass_gives_the_textbook_s_gradients():
    model, batch = model_of(), batch_of()
    theirs, ours = textbook(model, batch, WEIGHTS), gradients(model, batch=batch)
    assert relative_difference(ours[0], theirs[0]) < 1e-4
    assert relative_difference(ours[1], theirs[1]) < 1e-4


def test_one_pass_reports_the_textbook_s_losses():
    model, batch = model_of(), batch_of()
    theirs, ours = textbook(model, batch, WEIGHTS)[2], gradients(model, batch=batch)[2]
    for name, value in theirs.items():
        assert float(ours[name]) == pytest.approx(float(value), rel=1e-4), name


# --- where gradients flow -------------------------------------------------------------------------


def split(model: Feature2Mass, discriminator: list) -> dict[str, list]:
    """Gradients of D₁ and D₂ apart."""
    count = len(model.discriminator.get_layer("margin_discriminator").trainable_variables)
    return {"margin": discriminator[:count], "shape": discriminator[count:]}


@pytest.mark.parametrize("weight, moved, still", [("margin", "margin", "shape"), ("shape", "shape", "margin")])
def test_a_label_s_weight_moves_its_own_discriminator_alone(weight, moved, still):
    base, changed = model_of(), model_of(replace(WEIGHTS, **{weight: 7.0}))
    (a, a_generator, _), (b, b_generator, _) = gradients(base), gradients(changed)
    assert relative_difference(split(base, b)[moved], split(base, a)[moved]) > 1e-2
    assert relative_difference(split(base, b)[still], split(base, a)[still]) < 1e-6
    assert relative_difference(b_generator, a_generator) < 1e-6


@pytest.mark.parametrize("weight", ["labels", "reconstruction"])
def test_the_generator_s_weights_do_not_move_the_discriminators(weight):
    (a, a_generator, _), (b, b_generator, _) = (
        gradients(model_of()),
        gradients(model_of(replace(WEIGHTS, **{weight: 50.0}))),
    )
    assert relative_difference(b, a) < 1e-6
    assert relative_difference(b_generator, a_generator) > 1e-2


def test_every_weight_gets_a_finite_gradient():
    model = model_of()
    discriminator, generator, _ = gradients(model)
    for values, player in ((discriminator, model.discriminator), (generator, model.generator)):
        for gradient, variable in zip(values, player.trainable_variables, strict=True):
            assert gradient.shape == tuple(variable.shape) and np.isfinite(gradient).all(), variable.path
            assert gradient.any(), variable.path


# --- the moving average ---------------------------------------------------------------------------


def test_the_moving_average_holds_moving_statistics_too():
    model = model_of()
    path = "encoder_3_normalization"
    before = model.ema_generator.get_layer("encoder").get_layer(path).get_weights()
    model.train_step(batch_of())
    after = model.ema_generator.get_layer("encoder").get_layer(path).get_weights()
    own = model.generator.get_layer("encoder").get_layer(path).get_weights()
    decay = 0.5 ** (8 / 20)
    for old, new, trained in zip(before, after, own, strict=True):
        np.testing.assert_allclose(new, trained + decay * (old - trained), atol=1e-6)
