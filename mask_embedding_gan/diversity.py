"""The terms of the loss that make two latents give two images of a mask (`schedule`, ours).

Twins are two fakes of one mask. They should differ in what they show, and one's fine detail should not be the other's.
A critic does not ask for the second: its convolutions see whether a patch of tissue looks real, not that every image
has the same patch in the same place. A generator without this term draws much of its detail once and for all.
"""

from collections.abc import Callable, Sequence

import tensorflow as tf

from training.amplification import amplifier
from training.noise import batch_size

TWIN_EVERY = 4  # masks, the first of which is filled twice
COARSE_HEIGHT = 16  # at which images are compared
EDGE = 6  # pixels from the edge of a mask that do not count, as far as octaves reach: twins share its skin line
AS_IN_FILMS = 0.05  # correlation of detail that costs nothing: about that of two patients' films at 64×32 (ours)


def fakes_and_twins(
    generator: Callable, mask, latent, alpha, draw: Callable
) -> tuple[tf.Tensor, tuple[tf.Tensor, tf.Tensor, tf.Tensor]]:
    """Fill every mask, and every fourth one twice.

    Args:
        generator: callable on [masks, latents, alpha].
        mask: (n, height, width, 1).
        draw: count → latents of the twins.

    Returns:
        (one fake per mask, twins: (fakes, second fakes, masks)).
    """
    twin_masks = _every(TWIN_EVERY, mask)
    twins = batch_size(twin_masks)
    masks, latents = tf.concat([mask, twin_masks], 0), tf.concat([latent, draw(twins)], 0)
    fake, twin_fake = tf.split(generator([masks, latents, alpha], training=True), [batch_size(mask), twins])
    return fake, (_every(TWIN_EVERY, fake), twin_fake, twin_masks)


def diversity_gap(twins, real, mask, share: float) -> tf.Tensor:
    """Measure by how much twins differ too little, a scalar.

    They should differ by `share` times the distance of two real images. All are seen at 16×8 at most, so that texture
    does not pass for tissue. Both distances are Euclidean, the unit in which the critic's slope is one, so that one
    weight suits all phases.

    Args:
        twins: from `fakes_and_twins`.
        real, mask: (n, height, width, 1).
        share: of the root mean square difference of two real images that twins must reach.
    """
    *fakes, twin_masks = twins
    first, second = (coarse(fake) for fake in fakes)
    one, other = coarse(real)[::2], coarse(real)[1::2]
    mean_square = tf.reduce_mean(mean_square_inside(one, other, coarse(_every(2, mask) * _every(2, mask, 1))))
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync > 1:  # a root of a mean does not average over replicas: the mean must be global
        mean_square = context.all_reduce(tf.distribute.ReduceOp.MEAN, mean_square)
    wanted = share * tf.sqrt(mean_square + 1e-12)
    twin_square = mean_square_inside(first, second, coarse(twin_masks))
    gap = tf.sqrt(tf.reduce_sum(twin_masks, axis=(1, 2, 3))) * tf.nn.relu(wanted - tf.sqrt(twin_square + 1e-12))
    return tf.reduce_mean(gap)


def fine_octaves(height: int, width: int) -> list[Callable]:
    """Return functions of images of a size to their finest octave, and to the one below it."""
    return [amplifier(factors, height, width, rest=0.0) for factors in ((1.0,), (0.0, 1.0))]


def shared_detail(twins, octaves: Sequence[Callable]) -> tf.Tensor:
    """Measure how alike the detail of twins is: the correlation inside their mask, above `AS_IN_FILMS`, a scalar.

    Args:
        twins: from `fakes_and_twins`.
        octaves: each from images to one of their fine octaves. They are compared one by one, so that none hides in
            another that is stronger; the sum over them is returned.
    """
    first, second, masks = twins
    beyond = -masks
    for size in ((2 * EDGE + 1, 1), (1, 2 * EDGE + 1)):
        beyond = tf.nn.max_pool2d(beyond, size, 1, "SAME")
    alike = [correlation_inside(octave(first), octave(second), -beyond) for octave in octaves]
    return tf.add_n([tf.reduce_mean(tf.nn.relu(one - AS_IN_FILMS)) for one in alike])


def correlation_inside(a: tf.Tensor, b: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Compute the correlation about zero of image pairs inside their mask, (pairs,); 0 where the mask is empty.

    Args:
        a, b, mask: (pairs, height, width, 1).
    """
    inside = lambda x: tf.reduce_sum(mask * x, axis=(1, 2, 3))
    return inside(a * b) * tf.math.rsqrt(inside(a * a) * inside(b * b) + 1e-12)


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
