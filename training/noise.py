"""Random numbers that are a pure function of (seed, step), the same whatever the number of replicas.

A `keras.random.SeedGenerator` gives every replica the same numbers and is lost by a checkpoint. Here numbers are drawn
for the *global* batch from a counter, and each replica takes its slice: one, two and eight replicas train the same
model and a resumed run needs no random state.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf


def stream_seed(seed: int, *names: int | str) -> int:
    """Return a 31-bit seed for one named stream of a run, e.g. `stream_seed(seed, "latent", phase)`."""
    words = [seed, *(int.from_bytes(str(name).encode(), "little") for name in names)]
    return int(np.random.SeedSequence(words).generate_state(1)[0] >> 1)


def batch_size(images: tf.Tensor) -> tf.Tensor | int:
    """Count the images in a batch; a number where it is known when the step is compiled."""
    return images.shape[0] or tf.shape(images)[0]


def global_batch_noise(
    draw: Callable[..., tf.Tensor], local_batch: tf.Tensor | int, shape: tuple[int, ...], seed: int, step: tf.Tensor
) -> tf.Tensor:
    """Return this replica's slice of noise drawn for the global batch.

    Args:
        draw: `tf.random.stateless_normal` or `tf.random.stateless_uniform`.
        local_batch: images on this replica (the same on each).
        shape: shape of one image's noise.
        seed: the stream's seed, from `stream_seed`.
        step: scalar, the counter.

    Returns:
        float32 tensor `(local_batch, *shape)`.
    """
    context = tf.distribute.get_replica_context()
    replicas = context.num_replicas_in_sync
    whole = draw((local_batch * replicas, *shape), seed=tf.stack([tf.cast(seed, tf.int64), tf.cast(step, tf.int64)]))
    if replicas == 1:
        return whole
    start = context.replica_id_in_sync_group * local_batch
    return whole[start : start + local_batch]
