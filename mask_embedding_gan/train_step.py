"""The WGAN-GP train step: Ren et al. 2019, §5, name "standard WGAN-GP".

The penalty is that of Gulrajani et al. 2017 (eq. 3), the drift term that of Karras et al. 2018 (appendix A.1). An
addition replaces WGAN-GP, late in a phase, by logistic losses with the R1 penalty of Mescheder et al. 2018 (ours).
"""

import tensorflow as tf

from mask_embedding_gan.diversity import diversity_gap, fakes_and_twins, fine_octaves, shared_detail
from mask_embedding_gan.growth import without_fade_in
from mask_embedding_gan.schedule import Diversity, PhaseSchedule, Terms
from training.amplification import amplifier
from training.model import AdversarialModel, Players
from training.noise import batch_size, global_batch_noise, stream_seed

PENALTY_WEIGHT = 10.0
DRIFT_WEIGHT = 0.001
CRITIC_LOSSES = ("critic_real", "critic_fake", "gradient_penalty", "wasserstein")
LOSS_NAMES = (*CRITIC_LOSSES, "diversity_gap", "shared_detail")


def gradient_penalty(critic, images: tf.Tensor, masks: tf.Tensor, alpha: tf.Tensor) -> tf.Tensor:
    """Compute (‖∇ₓ D(x)‖₂ − 1)², the norm over all pixels of an image, averaged over the batch.

    Args:
        critic: callable on [images, masks, alpha].
        images: x̂, float `(n, height, width, 1)`.

    Returns:
        Scalar of the images' dtype.
    """
    with tf.GradientTape() as tape:
        tape.watch(images)
        score = tf.reduce_sum(critic([images, masks, alpha], training=True))
    gradient = tape.gradient(score, images)
    norm = tf.sqrt(tf.reduce_sum(tf.square(gradient), axis=(1, 2, 3)) + 1e-12)  # √ has no finite gradient at 0
    return tf.reduce_mean(tf.square(norm - 1.0))


def critic_step(critic, variables, as_critic_sees, real, fake, mask, alpha, u, r1_weight: float = 0.0):
    """Compute gradients of both players' losses on a batch: of WGAN-GP, or of the logistic loss with the R1 penalty.

    Args:
        critic: callable on [images, masks, alpha].
        as_critic_sees: a linear map of images, in which the slope is measured (`amplification.amplifier`).
        real, fake, mask: (n, height, width, 1).
        u: (n, 1, 1, 1) in [0, 1], where each penalty of WGAN-GP lies between a real image and a fake.
        r1_weight: of the R1 penalty; 0: WGAN-GP.

    Returns:
        (gradients of the critic's loss with respect to `variables`, gradient of the generator's loss with respect to
        `fake`, {name: value} of `CRITIC_LOSSES`).
    """
    if r1_weight:
        return _logistic_step(critic, variables, as_critic_sees, real, fake, mask, alpha, r1_weight)
    return _wasserstein_step(critic, variables, as_critic_sees, real, fake, mask, alpha, u)


def _wasserstein_step(critic, variables, as_critic_sees, real, fake, mask, alpha, u):
    """E[D(fake)] − E[D(real)] + 10 · penalty + 0.001 · E[D(real)²] for the critic, −E[D(fake)] for the generator."""
    fake = tf.stop_gradient(fake)
    with tf.GradientTape() as tape:
        tape.watch(fake)
        images = as_critic_sees(tf.concat([real, fake], 0))
        scores = critic([images, tf.concat([mask, mask], 0), alpha], training=True)
        real_score, fake_score = tf.split(scores, 2)
        real_seen, fake_seen = tf.split(tf.stop_gradient(images), 2)  # the generator learns from the scores alone
        penalty = gradient_penalty(critic, real_seen + u * (fake_seen - real_seen), mask, alpha)
        wasserstein = tf.reduce_mean(fake_score) - tf.reduce_mean(real_score)
        drift = tf.reduce_mean(tf.square(real_score))
        loss = wasserstein + PENALTY_WEIGHT * penalty + DRIFT_WEIGHT * drift
    *gradients, fake_gradient = tape.gradient(loss, [*variables, fake], unconnected_gradients="zero")
    values = tf.reduce_mean(real_score), tf.reduce_mean(fake_score), penalty, -wasserstein
    return gradients, -fake_gradient, dict(zip(CRITIC_LOSSES, values, strict=True))


def _logistic_step(critic, variables, as_critic_sees, real, fake, mask, alpha, r1_weight: float):
    """E[log(1 + e^D(fake))] + E[log(1 + e^−D(real))] + weight/2 · E[‖∇D(real)‖²] for the critic, for the generator
    E[log(1 + e^−D(fake))] (Mescheder et al. 2018, §4.1, R₁; Goodfellow et al. 2014, §3)."""
    fake = tf.stop_gradient(fake)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(fake)
        real_seen = as_critic_sees(real)
        with tf.GradientTape() as slope_tape:
            slope_tape.watch(real_seen)
            real_score = critic([real_seen, mask, alpha], training=True)
            total = tf.reduce_sum(real_score)
        slope = slope_tape.gradient(total, real_seen)
        penalty = tf.reduce_mean(tf.reduce_sum(tf.square(slope), axis=(1, 2, 3)))
        fake_score = critic([as_critic_sees(fake), mask, alpha], training=True)
        loss = tf.reduce_mean(tf.nn.softplus(fake_score) + tf.nn.softplus(-real_score)) + 0.5 * r1_weight * penalty
        generator_loss = tf.reduce_mean(tf.nn.softplus(-fake_score))
    gradients = tape.gradient(loss, variables, unconnected_gradients="zero")
    fake_gradient = tape.gradient(generator_loss, fake)
    real_mean, fake_mean = tf.reduce_mean(real_score), tf.reduce_mean(fake_score)
    values = real_mean, fake_mean, penalty, real_mean - fake_mean
    return gradients, fake_gradient, dict(zip(CRITIC_LOSSES, values, strict=True))


class PhaseGAN(AdversarialModel):
    """What phases on whole images and on windows share: terms, random numbers, the critic once it has faded in.

    Args:
        players: networks of this phase.
        schedule: this phase's schedule.
        seed: of the run; random numbers are functions of it and of the step.
        latent_size: numbers in a latent vector.
        loss_names: as `AdversarialModel` takes them.
    """

    def __init__(
        self, players: Players, schedule: PhaseSchedule, seed: int, latent_size: int, loss_names: tuple[str, ...]
    ):
        super().__init__(players, schedule.ema_half_life_images, loss_names)
        self.schedule, self.latent_size, critic = schedule, latent_size, self.discriminator
        self.stable_critic = without_fade_in(critic) if schedule.phase > 1 else critic
        self.as_critic_sees = amplifier(schedule.amplification, *critic.inputs[0].shape[1:3])
        self.latent_seed = stream_seed(seed, "latent", schedule.phase)
        self.lerp_seed = stream_seed(seed, "interpolation", schedule.phase)

    def variant(self, step: int) -> Terms:
        return self.schedule.terms(step * self.schedule.batch)

    def latents(self, count, seed: int, step) -> tf.Tensor:
        """Draw the latents of a step, standard normal (count, latent size)."""
        return global_batch_noise(tf.random.stateless_normal, count, (self.latent_size,), seed, step)

    def interpolation(self, count, step) -> tf.Tensor:
        """Draw where each penalty of WGAN-GP lies between a real image and a fake, (count, 1, 1, 1) in [0, 1)."""
        return global_batch_noise(tf.random.stateless_uniform, count, (1, 1, 1), self.lerp_seed, step)


class MaskEmbeddingGAN(PhaseGAN):
    """One phase of the progressive WGAN-GP.

    Args:
        players: networks of this phase, with their fade-in paths.
        schedule: this phase's schedule; alpha is a function of it and of the images seen.
        seed: of the run; latents and interpolation weights are functions of it and of the step.
        diversity: asks that latents matter; None is the loss of the paper alone.
    """

    def __init__(self, players: Players, schedule: PhaseSchedule, seed: int = 0, diversity: Diversity | None = None):
        generator = players.generator
        super().__init__(players, schedule, seed, generator.inputs[1].shape[-1], LOSS_NAMES)
        self.stable_generator = without_fade_in(generator) if schedule.phase > 1 else generator
        self.twin_seed = stream_seed(seed, "twin latent", schedule.phase)
        self.diversity = diversity
        self.octaves = fine_octaves(*generator.output_shape[1:3]) if schedule.detail_weight else []

    @property
    def alpha(self) -> float:
        """Weight of the new block after the images seen."""
        return float(self.schedule.alpha(self.images_seen))

    def player_gradients(self, batch, step, variant: Terms):
        generator = self.generator if variant.fades_in else self.stable_generator
        critic = self.discriminator if variant.fades_in else self.stable_critic
        real, mask = batch["image"], batch["mask"]
        count, alpha = batch_size(real), tf.reshape(self.schedule.alpha(step * self.schedule.batch), (1,))
        latent, u = self.latents(count, self.latent_seed, step), self.interpolation(count, step)

        # 1) real images fade in with the network: at alpha 0 they are the last phase's, doubled
        if self.schedule.phase > 1 and variant.fades_in:
            real = fade_images(real, alpha)

        # 2) one pass of the generator serves both players; if latents must differ, every fourth mask is filled twice
        gap = alike = tf.zeros(())
        with tf.GradientTape() as generator_tape:
            if self.diversity:
                draw = lambda count: self.latents(count, self.twin_seed, step)
                fake, twins = fakes_and_twins(generator, mask, latent, alpha, draw)
                gap = diversity_gap(twins, real, mask, self.diversity.share)
                if variant.detail_weight:
                    alike = shared_detail(twins, self.octaves)
            else:
                fake = generator([mask, latent, alpha], training=True)

        # 3) critic: real high, fake low; WGAN-GP: slope one between them, real near zero
        variables = [variable.value for variable in self.discriminator.trainable_variables]
        critic_gradients, fake_gradient, losses = critic_step(
            critic, variables, self.as_critic_sees, real, fake, mask, alpha, u, variant.r1_weight
        )

        # 4) generator: its loss through the critic
        targets, seeds = [fake], [fake_gradient]
        if self.diversity:
            targets, seeds = [*targets, gap], [*seeds, tf.constant(self.diversity.weight, gap.dtype)]
        if variant.detail_weight:
            targets, seeds = [*targets, alike], [*seeds, tf.constant(variant.detail_weight, alike.dtype)]
        variables = [variable.value for variable in self.generator.trainable_variables]
        generator_gradients = generator_tape.gradient(targets, variables, seeds, unconnected_gradients="zero")
        return critic_gradients, generator_gradients, {**losses, "diversity_gap": gap, "shared_detail": alike}


def fade_images(images: tf.Tensor, alpha: tf.Tensor) -> tf.Tensor:
    """Blend images with their own half resolution, doubled, as the generator's output is."""
    half = tf.nn.avg_pool2d(images, 2, 2, "VALID")
    doubled = tf.repeat(tf.repeat(half, 2, axis=1), 2, axis=2)
    return doubled + alpha * (images - doubled)
