"""Visual feature processing (Lee et al. 2018, §2.2, eq. 2): encode masses, mix their features, decode the mixtures.

features = encode(encoder, images, margins, shapes)
masses = decode(decoder, interpolate(features, line_weights()))
"""

from typing import Any

import keras
import numpy as np

from feature2mass.networks import SIZE
from training.export import computing

SEEDS = 20  # random masses of a category from which a new one is mixed (§3.4)
UNIT = 0.05  # their weights are multiples of it (§3.4)
LARGEST = 0.6  # share that one seed may have (ours)
SPREAD = 0.5  # of a feature's variance, which mixtures by spread weights have (ours)
LARGEST_SPREAD = 0.5  # share that a seed may have by spreading (ours)
BATCH = 64


class FeatureError(ValueError):
    """Features and weights that do not go together; the message names the row."""


def encode(encoder: keras.Model, images: np.ndarray, margins: np.ndarray, shapes: np.ndarray) -> np.ndarray:
    """Compute the visual features of labelled masses.

    Args:
        images: float (n, 64, 64) or (n, 64, 64, 1) in [0, 1].
        margins, shapes: indices of classes, int (n,).

    Returns:
        float32 (n, 1024).
    """
    images = np.asarray(images, np.float32).reshape(-1, SIZE, SIZE, 1)
    one_hot = [
        np.eye(tensor.shape[-1], dtype=np.float32)[np.asarray(labels)]
        for tensor, labels in zip(encoder.inputs[1:], (margins, shapes), strict=True)
    ]
    return _in_batches(encoder, [images, *one_hot])


def decode(decoder: keras.Model, features: np.ndarray) -> np.ndarray:
    """Compute masses, float32 (n, 64, 64) in [0, 1], from visual features (n, 1024)."""
    return _in_batches(decoder, [np.asarray(features, np.float32)])[..., 0]


def _in_batches(network: keras.Model, inputs: list[np.ndarray]) -> np.ndarray:
    """Call a network in batches; `predict` would compile anew for each network and for a smaller last batch."""
    count = len(inputs[0])
    batches = [[values[first : first + BATCH] for values in inputs] for first in range(0, max(count, 1), BATCH)]
    with computing():
        outputs = [network(batch if len(batch) > 1 else batch[0], training=False) for batch in batches]
    return np.concatenate([keras.ops.convert_to_numpy(output) for output in outputs])


def interpolate(features: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Combine any number of features convexly (Lee et al. 2018, eq. 2).

    Args:
        features: (N, F).
        weights: (M, N), each row 0 or more and of sum 1.

    Returns:
        float32 (M, F).

    Raises:
        FeatureError: shapes that do not match, or a row with a negative weight or another sum, which it names.
    """
    features, weights = np.asarray(features), np.asarray(weights, np.float64)
    if weights.ndim != 2 or features.ndim != 2 or weights.shape[1] != len(features):
        raise FeatureError(f"weights {weights.shape} and features {features.shape}: must be (M, N) and (N, F)")
    for row, values in enumerate(weights):
        if not (values >= 0).all():  # NaN too
            raise FeatureError(f"row {row}: weight {values[~(values >= 0)][0]:g} is not 0 or more")
        if abs(values.sum() - 1) > 1e-6:
            raise FeatureError(f"row {row}: weights sum to {values.sum():g}, not to 1")
    return np.einsum("mn,nf->mf", weights, features.astype(np.float64)).astype(np.float32)


def spread_weights(weights, ops: Any = np):
    """Spread weights, so that they keep more of the variance of the features that they mix (ours).

    Of the variance of twenty unrelated features a mixture by `category_weights` keeps a tenth or less, and all mixtures
    of a category decode to nearly the same pale mass. Here the weights' deviations from equal ones are enlarged until
    the sum of their squares is half of what a single feature has, that is (1 − 1/n) / 2, or until the largest weight
    is 0.5, so that no mass is the copy of one. Some weights become negative; their sum stays 1.

    Args:
        weights: (M, N), of sum 1 per row; weights of 0 are not of the mixture and stay 0.
        ops: `keras.ops` for tensors, as in a train step.

    Returns:
        float (M, N).
    """
    used = ops.where(weights > 0, 1.0, 0.0)
    equal = used / ops.sum(used, axis=1, keepdims=True)
    share = ops.max(equal, axis=1, keepdims=True)
    deviations = weights - equal
    energies = ops.sum(ops.square(deviations), axis=1, keepdims=True)
    factors = ops.minimum(
        ops.sqrt(SPREAD * (1 - share) / ops.maximum(energies, 1e-8)),
        (LARGEST_SPREAD - share) / ops.maximum(ops.max(deviations, axis=1, keepdims=True), 1e-4),
    )
    return equal + ops.maximum(factors, 1) * deviations


def line_weights(points: int = 10) -> np.ndarray:
    """Return weights (points, 2) from the first feature to the second at equal distances (Fig. 3: eight between)."""
    second = np.linspace(0, 1, points)
    return np.stack([1 - second, second], axis=1)


def barycentric_weights() -> np.ndarray:
    """Return weights (12, 3) of the twelve mixtures of three features (Fig. 4).

    The paper says "twelve" and no more. Taken are the points of a triangle whose sides are divided in four, without its
    corners, from the first feature's corner down (ours).
    """
    steps = [(4 - row, row - column, column) for row in range(5) for column in range(row + 1)]
    return np.array([step for step in steps if max(step) < 4]) / 4


def category_weights(
    count: int, seeds: int = SEEDS, *, random: np.random.Generator, largest: float = LARGEST
) -> np.ndarray:
    """Draw random weights in units of 0.05.

    The paper's are "randomly initialized in the unit of 0.05" (§3.4). Here twenty units are thrown at the seeds with
    probabilities uniform on a simplex, and none of several seeds has more than `largest` (both ours).

    Args:
        largest: weight that one seed may have where there are two or more, so that no mass is the copy of one; 1: any.

    Returns:
        float64 (count, seeds), each row of sum 1.
    """
    units = round(1 / UNIT)
    weights = np.ones((count, seeds))
    again = np.full(count, seeds > 1)
    while again.any():
        probabilities = random.dirichlet(np.ones(seeds), size=again.sum())
        weights[again] = [random.multinomial(units, row) / units for row in probabilities]
        again = weights.max(axis=1) > largest + UNIT / 2 if seeds > 1 else again
    return weights
