"""The term of the loss that makes two latents give two images of a mask (`schedule.Diversity`, ours)."""

from collections.abc import Callable

import tensorflow as tf

from training.noise import batch_size

TWIN_EVERY = 4  # masks, the first of which is filled twice
COARSE_HEIGHT = 16  # at which images are compared


def fakes_and_gap(
    generator: Callable, real, mask, latent, alpha, draw: Callable, share: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Fill every mask, and measure by how much twins (two fakes of one mask) differ too little, a scalar.

    Twins should differ by `share` times the distance of two real images. All are seen at 16×8 at most, so that texture
    does not pass for tissue. Both distances are Euclidean, the unit in which the critic's slope is one, so that one
    weight suits all phases.

    Args:
        generator: callable on [masks, latents, alpha].
        real, mask: (n, height, width, 1).
        draw: count → latents of the twins.
        share: of the root mean square difference of two real images that twins must reach.
    """
    twin_masks = _every(TWIN_EVERY, mask)
    twins = batch_size(twin_masks)
    masks, latents = tf.concat([mask, twin_masks], 0), tf.concat([latent, draw(twins)], 0)
    fake, twin_fake = tf.split(generator([masks, latents, alpha], training=True), [batch_size(mask), twins])
    first, second = coarse(fake)[::TWIN_EVERY], coarse(twin_fake)
    one, other = coarse(real)[::2], coarse(real)[1::2]
    mean_square = tf.reduce_mean(mean_square_inside(one, other, coarse(_every(2, mask) * _every(2, mask, 1))))
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync > 1:  # a root of a mean does not average over replicas: the mean must be global
        mean_square = context.all_reduce(tf.distribute.ReduceOp.MEAN, mean_square)
    wanted = share * tf.sqrt(mean_square + 1e-12)
    twin_square = mean_square_inside(first, second, coarse(twin_masks))
    gap = tf.sqrt(tf.reduce_sum(twin_masks, axis=(1, 2, 3))) * tf.nn.relu(wanted - tf.sqrt(twin_square + 1e-12))
    return fake, tf.reduce_mean(gap)


def _every(count: int, images: tf.Tensor, first: int = 0) -> tf.Tensor:
    """`images[first::count]`, each image copied whole where a strided slice would copy number by number."""
    return tf.gather(images, tf.range(first, batch_size(images), count))


def coarse(images: tf.Tensor) -> tf.Tensor:
    """Average images down to a height of `COARSE_HEIGHT`; smaller ones stay as they are."""
    factor = max(1, images.shape[1] // COARSE_HEIGHT)
    return tf.nn.avg_pool2d(images, factor, factor, "VALID")


def mean_square_inside(a: tf.Tensor, b: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Compute the mean squared difference of image pairs inside their mask, (pairs,).

    Args:
        a, b, mask: (pairs, height, width, 1); a mask may be fractional.
    """
    pixels = tf.reduce_sum(mask, axis=(1, 2, 3))
    return tf.reduce_sum(mask * tf.square(a - b), axis=(1, 2, 3)) / tf.maximum(pixels, 1.0)
