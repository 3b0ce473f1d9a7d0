"""The train step of Feature2Mass (Lee et al. 2018, §2.4, eq. 3–5): encoder and decoder against two discriminators."""

import tensorflow as tf

from feature2mass.losses import LossWeights, discriminator_loss, generator_terms, reconstruction_term
from training.model import AdversarialModel, Players

LOSS_NAMES = ("margin_loss", "shape_loss", "adversarial", "labels", "l1")


class Feature2Mass(AdversarialModel):
    """Encoder and decoder (the generator), D₁ and D₂ (one discriminator here), and the moving average of the former.

    Batch normalisation is by the batch over all replicas, so that any number of them computes what one would. The
    moving average of the generator includes its moving statistics. The discriminators see real images in one call and
    fakes in another: in one batch with the fakes, a real image's verdict would depend on them.

    Args:
        players: from `build_generator` and `build_discriminators`, D₁ and D₂ as one model.
        weights: λ₁…λ₄.
        ema_half_life_images: of the moving average.
    """

    def __init__(self, players: Players, weights: LossWeights, ema_half_life_images: float):
        super().__init__(players, ema_half_life_images, LOSS_NAMES)
        self.encoder, self.decoder = (players.generator.get_layer(name) for name in ("encoder", "decoder"))
        self.loss_weights = weights

    def player_gradients(self, batch, step, variant):
        image, margin, shape = batch["image"], batch["margin"], batch["shape"]

        # 1) one pass of the generator serves both players
        with tf.GradientTape() as generator_tape:
            fakes = self.decoder(self.encoder([image, margin, shape], training=True), training=True)
            l1 = reconstruction_term(image, fakes)
        leaf = tf.stop_gradient(fakes)

        # 2) D₁ and D₂: tell real from fake, and the label of both (eq. 3, 4)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(leaf)
            real, fake = self.discriminator(image, training=True), self.discriminator(leaf, training=True)
            weights = self.loss_weights
            margin_loss = discriminator_loss(real[:2], fake[:2], margin, weights.margin)
            shape_loss = discriminator_loss(real[2:], fake[2:], shape, weights.shape)
            both = margin_loss + shape_loss
            # 3) G: be taken for real, and for the label (eq. 5)
            adversarial, labels = generator_terms(fake[:2], fake[2:], margin, shape)
            verdict = adversarial + weights.labels * labels
        discriminator_gradients = tape.gradient(both, self.discriminator.trainable_variables)
        fake_gradient = tape.gradient(verdict, leaf)

        # 4) G: adversarial gradients arrive through the fakes, L1 directly
        seeds = [fake_gradient, tf.constant(weights.reconstruction, l1.dtype)]
        generator_gradients = generator_tape.gradient([fakes, l1], self.generator.trainable_variables, seeds)
        losses = (margin_loss, shape_loss, adversarial, labels, l1)
        return discriminator_gradients, generator_gradients, dict(zip(LOSS_NAMES, losses, strict=True))
