"""The train step of Feature2Mass (Lee et al. 2018, §3.3): encoder and decoder against two discriminators."""

from dataclasses import dataclass

import keras
import tensorflow as tf

from feature2mass.losses import LossWeights, discriminator_terms, generator_terms, reconstruction_term
from training.adversarial import AdversarialModel
from training.losses import cross_entropy
from training.noise import global_batch_noise, stream_seed

LOSS_NAMES = ("margin_loss", "shape_loss", "adversarial", "labels", "l1", "mixture_adversarial", "mixture_labels")


@dataclass(frozen=True)
class Mixtures:
    """Train on what will be asked for: mixed features of one category, judged like reconstructions (ours).

    The paper decodes mixtures only after training, and a decoder that has only seen features of single masses answers
    with their blurred mean. Here masses of one category come in runs (`preprocessing.dataset.mass_batches`), random
    convex mixtures of a run's features are decoded beside the reconstructions, and both discriminators must take them
    for real and for their category. Discriminators learn labels from masses and reconstructions alone, as in the paper,
    so that a label is never what the generator made of it.

    Attributes:
        run: masses of a category that stand together, at most.
        every: one mixture for every so many masses; divides `run`.
        weight: of the mixtures' terms, beside those of reconstructions.
        power: of the weights before they are made to sum to 1; large: a mixture is mostly one mass.
    """

    run: int = 8
    every: int = 2
    weight: float = 1.0
    power: float = 1.0


def mixture_weights(margin: tf.Tensor, shape: tf.Tensor, noise: tf.Tensor, mixtures: Mixtures) -> tf.Tensor:
    """Convex weights within runs, zero between categories; uniform over a simplex where the power is 1.

    Args:
        margin, shape: one-hot (n, classes), n a multiple of `run`.
        noise: uniform in [0, 1), (n / every, run).

    Returns:
        float (n / run, run / every, run): row k of a run mixes masses of the category of its mass k·every.
    """
    margin, shape = (tf.reshape(label, (-1, mixtures.run, label.shape[-1])) for label in (margin, shape))
    same = [tf.matmul(label[:, :: mixtures.every], label, transpose_b=True) for label in (margin, shape)]
    exponential = -tf.math.log(1.0 - tf.reshape(noise, tf.shape(same[0]))) + 1e-6  # normalised they are uniform
    weights = exponential**mixtures.power * same[0] * same[1]
    return weights / tf.reduce_sum(weights, axis=-1, keepdims=True)


class BiradsGAN(AdversarialModel):
    """Encoder and decoder (the generator), D₁ and D₂ (the critic), and the moving average of the former.

    Batch normalisation is by the batch over all replicas, so that any number of them computes what one would. Mixtures
    go through the decoder in the same call as reconstructions, because statistics of their own would take away in
    training the smaller variance that they have when they are drawn. The moving average of the generator includes its
    moving statistics. The discriminators see real images in one call and all fakes in another: in one batch with the
    fakes, a real image's verdict would depend on them.

    Args:
        generator, ema_generator: from `build_generator`.
        critic: from `build_critic`.
        weights: λ₁…λ₄.
        ema_half_life_images: of the moving average.
        seed: of the run; mixtures are a function of it and of the step.
        mixtures: None is the paper's training.
    """

    def __init__(
        self,
        generator: keras.Model,
        critic: keras.Model,
        ema_generator: keras.Model,
        weights: LossWeights,
        ema_half_life_images: float,
        seed: int = 0,
        mixtures: Mixtures | None = None,
    ):
        names = LOSS_NAMES if mixtures else LOSS_NAMES[:5]
        super().__init__(generator, critic, ema_generator, ema_half_life_images, names)
        self.encoder, self.decoder = generator.get_layer("encoder"), generator.get_layer("decoder")
        self.loss_weights, self.mixtures = weights, mixtures
        self.mixture_seed = stream_seed(seed, "mixtures")

    def player_gradients(self, batch, step):
        image, margin, shape = batch["image"], batch["margin"], batch["shape"]
        count = image.shape[0] or tf.shape(image)[0]

        # 1) one pass of the generator serves both players
        with tf.GradientTape() as generator_tape:
            features = self.encoder([image, margin, shape], training=True)
            if self.mixtures:
                features = tf.concat([features, self._mixed(features, margin, shape, step)], 0)
            fakes = self.decoder(features, training=True)
            l1 = reconstruction_term(image, fakes[:count])
        leaf = tf.stop_gradient(fakes)

        # 2) D₁ and D₂: tell real from fake, and the label of both (eq. 3, 4)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(leaf)
            real, fake = self.critic(image, training=True), self.critic(leaf, training=True)
            made, mixed = [logits[:count] for logits in fake], [logits[count:] for logits in fake]
            margin_terms = discriminator_terms(real[:2], made[:2], margin)
            shape_terms = discriminator_terms(real[2:], made[2:], shape)
            margin_loss = margin_terms.total(self.loss_weights.margin)
            shape_loss = shape_terms.total(self.loss_weights.shape)
            critic_loss = margin_loss + shape_loss
            # 3) G: be taken for real, and for the label (eq. 5)
            terms = generator_terms(made[:2], made[2:], margin, shape)
            verdict = terms.total(self.loss_weights.labels)
            losses = {"margin_loss": margin_loss, "shape_loss": shape_loss}
            losses |= {"adversarial": terms.adversarial, "labels": terms.labels, "l1": l1}
            if self.mixtures:
                seen_through = cross_entropy(mixed[0], 0.0) + cross_entropy(mixed[2], 0.0)
                critic_loss += self.mixtures.weight * seen_through
                every = self.mixtures.every
                mixed_terms = generator_terms(mixed[:2], mixed[2:], margin[::every], shape[::every])
                verdict += self.mixtures.weight * mixed_terms.total(self.loss_weights.labels)
                losses |= {"mixture_adversarial": mixed_terms.adversarial, "mixture_labels": mixed_terms.labels}
        critic_gradients = tape.gradient(critic_loss, self.critic.trainable_variables)
        fake_gradient = tape.gradient(verdict, leaf)

        # 4) G: what the discriminators say goes through the fakes, the difference of pixels directly
        targets = [fakes, l1]
        seeds = [fake_gradient, tf.constant(self.loss_weights.reconstruction, l1.dtype)]
        return critic_gradients, generator_tape.gradient(targets, self.generator.trainable_variables, seeds), losses

    def _mixed(self, features, margin, shape, step) -> tf.Tensor:
        """Mixed features (n / every, 1024), in the order of `margin[::every]`."""
        run, every = self.mixtures.run, self.mixtures.every
        count = features.shape[0] or tf.shape(features)[0]
        noise = global_batch_noise(tf.random.stateless_uniform, count // every, (run,), self.mixture_seed, step)
        weights = mixture_weights(margin, shape, noise, self.mixtures)
        mixed = tf.matmul(tf.cast(weights, features.dtype), tf.reshape(features, (-1, run, features.shape[-1])))
        return tf.reshape(mixed, (-1, features.shape[-1]))
