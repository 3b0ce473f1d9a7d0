"""Terms of losses that several systems share, written with `keras.ops`."""

from keras import ops


def cross_entropy(logits, targets):
    """Binary cross-entropy of σ(logits) with targets in [0, 1], averaged over batch and classes.

    Args:
        logits: float (n, classes), unbounded.
        targets: of the same shape, or a number.

    Returns:
        Scalar, 0 or more.
    """
    return ops.mean(ops.softplus(logits) - logits * ops.cast(targets, logits.dtype))
