"""The train step: the gradients of eq. 3–5, flowing where they say and nowhere else; mixtures; the moving average."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
import tiny_masses

from feature2mass.birads_gan import LOSS_NAMES, BiradsGAN, Mixtures, mixture_weights
from feature2mass.losses import LossWeights
from feature2mass.train import build_model

WEIGHTS = LossWeights(margin=2.0, shape=3.0, labels=1.5, reconstruction=20.0)


def model_of(weights: LossWeights = WEIGHTS, mixtures: Mixtures | None = None, seed: int = 0) -> BiradsGAN:
    return build_model(tiny_masses.preset(weights=weights, mixtures=mixtures), 2, 3, seed)


def batch_of(count: int = 8) -> dict[str, tf.Tensor]:
    return {name: tf.constant(value) for name, value in tiny_masses.batch(count).items()}


def gradients(model: BiradsGAN, step: int = 3, batch: dict | None = None) -> tuple[list, list, dict]:
    """(critic's, generator's, losses), by variable path less the model's name."""
    critic, generator, losses = model.player_gradients(batch or batch_of(), tf.constant(step, tf.int64))
    return [np.array(g) for g in critic], [np.array(g) for g in generator], losses


def relative_difference(ours, theirs) -> float:
    scale = max(np.abs(x).max() for x in theirs)
    return max(np.abs(np.subtract(a, b)).max() for a, b in zip(ours, theirs, strict=True)) / scale


# --- against the equations, each in its own words ------------------------------------------------


def bce(logits, target):
    target = tf.broadcast_to(tf.cast(target, tf.float32), logits.shape)
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(target, logits))


def textbook(model: BiradsGAN, batch: dict, weights: LossWeights) -> tuple[list, list, dict]:
    """Eq. 3–5 with one tape and one forward pass for each loss."""
    image, m, s = batch["image"], batch["margin"], batch["shape"]
    d1 = model.critic.get_layer("margin_discriminator")
    d2 = model.critic.get_layer("shape_discriminator")
    reconstruction = model.generator([image, m, s], training=True)

    def discriminator_loss(d, label, weight):
        real, fake = d(image, training=True), d(reconstruction, training=True)
        of_labels = bce(real[1], label) + bce(fake[1], label)
        return bce(real[0], 1.0) + bce(fake[0], 0.0) + weight * of_labels

    with tf.GradientTape(persistent=True) as tape:
        loss_1 = discriminator_loss(d1, m, weights.margin)
        loss_2 = discriminator_loss(d2, s, weights.shape)
    critic = [*tape.gradient(loss_1, d1.trainable_variables), *tape.gradient(loss_2, d2.trainable_variables)]
    with tf.GradientTape() as tape:
        made = model.generator([image, m, s], training=True)
        first, second = d1(made, training=True), d2(made, training=True)
        labels = bce(first[1], m) + bce(second[1], s)
        l1 = tf.reduce_mean(tf.abs(image - made))
        loss = bce(first[0], 1.0) + bce(second[0], 1.0) + weights.labels * labels + weights.reconstruction * l1
    generator = tape.gradient(loss, model.generator.trainable_variables)
    return critic, generator, {"margin_loss": loss_1, "shape_loss": loss_2, "labels": labels, "l1": l1}


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


def split(model: BiradsGAN, critic: list) -> dict[str, list]:
    """Gradients of D₁ and D₂ apart."""
    count = len(model.critic.get_layer("margin_discriminator").trainable_variables)
    return {"margin": critic[:count], "shape": critic[count:]}


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


@pytest.mark.parametrize("mixtures", [None, Mixtures(4, 2)], ids=["paper", "mixtures"])
def test_every_weight_gets_a_finite_gradient(mixtures):
    model = model_of(mixtures=mixtures)
    critic, generator, _ = gradients(model)
    for values, player in ((critic, model.critic), (generator, model.generator)):
        for gradient, variable in zip(values, player.trainable_variables, strict=True):
            assert gradient.shape == tuple(variable.shape) and np.isfinite(gradient).all(), variable.path
            assert gradient.any(), variable.path


# --- mixtures -------------------------------------------------------------------------------------


def labels(*classes: int) -> tf.Tensor:
    return tf.one_hot(classes, 3)


def weights_of(margin, shape, mixtures, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).random((len(margin) // mixtures.every, mixtures.run)).astype("f4")
    return np.asarray(mixture_weights(margin, shape, tf.constant(noise), mixtures))


def test_mixture_weights_are_convex():
    weights = weights_of(labels(*8 * [1]), labels(*8 * [2]), Mixtures(run=4, every=2))
    assert weights.shape == (2, 2, 4) and (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-6)


def test_only_masses_of_one_category_are_mixed():
    """Of four, the third differs in its margin and the last in its shape."""
    weights = weights_of(labels(0, 0, 1, 0), labels(2, 2, 2, 1), Mixtures(run=4, every=1))[0]
    assert (weights[:2, :2] > 0).all() and not weights[:2, 2:].any()
    np.testing.assert_allclose(weights[2:], np.eye(4)[2:], atol=1e-6)


def test_mixture_weights_are_uniform_over_the_simplex():
    """Of three masses each share has mean ⅓ and variance 1/18."""
    count = 4000
    weights = weights_of(labels(*count * 3 * [0]), labels(*count * 3 * [0]), Mixtures(run=3, every=3)).reshape(-1, 3)
    np.testing.assert_allclose(weights.mean(axis=0), 1 / 3, atol=0.01)
    np.testing.assert_allclose(weights.var(axis=0), 1 / 18, atol=0.003)


def test_a_power_makes_mixtures_mostly_one_mass():
    weights = [
        weights_of(labels(*400 * [0]), labels(*400 * [0]), Mixtures(run=4, every=4, power=power))
        for power in (1.0, 3.0)
    ]
    even, mostly_one = (one.max(axis=-1).mean() for one in weights)
    assert even < 0.6 and mostly_one > 0.75


def test_mixtures_are_a_function_of_the_step():
    model = model_of(mixtures=Mixtures(4, 2))
    first, same, other = (gradients(model, step)[2]["mixture_adversarial"] for step in (5, 5, 6))
    assert float(first) == float(same) != float(other)


def test_mixtures_of_weight_0_leave_the_reconstructions_gradient_of_the_critic():
    """The decoder's batch holds mixtures too, so only discriminators are compared, on the same reconstructions."""
    model = model_of(mixtures=Mixtures(4, 2, weight=0.0))
    heavier = model_of(mixtures=Mixtures(4, 2, weight=1.0))
    a, b = split(model, gradients(model)[0]), split(model, gradients(heavier)[0])
    # the label's output is taught by masses and reconstructions alone: its part of the last bias does not change
    for name in ("margin", "shape"):
        np.testing.assert_allclose(a[name][-1][1:], b[name][-1][1:], atol=1e-6)
        assert abs(a[name][-1][0] - b[name][-1][0]) > 1e-4


def test_losses_of_mixtures_are_reported_only_where_there_are_some():
    assert set(gradients(model_of())[2]) == set(LOSS_NAMES[:5])
    assert set(gradients(model_of(mixtures=Mixtures(4, 2)))[2]) == set(LOSS_NAMES)


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
