"""The train step of Feature2Mass (Lee et al. 2018, §3.3): encoder and decoder against two discriminators."""

import keras
import tensorflow as tf

from feature2mass.losses import LossWeights, discriminator_terms, generator_terms, reconstruction_term
from training.model import AdversarialModel

LOSS_NAMES = ("margin_loss", "shape_loss", "adversarial", "labels", "l1")


class BiradsGAN(AdversarialModel):
    """Encoder and decoder (the generator), D₁ and D₂ (the critic), and the moving average of the former.

    Batch normalisation is by the batch over all replicas, so that any number of them computes what one would. The
    moving average of the generator includes its moving statistics. The discriminators see real images in one call and
    fakes in another: in one batch with the fakes, a real image's verdict would depend on them.

    Args:
        generator, ema_generator: from `build_generator`.
        critic: from `build_critic`.
        weights: λ₁…λ₄.
        ema_half_life_images: of the moving average.
    """

    def __init__(
        self,
        generator: keras.Model,
        critic: keras.Model,
        ema_generator: keras.Model,
        weights: LossWeights,
        ema_half_life_images: float,
    ):
        super().__init__(generator, critic, ema_generator, ema_half_life_images, LOSS_NAMES)
        self.encoder, self.decoder = generator.get_layer("encoder"), generator.get_layer("decoder")
        self.loss_weights = weights

    def player_gradients(self, batch, step, stable=True):
        image, margin, shape = batch["image"], batch["margin"], batch["shape"]

        # 1) one pass of the generator serves both players
        with tf.GradientTape() as generator_tape:
            fakes = self.decoder(self.encoder([image, margin, shape], training=True), training=True)
            l1 = reconstruction_term(image, fakes)
        leaf = tf.stop_gradient(fakes)

        # 2) D₁ and D₂: tell real from fake, and the label of both (eq. 3, 4)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(leaf)
            real, fake = self.critic(image, training=True), self.critic(leaf, training=True)
            margin_terms = discriminator_terms(real[:2], fake[:2], margin)
            shape_terms = discriminator_terms(real[2:], fake[2:], shape)
            margin_loss = margin_terms.total(self.loss_weights.margin)
            shape_loss = shape_terms.total(self.loss_weights.shape)
            critic_loss = margin_loss + shape_loss
            # 3) G: be taken for real, and for the label (eq. 5)
            terms = generator_terms(fake[:2], fake[2:], margin, shape)
            verdict = terms.total(self.loss_weights.labels)
            losses = {"margin_loss": margin_loss, "shape_loss": shape_loss}
            losses |= {"adversarial": terms.adversarial, "labels": terms.labels, "l1": l1}
        critic_gradients = tape.gradient(critic_loss, self.critic.trainable_variables)
        fake_gradient = tape.gradient(verdict, leaf)

        # 4) G: what the discriminators say goes through the fakes, the difference of pixels directly
        targets = [fakes, l1]
        seeds = [fake_gradient, tf.constant(self.loss_weights.reconstruction, l1.dtype)]
        return critic_gradients, generator_tape.gradient(targets, self.generator.trainable_variables, seeds), losses
