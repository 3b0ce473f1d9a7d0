"""The train step of pix2pix (Isola et al. 2017, §3.1–3.3): log loss against patches, and L1."""

import tensorflow as tf

from training.losses import cross_entropy
from training.model import AdversarialModel, Players
from training.noise import batch_size, global_batch_noise, stream_seed

LOSS_NAMES = ("discriminator_real", "discriminator_fake", "adversarial", "l1")
SPAN = 2.0  # the paper's images are in [−1, 1]: differences there are twice those in [0, 1]


class Pix2Pix(AdversarialModel):
    """Generator, PatchGAN discriminator, and the moving average of the generator.

        L_D = ½·[bce(D(x, y), 1) + bce(D(x, G(x, z)), 0)]
        L_G = bce(D(x, G(x, z)), 1) + λ·mean|y − G(x, z)|        λ = 100, y and G(x, z) in [−1, 1]

    x is the texture map, y the image, z the dropout noise; means are over images, and patches or pixels.

    Args:
        players: from `build_generator` and `build_discriminator`.
        l1_weight: λ.
        ema_half_life_images: of the moving average; 0 is the paper's training, which has none.
        seed: of the run; dropout is a function of it and of the step.
    """

    def __init__(self, players: Players, l1_weight: float, ema_half_life_images: float, seed: int = 0):
        super().__init__(players, ema_half_life_images, LOSS_NAMES)
        self.l1_weight = l1_weight
        self.noise_size = players.generator.inputs[1].shape[-1]
        self.dropout_seed = stream_seed(seed, "dropout")

    def player_gradients(self, batch, step, variant):
        real, texture_map = batch["image"], batch["texture_map"]
        shape = (self.noise_size,)
        uniform = global_batch_noise(tf.random.stateless_uniform, batch_size(real), shape, self.dropout_seed, step)
        noise = tf.cast(uniform < 0.5, tf.float32)

        # 1) one pass of the generator serves both players
        with tf.GradientTape() as generator_tape:
            fake = self.generator([texture_map, noise], training=True)
            l1 = tf.reduce_mean(tf.abs(real - fake))
        fake_leaf = tf.stop_gradient(fake)

        # 2) discriminator: real patches 1, fake patches 0, at half the generator's pace
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(fake_leaf)
            pairs = [tf.concat([texture_map, texture_map], 0), tf.concat([real, fake_leaf], 0)]
            real_logits, fake_logits = tf.split(self.discriminator(pairs, training=True), 2)
            of_real, of_fake = cross_entropy(real_logits, 1.0), cross_entropy(fake_logits, 0.0)
            discriminator_loss = 0.5 * (of_real + of_fake)
            # 3) generator: be taken for real
            adversarial = cross_entropy(fake_logits, 1.0)
        discriminator_gradients = tape.gradient(discriminator_loss, self.discriminator.trainable_variables)
        fake_gradient = tape.gradient(adversarial, fake_leaf)

        # 4) generator: adversarial gradients arrive through the fakes, L1 directly
        seeds = [fake_gradient, tf.constant(SPAN * self.l1_weight, l1.dtype)]
        generator_gradients = generator_tape.gradient([fake, l1], self.generator.trainable_variables, seeds)
        losses = (of_real, of_fake, adversarial, l1)
        return discriminator_gradients, generator_gradients, dict(zip(LOSS_NAMES, losses, strict=True))
