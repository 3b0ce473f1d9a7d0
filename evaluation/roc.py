"""How well a score tells two groups apart."""

import numpy as np
from scipy import stats

from evaluation.intervals import Estimate, percentile_interval

REPLICATES = 1000


def area_under_roc(scores: np.ndarray, positive: np.ndarray) -> float:
    """Return the probability that a positive scores higher than a negative, ties half; NaN without either."""
    positive = np.asarray(positive, bool)
    count = positive.sum(), (~positive).sum()
    if not all(count):
        return float("nan")
    ranks = stats.rankdata(scores)
    return float((ranks[positive].sum() - count[0] * (count[0] + 1) / 2) / (count[0] * count[1]))


def estimated_area(scores: np.ndarray, positive: np.ndarray, subjects: np.ndarray, seed: int) -> Estimate:
    """Estimate `area_under_roc` with a 95 % interval from a bootstrap of subjects, each drawn with all it has."""
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(subjects == subject) for subject in np.unique(subjects)]
    drawn = []
    for _ in range(REPLICATES):
        some = np.concatenate([members[index] for index in rng.integers(0, len(members), len(members))])
        drawn.append(area_under_roc(scores[some], positive[some]))
    return Estimate(area_under_roc(scores, positive), *percentile_interval(drawn), len(scores))
