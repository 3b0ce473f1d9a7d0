"""A train step in which the discriminators teach texture (ours; the losses of Lee et al. 2018, eq. 3–5, stay).

With the paper's weights L1 decides after minutes, and what it cannot predict it averages away: masses are blurred. Each
field of `Texture` is a switch, and with all of them off this is the step of `feature2mass.train_step`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from feature2mass.features import spread_weights
from feature2mass.losses import discriminator_loss, generator_terms, reconstruction_term
from feature2mass.networks import SIZE
from feature2mass.train_step import Feature2Mass
from training.amplification import amplifier
from training.noise import global_batch_noise, stream_seed

# about the contrast of masses over the strength of their octaves, less for the finest, which is noise in part
AMPLIFIED = (6.0, 4.0, 3.0, 2.0)
PENALISED = 4  # every fourth real mass: a second derivative costs as much as the rest of a step


@dataclass(frozen=True)
class Texture:
    """Switches of the train step; by default all are off.

    Attributes:
        amplification: factors of the octaves that the discriminators see, finest first (`training.amplification`).
        penalty: γ, weight of the squared slope of real-or-fake logits at real masses, in the amplified space (R1;
            Mescheder et al. 2018, eq. 9).
        mixtures: share of a batch that is decoded from mixtures within its category, as new masses are. Mixtures have
            no L1 term; the discriminators judge them, and their labels.
        amplified_reconstruction: L1 compares masses with their octaves amplified, too. As they are, what is fine is so
            faint that it hardly counts.
        final_reconstruction: λ₄ at the end of a long training; 0: it stays what it is.
        reconstruction_half_life_images: images in which the difference to it halves.
    """

    amplification: tuple[float, ...] = ()
    penalty: float = 0.0
    mixtures: float = 0.0
    amplified_reconstruction: bool = False
    final_reconstruction: float = 0.0
    reconstruction_half_life_images: float = 100_000.0

    def reconstruction(self, start: float, images_seen: tf.Tensor) -> tf.Tensor:
        """λ₄ after a number of images, from `start`."""
        if not self.final_reconstruction:
            return tf.constant(start, tf.float32)
        halvings = tf.cast(images_seen, tf.float32) / self.reconstruction_half_life_images
        return self.final_reconstruction + (start - self.final_reconstruction) * 0.5**halvings


class TexturedFeature2Mass(Feature2Mass):
    """Encoder and decoder against discriminators that judge texture.

    Args:
        arguments: those of `Feature2Mass`.
        spread: whether weights of mixtures are spread (`features.spread_weights`).
        seed: of the run; mixtures and noise are functions of it and of the step.
    """

    def __init__(self, *arguments: Any, texture: Texture, spread: bool, seed: int):
        super().__init__(*arguments)
        self.trackers["penalty"] = keras.metrics.Mean("penalty", dtype="float64")
        self.texture, self.spread = texture, spread
        self.discriminators = [self.discriminator.get_layer(f"{name}_discriminator") for name in ("margin", "shape")]
        self.as_seen = amplifier(texture.amplification, SIZE, SIZE)
        self.mixture_seed = stream_seed(seed, "mixtures")

    def player_gradients(self, batch, step, variant):
        image, margin, shape = batch["image"], batch["margin"], batch["shape"]
        count = image.shape[0]
        reconstructed = count - round(self.texture.mixtures * count)  # the first of a batch, whose order is random

        # 1) one pass of the generator serves both players
        with tf.GradientTape() as generator_tape:
            features = self.encoder([image, margin, shape], training=True)
            fakes = self.decoder(self._decoded(features, margin, shape, reconstructed, step), training=True)
            l1 = reconstruction_term(*(self._compared(one[:reconstructed]) for one in (image, fakes)))
        leaf = tf.stop_gradient(fakes)

        # 2) D₁ and D₂: tell real from fake, and the label of both (eq. 3, 4), with a gentle slope at real masses
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(leaf)
            seen = self.as_seen(image)
            real, fake = (
                [discriminator(images, training=True) for discriminator in self.discriminators]
                for images in (seen, self.as_seen(leaf))
            )
            weights = self.loss_weights.margin, self.loss_weights.shape
            losses = [
                discriminator_loss(r, f, label, weight)
                for r, f, label, weight in zip(real, fake, (margin, shape), weights, strict=True)
            ]
            some = seen[::PENALISED]
            penalty = slope(self.discriminators, some) if self.texture.penalty else tf.zeros((), seen.dtype)
            both = losses[0] + losses[1] + self.texture.penalty * penalty
            # 3) G: be taken for real, and for the label (eq. 5)
            adversarial, labels = generator_terms(*fake, margin, shape)
            verdict = adversarial + self.loss_weights.labels * labels
        discriminator_gradients = tape.gradient(both, self.discriminator.trainable_variables)
        fake_gradient = tape.gradient(verdict, leaf)

        # 4) G: adversarial gradients arrive through the fakes, L1 directly
        reconstruction = self.texture.reconstruction(self.loss_weights.reconstruction, step * self.duration.batch)
        seeds = [fake_gradient, tf.cast(reconstruction, l1.dtype)]
        generator_gradients = generator_tape.gradient([fakes, l1], self.generator.trainable_variables, seeds)
        values = (*losses, adversarial, labels, l1, penalty)
        return discriminator_gradients, generator_gradients, dict(zip(self.trackers, values, strict=True))

    def _decoded(self, features, margin, shape, reconstructed: int, step):
        """What is decoded: the first features as they are, mixtures in place of the rest."""
        count = features.shape[0]
        if reconstructed == count:
            return features
        draws = global_batch_noise(tf.random.stateless_uniform, count, (count,), self.mixture_seed, step)
        mixtures = mixed_within_categories(features, margin, shape, draws, self.spread)
        return tf.concat([features[:reconstructed], mixtures[reconstructed:]], 0)

    def _compared(self, images):
        """Images as L1 sees them."""
        return self.as_seen(images) if self.texture.amplified_reconstruction else images


def mixed_within_categories(features, margin, shape, draws, spread: bool = False):
    """Each feature replaced by a random mixture of those of a batch with both its labels, itself among them.

    Args:
        features: (n, 1024).
        margin, shape: one-hot, (n, classes).
        draws: uniform in [0, 1), (n, n): weights are uniform on the simplex, as those of new masses are.
        spread: whether weights are spread as by `features.spread_weights`.
    """
    alike = tf.matmul(margin, margin, transpose_b=True) * tf.matmul(shape, shape, transpose_b=True)
    weights = (1e-6 - tf.math.log(draws + 1e-7)) * alike  # above 0: a mass may be the only one of its category
    weights /= tf.reduce_sum(weights, axis=1, keepdims=True)
    if spread:
        weights = spread_weights(weights, keras.ops)
    return tf.matmul(tf.cast(weights, features.dtype), features)


def slope(discriminators: Sequence[Callable], seen):
    """½·E‖∇D(x)‖² of real-or-fake logits, summed over discriminators (R1; Mescheder et al. 2018, eq. 9).

    Args:
        discriminators: images → [logits (n, 1), labels].
        seen: real masses as the discriminators see them, (n, 64, 64, 1).
    """
    with tf.GradientTape() as tape:
        copies = [tf.identity(seen) for _ in discriminators]
        tape.watch(copies)
        outputs = [discriminator(copy, training=True) for discriminator, copy in zip(discriminators, copies)]
        score = sum(tf.reduce_sum(verdict) for verdict, _ in outputs)
    gradients = tape.gradient(score, copies)
    return sum(0.5 * tf.reduce_mean(tf.reduce_sum(tf.square(one), axis=(1, 2, 3))) for one in gradients)
