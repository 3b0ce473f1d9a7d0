"""Terms of losses that several systems share, written with `keras.ops`."""

from keras import ops


def cross_entropy(logits, targets):
    """Compute the binary cross-entropy of σ(logits) with targets in [0, 1], averaged over all logits.

    Args:
        logits: float of any shape, unbounded.
        targets: of the same shape, or a number.

    Returns:
        Scalar, 0 or more.
    """
    return ops.mean(ops.softplus(logits) - logits * ops.cast(targets, logits.dtype))
