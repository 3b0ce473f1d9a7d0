"""Fine octaves made louder for a discriminator (ours).

A critic whose slope is one per unit of plain pixels hardly notices fine tissue: inside a breast, the octave from 64×32
to 128×64 has a root mean square of 0.018, two fifths of that of the octave from 16×8 to 32×16. So the critic sees
images whose octaves are made about equally strong, and its slope is measured on these. The linear map is part of the
critic; the loss of the paper is unchanged.
"""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

TAPS = np.array([1.0, 4.0, 6.0, 4.0, 1.0]) / 16.0


def amplifier(factors: Sequence[float], height: int, width: int, rest: float = 1.0) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return a function of images (n, height, width, 1) that multiplies each octave by its factor.

    An image is blurred again and again: blur k is [1 4 6 4 1]/16 along both axes, its taps 2^k pixels apart, and octave
    k is what it takes away (the "à trous" wavelet transform). Blurs are products with small matrices, whose second
    derivatives are as quick as the products themselves.

    Args:
        factors: of the octaves, finest first. Empty: images as they are.
        rest: factor of what is coarser than these octaves.
    """
    if all(factor == 1.0 for factor in (*factors, rest)):
        return lambda images: images
    shares = np.diff([0.0, *factors, rest])  # of the image and of each blur of it: octaves telescope
    rows, columns = (_blurs(size, len(factors)) for size in (height, width))

    def amplify(images: tf.Tensor) -> tf.Tensor:
        plain = images[..., 0]
        total = tf.cast(shares[0], plain.dtype) * plain
        for share, row, column in zip(shares[1:], rows, columns, strict=True):
            down, across = tf.constant(row, plain.dtype), tf.constant(column.T, plain.dtype)
            total += tf.cast(share, plain.dtype) * tf.matmul(tf.matmul(down, plain), across)
        return total[..., None]

    return amplify


def _blurs(size: int, count: int) -> list[np.ndarray]:
    """Matrices (size, size) of `count` blurs along one axis, each of the one before; edges are continued."""
    matrices, blur = [], np.eye(size)
    for octave in range(count):
        step = np.zeros((size, size))
        for offset, tap in zip(range(-2, 3), TAPS, strict=True):
            reached = np.clip(np.arange(size) + offset * 2**octave, 0, size - 1)
            np.add.at(step, (np.arange(size), reached), tap)
        blur = step @ blur
        matrices.append(blur)
    return matrices
