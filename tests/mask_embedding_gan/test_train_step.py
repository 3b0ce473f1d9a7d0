"""The WGAN-GP step against finite differences and the readable textbook step."""

import importlib.util
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

from mask_embedding_gan.blocks import NetworkConfig
from mask_embedding_gan.critic import build_critic
from mask_embedding_gan.diversity import mean_square_inside
from mask_embedding_gan.players import build_players, compiled
from mask_embedding_gan.schedule import Diversity, Terms
from mask_embedding_gan.train_step import (
    DRIFT_WEIGHT,
    PENALTY_WEIGHT,
    critic_step,
    fade_images,
    gradient_penalty,
)
from training.noise import global_batch_noise

FADING, FADED_IN = Terms(fades_in=True), Terms()
# a few hundred parameters, so that each can be moved by itself
MINUTE = NetworkConfig(
    latent_size=3, embedding_size=2, mask_filters=2, base_filters=3, latent_filters=(3, 2), group_size=2
)


# --- the critic's gradient by finite differences, in float64 ------------------------------------


def in_float64(model: keras.Model) -> keras.Model:
    copy = keras.models.model_from_json(model.to_json().replace('"float32"', '"float64"'))
    copy.set_weights(model.get_weights())
    return copy


def critic_loss(critic, real, fake, mask, u, alpha):
    """WGAN-GP as its papers print it."""
    mixed = real + u * (fake - real)
    real_score, fake_score = critic([real, mask, alpha]), critic([fake, mask, alpha])
    wasserstein = tf.reduce_mean(fake_score) - tf.reduce_mean(real_score)
    drift = tf.reduce_mean(real_score**2)
    return wasserstein + PENALTY_WEIGHT * gradient_penalty(critic, mixed, mask, alpha) + DRIFT_WEIGHT * drift


@pytest.mark.parametrize("phase", [1, 2])
def test_critic_s_gradient_agrees_with_finite_differences_in_every_parameter(phase):
    keras.utils.set_random_seed(0)
    critic = in_float64(build_critic(MINUTE, phase))
    rng = np.random.default_rng(1)
    shape = (4, 4 * 2**phase, 2 * 2**phase, 1)
    real, fake, mask = rng.random(shape), rng.random(shape), (rng.random(shape) > 0.4) * 1.0
    arguments = [tf.constant(x) for x in (real, fake, mask, rng.random((4, 1, 1, 1)), np.array([0.3]))]
    loss = tf.function(lambda: critic_loss(critic, *arguments))

    with tf.GradientTape() as tape:
        value = loss()
    assert value.dtype == tf.float64
    step = 1e-6
    for variable, gradient in zip(critic.trainable_variables, tape.gradient(value, critic.trainable_variables)):
        kept, differences = variable.numpy(), []
        for index in np.ndindex(kept.shape):
            around = []
            for sign in (1, -1):
                moved = kept.copy()
                moved[index] += sign * step
                variable.assign(moved)
                around.append(loss().numpy())
            differences.append((around[0] - around[1]) / (2 * step))
        variable.assign(kept)
        size = max(1e-3, np.abs(differences).max())
        np.testing.assert_allclose(np.ravel(gradient) / size, np.array(differences) / size, atol=1e-6)


# --- the step -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def textbook():
    """The oracle: what `benchmarks/train_step.py` times ours against."""
    spec = importlib.util.spec_from_file_location("train_step", tiny.ROOT / "benchmarks" / "train_step.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.textbook_gradients


def model_of(phase: int, seed: int = 0, **changes):
    return compiled(build_players(tiny.NETWORK, phase, seed), tiny.preset(**changes), phase, seed)


def batch_of(phase: int, count: int = 4) -> dict[str, tf.Tensor]:
    images, masks, _ = tiny.inputs(phase, count)
    return {"image": tf.constant(images), "mask": tf.constant(masks)}


def relative_difference(ours, theirs) -> float:
    """Largest of the tensors' differences, each relative to the largest gradient."""
    scale = max(np.abs(x).max() for x in theirs)
    return max(np.abs(np.subtract(a, b)).max() for a, b in zip(ours, theirs, strict=True)) / scale


@pytest.mark.parametrize("phase, step", [(1, 0), (2, 3), (2, 100)], ids=["phase 1", "fading in", "faded in"])
def test_one_pass_gives_both_players_the_textbook_s_gradients(textbook, phase, step):
    model, batch, step = model_of(phase), batch_of(phase), tf.constant(step, tf.int64)
    ours, theirs = model.player_gradients(batch, step, FADING), textbook(model, batch, step)
    assert relative_difference(ours[0], theirs[0]) < 1e-5
    assert relative_difference(ours[1], theirs[1]) < 1e-5


def test_one_pass_gives_the_textbook_s_gradients_of_amplified_images(textbook):
    schedules = tuple(replace(schedule, amplification=(4.0, 2.0)) for schedule in tiny.preset().phases)
    model, batch, step = model_of(2, phases=schedules), batch_of(2), tf.constant(3, tf.int64)
    ours, theirs = model.player_gradients(batch, step, FADING), textbook(model, batch, step)
    assert relative_difference(ours[0], theirs[0]) < 1e-5
    assert relative_difference(ours[1], theirs[1]) < 1e-5
    plain = model_of(2).player_gradients(batch, step, FADING)
    assert relative_difference(ours[0], plain[0]) > 0.01


def textbook_r1_gradients(model, batch, step, weight):
    """The logistic losses and the R1 penalty in their own words, the generator run twice."""
    real, mask = batch["image"], batch["mask"]
    alpha = tf.ones((1,))
    noise = global_batch_noise(tf.random.stateless_normal, real.shape[0], (model.latent_size,), model.latent_seed, step)
    logit = lambda image: model.discriminator([model.as_critic_sees(image), mask, alpha], training=True)
    fake = model.generator([mask, noise, alpha], training=True)
    with tf.GradientTape() as tape:
        seen = model.as_critic_sees(real)
        with tf.GradientTape() as slope_tape:
            slope_tape.watch(seen)
            score = model.discriminator([seen, mask, alpha], training=True)
        slope = tf.reshape(slope_tape.gradient(score, seen), (real.shape[0], -1))
        penalty = tf.reduce_mean(tf.norm(slope, axis=1) ** 2)
        loss = -tf.reduce_mean(tf.math.log(1 - tf.sigmoid(logit(fake)))) - tf.reduce_mean(tf.math.log_sigmoid(score))
        loss += weight / 2 * penalty
    critic = tape.gradient(loss, model.discriminator.trainable_variables)
    with tf.GradientTape() as tape:
        fake = model.generator([mask, noise, alpha], training=True)
        loss = -tf.reduce_mean(tf.math.log_sigmoid(logit(fake)))
    return critic, tape.gradient(loss, model.generator.trainable_variables), penalty


def test_with_the_r1_penalty_the_step_gives_the_textbook_s_gradients():
    schedules = tuple(replace(schedule, amplification=(2.0,), r1_weight=0.7) for schedule in tiny.preset().phases)
    model, batch, step = model_of(2, phases=schedules), batch_of(2), tf.constant(100, tf.int64)
    critic, generator, losses = model.player_gradients(batch, step, model.variant(100))
    theirs = textbook_r1_gradients(model, batch, step, 0.7)
    assert relative_difference(critic, theirs[0]) < 1e-5
    assert relative_difference(generator, theirs[1]) < 1e-5
    assert losses["gradient_penalty"].numpy() == pytest.approx(theirs[2].numpy(), rel=1e-4)


@pytest.mark.parametrize("r1_weight", [0.0, 0.7])
def test_gradients_of_a_batch_are_the_mean_of_those_of_its_halves(r1_weight):
    """So replicas, each with its part of the batch, train the same networks as one device."""
    critic = build_critic(tiny.NETWORK, 2)
    real, mask, _ = tiny.inputs(2, 8)
    fake, u = tiny.inputs(2, 8)[0][::-1].copy(), np.random.default_rng(0).random((8, 1, 1, 1), np.float32)

    def step(part: slice) -> list:
        arrays = [tf.constant(x[part]) for x in (real, fake, mask)]
        variables = [variable.value for variable in critic.trainable_variables]
        seen = critic, variables, lambda images: 3 * images, *arrays, tf.ones((1,)), tf.constant(u[part])
        gradients, fake_gradient, _ = critic_step(*seen, r1_weight)
        return [*gradients, fake_gradient]

    *whole, of_fakes = step(slice(8))
    (*first, first_fakes), (*second, second_fakes) = step(slice(4)), step(slice(4, 8))
    assert relative_difference(whole, [(a + b) / 2 for a, b in zip(first, second, strict=True)]) < 1e-5
    assert relative_difference([of_fakes], [np.concatenate([first_fakes, second_fakes]) / 2]) < 1e-5


def test_r1_and_detail_begin_after_their_numbers_of_images():
    late = {"r1_weight": 0.7, "r1_from_images": 40, "detail_weight": 5.0, "detail_from_images": 48}
    schedules = tuple(replace(schedule, **late) for schedule in tiny.preset().phases)
    model = model_of(2, phases=schedules)  # fades in over 24 images, in batches of 4
    begins = {0: Terms(fades_in=True), 6: Terms(), 10: Terms(r1_weight=0.7), 12: Terms(False, 0.7, 5.0)}
    for step, terms in begins.items():
        assert model.variant(step) == terms
        assert step == 0 or model.variant(step - 1) != terms


def test_neither_begins_before_the_phase_has_faded_in():
    schedules = tuple(replace(schedule, r1_weight=0.7, detail_weight=5.0) for schedule in tiny.preset().phases)
    assert [model_of(2, phases=schedules).variant(step) for step in (5, 6)] == [FADING, Terms(False, 0.7, 5.0)]


@pytest.mark.parametrize("diversity", [None, Diversity(share=10.0, weight=1.0)], ids=["paper", "diversity"])
def test_the_step_without_its_fade_in_is_the_step_at_alpha_1(diversity):
    model, batch, step = model_of(2, diversity=diversity), batch_of(2, 8), tf.constant(100, tf.int64)
    faded_in, fading = (model.player_gradients(batch, step, variant) for variant in (FADED_IN, FADING))
    for ours, theirs in zip(faded_in[:2], fading[:2], strict=True):
        assert relative_difference(ours, theirs) < 1e-5


def test_the_step_without_its_fade_in_gives_the_older_path_gradients_of_zero():
    """Adam's state of every weight decays as it would at alpha 1, and a checkpoint holds the same variables."""
    model = model_of(2)
    critic, generator, _ = model.player_gradients(batch_of(2), tf.constant(100, tf.int64), FADED_IN)
    for gradients, player in ((critic, model.discriminator), (generator, model.generator)):
        still = [v.path for v, g in zip(player.trainable_variables, gradients, strict=True) if not np.any(g)]
        assert still and all("_1/" in path for path in still)


def test_the_fade_in_ends_with_its_last_image():
    model = model_of(2)  # fades in over 24 images, in batches of 4
    assert [model.variant(step) for step in (0, 5, 6, 7)] == [FADING, FADING, FADED_IN, FADED_IN]
    assert model_of(1).variant(0) == FADED_IN


def test_one_pass_reports_the_textbook_s_losses(textbook):
    model, batch, step = model_of(2), batch_of(2), tf.constant(3, tf.int64)
    ours, theirs = model.player_gradients(batch, step, FADING)[2], textbook(model, batch, step)[2]
    for name in theirs:
        assert ours[name].numpy() == pytest.approx(theirs[name].numpy(), rel=1e-4, abs=1e-6), name


def test_float32_gradients_agree_with_float64_ones():
    """Joins the finite differences above to the step that trains."""
    model, batch = model_of(2), batch_of(2)
    critic = in_float64(model.discriminator)
    step = tf.constant(3, tf.int64)
    alpha = tf.constant([12 / 24], tf.float64)
    latent = global_batch_noise(tf.random.stateless_normal, 4, (6,), model.latent_seed, step)
    u = tf.cast(global_batch_noise(tf.random.stateless_uniform, 4, (1, 1, 1), model.lerp_seed, step), tf.float64)
    fake = tf.cast(model.generator([batch["mask"], latent, tf.cast(alpha, tf.float32)]), tf.float64)
    real, mask = (tf.cast(batch[name], tf.float64) for name in ("image", "mask"))
    with tf.GradientTape() as tape:
        loss = critic_loss(critic, fade_images(real, alpha), fake, mask, u, alpha)
    wanted = tape.gradient(loss, critic.trainable_variables)
    assert relative_difference(model.player_gradients(batch, step, FADING)[0], wanted) < 1e-4


def test_the_step_is_a_function_of_its_number():
    model, batch = model_of(1), batch_of(1)
    first, same, other = (model.player_gradients(batch, tf.constant(n, tf.int64), FADING)[0][0] for n in (5, 5, 6))
    assert np.array_equal(first, same) and not np.array_equal(first, other)


def test_every_weight_of_both_players_gets_a_gradient():
    model = model_of(2)
    critic, generator, _ = model.player_gradients(batch_of(2), tf.constant(3, tf.int64), FADING)
    for gradients, player in ((critic, model.discriminator), (generator, model.generator)):
        for gradient, variable in zip(gradients, player.trainable_variables, strict=True):
            assert gradient is not None and tuple(gradient.shape) == tuple(variable.shape), variable.path
            assert np.isfinite(gradient).all() and np.any(gradient), variable.path


def test_the_critic_learns_to_tell_real_from_fake():
    """With the generator held still, the Wasserstein estimate rises from about zero."""
    schedule = replace(tiny.preset().schedule(1), learning_rate=0.01)
    model = model_of(1, phases=(schedule,))
    model.generator_optimizer.learning_rate = 0.0
    step, batch = tf.function(lambda batch: model.train_step(batch, FADED_IN)), batch_of(1, 8)
    history = []
    for _ in range(60):
        model.reset_metrics()
        history.append(float(step(batch)["wasserstein"]))
    assert np.mean(history[-10:]) > np.mean(history[:10]) + 0.1


# --- latents must matter ------------------------------------------------------------------------


def test_difference_is_measured_inside_the_mask():
    a, b = np.zeros((2, 1, 4, 1), np.float32), np.ones((2, 1, 4, 1), np.float32)
    b[0, 0, :, 0] = [1, 3, 100, 100]
    mask = np.array([[1, 1, 0, 0], [0, 0, 0, 0]], np.float32).reshape(2, 1, 4, 1)
    squares = mean_square_inside(tf.constant(a), tf.constant(b), tf.constant(mask))
    np.testing.assert_allclose(squares, [5, 0])


def generator_gradients(weight: float | None, share: float, step: int = 3):
    """(gradients, losses) of the generator's side of one step."""
    model = model_of(2, diversity=None if weight is None else Diversity(share=share, weight=weight))
    _, gradients, losses = model.player_gradients(batch_of(2, 8), tf.constant(step, tf.int64), FADING)
    return [np.array(gradient) for gradient in gradients], losses


def test_diversity_leaves_the_paper_s_gradient_where_twins_differ_enough():
    paper, with_diversity = generator_gradients(None, 0.0)[0], generator_gradients(5.0, 0.0)[0]
    assert relative_difference(with_diversity, paper) < 1e-5


def test_diversity_adds_its_weight_times_one_gradient():
    """Linear in the weight: 3 adds thrice what 1 adds."""
    none, one, three = (generator_gradients(weight, 10.0)[0] for weight in (0.0, 1.0, 3.0))
    added = [[b - a for a, b in zip(none, other)] for other in (one, three)]
    assert max(np.abs(x).max() for x in added[0]) > 1e-3
    assert relative_difference(added[1], [3 * x for x in added[0]]) < 1e-4


def test_diversity_gap_falls_along_its_gradient():
    model = model_of(2, diversity=Diversity(share=10.0, weight=1000.0))
    batch, step = batch_of(2, 8), tf.constant(3, tf.int64)
    _, gradients, before = model.player_gradients(batch, step, FADING)
    norm = sum(float(tf.reduce_sum(g**2)) for g in gradients) ** 0.5
    for variable, gradient in zip(model.generator.trainable_variables, gradients, strict=True):
        variable.assign_sub(0.05 * gradient / norm)
    after = model.player_gradients(batch, step, FADING)[2]
    assert float(after["diversity_gap"]) < float(before["diversity_gap"])


def gradients_with_detail(detail_weight: float) -> list[np.ndarray]:
    """The generator's gradients of one step after the fade-in, every pixel inside the masks."""
    schedules = tuple(replace(schedule, detail_weight=detail_weight) for schedule in tiny.preset().phases)
    model = model_of(2, phases=schedules, diversity=Diversity(share=0.0, weight=1.0))
    batch = batch_of(2, 8)
    batch["mask"] = tf.ones_like(batch["mask"])
    gradients = model.player_gradients(batch, tf.constant(100, tf.int64), model.variant(100))[1]
    return [np.array(gradient) for gradient in gradients]


def test_shared_detail_costs_its_weight():
    none, one, three = map(gradients_with_detail, (0.0, 1.0, 3.0))
    added = [[b - a for a, b in zip(none, other)] for other in (one, three)]
    assert max(np.abs(x).max() for x in added[0]) > 1e-3
    assert relative_difference(added[1], [3 * x for x in added[0]]) < 1e-4


def test_the_critic_s_side_does_not_know_of_diversity(textbook):
    model = model_of(2, diversity=Diversity(share=10.0, weight=1.0))
    batch, step = batch_of(2, 8), tf.constant(3, tf.int64)
    ours, theirs = model.player_gradients(batch, step, FADING)[0], textbook(model, batch, step)[0]
    assert relative_difference(ours, theirs) < 1e-5


# --- real images fade in ------------------------------------------------------------------------


@pytest.mark.parametrize("alpha, wanted", [(0.0, [4, 4, 4, 4]), (0.5, [2.5, 3.5, 4.5, 5.5]), (1.0, [1, 3, 5, 7])])
def test_real_images_fade_from_their_own_doubled_average(alpha, wanted):
    image = tf.reshape(tf.constant([1.0, 3.0, 5.0, 7.0]), (1, 2, 2, 1))
    np.testing.assert_allclose(np.ravel(fade_images(image, tf.constant([alpha]))), wanted)
