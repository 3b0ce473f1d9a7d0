"""How well a score tells two groups apart."""

import numpy as np
from scipy import stats


def area_under_roc(scores: np.ndarray, positive: np.ndarray) -> float:
    """Return the probability that a positive scores higher than a negative, ties half; NaN without either."""
    positive = np.asarray(positive, bool)
    count = positive.sum(), (~positive).sum()
    if not all(count):
        return float("nan")
    ranks = stats.rankdata(scores)
    return float((ranks[positive].sum() - count[0] * (count[0] + 1) / 2) / (count[0] * count[1]))
