"""The WGAN-GP train step: Ren et al. 2019, §5, name "standard WGAN-GP".

The penalty is that of Gulrajani et al. 2017 (eq. 3), the drift term that of Karras et al. 2018 (appendix A.1).
"""

import keras
import tensorflow as tf

from mask_embedding_gan.growth import without_fade_in
from mask_embedding_gan.schedule import Diversity, PhaseSchedule
from training.amplification import amplifier
from training.model import AdversarialModel
from training.noise import global_batch_noise, stream_seed

PENALTY_WEIGHT = 10.0
DRIFT_WEIGHT = 0.001
TWIN_EVERY = 4
COARSE_HEIGHT = 16  # at which twins are compared
CRITIC_LOSSES = ("critic_real", "critic_fake", "gradient_penalty", "wasserstein")
LOSS_NAMES = (*CRITIC_LOSSES, "diversity_gap")


def gradient_penalty(critic, images: tf.Tensor, masks: tf.Tensor, alpha: tf.Tensor) -> tf.Tensor:
    """(‖∇ₓ D(x)‖₂ − 1)², the norm over all pixels of an image, averaged over the batch.

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


def critic_step(critic, variables, as_critic_sees, real, fake, mask, alpha, u):
    """The critic's loss E[D(fake)] − E[D(real)] + 10 · penalty + 0.001 · E[D(real)²], and its gradients.

    Args:
        critic: callable on [images, masks, alpha].
        variables: of the critic.
        as_critic_sees: a linear map of images, in which the slope is measured (`amplification.amplifier`).
        real, fake, mask: (n, height, width, 1).
        u: (n, 1, 1, 1) in [0, 1], where each penalty lies between a real image and a fake.

    Returns:
        (gradients of `variables`, gradient of the loss with respect to `fake`: the generator's, but for its sign,
        {name: value} of `CRITIC_LOSSES`).
    """
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
    return gradients, fake_gradient, dict(zip(CRITIC_LOSSES, values, strict=True))


class MaskEmbeddingGAN(AdversarialModel):
    """One phase of the progressive WGAN-GP.

    Args:
        generator, critic, ema_generator: networks of this phase, with their fade-in paths.
        schedule: this phase's schedule; alpha is a function of it and of the images seen.
        seed: of the run; latents and interpolation weights are functions of it and of the step.
        diversity: asks that latents matter; None is the loss of the paper alone.
    """

    def __init__(
        self,
        generator: keras.Model,
        critic: keras.Model,
        ema_generator: keras.Model,
        schedule: PhaseSchedule,
        seed: int = 0,
        diversity: Diversity | None = None,
    ):
        super().__init__(generator, critic, ema_generator, schedule.ema_half_life_images, LOSS_NAMES)
        self.schedule = schedule
        fades = schedule.phase > 1
        self.stable_generator = without_fade_in(generator) if fades else generator
        self.stable_critic = without_fade_in(critic) if fades else critic
        height, width = generator.output_shape[1:3]
        self.as_critic_sees = amplifier(schedule.amplification, height, width)
        self.latent_size = generator.inputs[1].shape[-1]
        self.latent_seed = stream_seed(seed, "latent", schedule.phase)
        self.lerp_seed = stream_seed(seed, "interpolation", schedule.phase)
        self.twin_seed = stream_seed(seed, "twin latent", schedule.phase)
        self.diversity = diversity

    @property
    def alpha(self) -> float:
        """Weight of the new block after the images seen."""
        return float(self.schedule.alpha(self.images_seen))

    def is_stable(self, step: int) -> bool:
        return step * self.schedule.batch >= self.schedule.fade_in_images

    def player_gradients(self, batch, step, stable=False):
        generator = self.stable_generator if stable else self.generator
        critic = self.stable_critic if stable else self.discriminator
        real, mask = batch["image"], batch["mask"]
        local_batch = _count(real)
        alpha = tf.reshape(self.schedule.alpha(step * self.schedule.batch), (1,))
        latent = global_batch_noise(
            tf.random.stateless_normal, local_batch, (self.latent_size,), self.latent_seed, step
        )
        u = global_batch_noise(tf.random.stateless_uniform, local_batch, (1, 1, 1), self.lerp_seed, step)

        # 1) real images fade in with the network: at alpha 0 they are the last phase's, doubled
        if self.schedule.phase > 1 and not stable:
            real = fade_images(real, alpha)

        # 2) one pass of the generator serves both players; every fourth mask is filled twice if latents must differ
        with tf.GradientTape() as generator_tape:
            if self.diversity:
                fake, diversity_loss = self._fake_with_twins(generator, real, mask, latent, alpha, step)
            else:
                fake, diversity_loss = generator([mask, latent, alpha], training=True), tf.zeros(())

        # 3) critic: real high, fake low, slope one between them, real near zero
        variables = [variable.value for variable in self.discriminator.trainable_variables]
        critic_gradients, fake_gradient, losses = critic_step(
            critic, variables, self.as_critic_sees, real, fake, mask, alpha, u
        )

        # 4) generator: −E[D(fake)]
        targets, seeds = [fake], [-fake_gradient]
        if self.diversity:
            targets, seeds = [fake, diversity_loss], [-fake_gradient, tf.constant(self.diversity.weight)]
        variables = [variable.value for variable in self.generator.trainable_variables]
        generator_gradients = generator_tape.gradient(targets, variables, seeds, unconnected_gradients="zero")
        return critic_gradients, generator_gradients, {**losses, "diversity_gap": diversity_loss}

    def _fake_with_twins(self, generator, real, mask, latent, alpha, step) -> tuple[tf.Tensor, tf.Tensor]:
        """Fakes of every mask, and how far twins (two latents of one mask) fall short of real variety.

        Seen at 16×8 at most, so that texture does not pass for tissue. Both distances are Euclidean, the unit in which
        the critic's slope is one, so that one weight suits all phases.
        """
        twin_masks = _every(TWIN_EVERY, mask)
        twins = _count(twin_masks)
        twin_latent = global_batch_noise(tf.random.stateless_normal, twins, (self.latent_size,), self.twin_seed, step)
        images = generator(
            [tf.concat([mask, twin_masks], 0), tf.concat([latent, twin_latent], 0), alpha], training=True
        )
        fake, twin_fake = tf.split(images, [_count(mask), twins])
        first, second = coarse(fake)[::TWIN_EVERY], coarse(twin_fake)
        one, other = coarse(real)[::2], coarse(real)[1::2]
        real_square, _ = mean_square_inside(one, other, coarse(_every(2, mask) * _every(2, mask, 1)))
        mean_square = tf.reduce_mean(real_square)
        context = tf.distribute.get_replica_context()
        if context.num_replicas_in_sync > 1:  # a root of a mean does not average over replicas: the mean must be global
            mean_square = context.all_reduce(tf.distribute.ReduceOp.MEAN, mean_square)
        real_rms = tf.sqrt(mean_square + 1e-12)
        twin_square, _ = mean_square_inside(first, second, coarse(twin_masks))
        assert self.diversity is not None
        wanted = self.diversity.share * real_rms
        gap = tf.sqrt(tf.reduce_sum(twin_masks, axis=(1, 2, 3))) * tf.nn.relu(wanted - tf.sqrt(twin_square + 1e-12))
        return fake, tf.reduce_mean(gap)


def _every(count: int, images: tf.Tensor, first: int = 0) -> tf.Tensor:
    """`images[first::count]`, each image copied whole where a strided slice would copy number by number."""
    return tf.gather(images, tf.range(first, _count(images), count))


def _count(images: tf.Tensor) -> tf.Tensor | int:
    """Images in a batch; a number where it is known when the step is compiled."""
    return images.shape[0] or tf.shape(images)[0]


def coarse(images: tf.Tensor) -> tf.Tensor:
    """Images averaged down to a height of `COARSE_HEIGHT`; smaller ones as they are."""
    factor = max(1, images.shape[1] // COARSE_HEIGHT)
    return tf.nn.avg_pool2d(images, factor, factor, "VALID")


def mean_square_inside(a: tf.Tensor, b: tf.Tensor, mask: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """(mean squared difference of image pairs inside their mask, the mask's pixels), each (pairs,).

    Args:
        a, b, mask: (pairs, height, width, 1); a mask may be fractional.
    """
    pixels = tf.reduce_sum(mask, axis=(1, 2, 3))
    return tf.reduce_sum(mask * tf.square(a - b), axis=(1, 2, 3)) / tf.maximum(pixels, 1.0), pixels


def fade_images(images: tf.Tensor, alpha: tf.Tensor) -> tf.Tensor:
    """Images blended with their own half resolution, doubled, as the generator's output is."""
    coarse = tf.nn.avg_pool2d(images, 2, 2, "VALID")
    coarse = tf.repeat(tf.repeat(coarse, 2, axis=1), 2, axis=2)
    return coarse + alpha * (images - coarse)
