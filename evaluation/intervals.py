"""Uncertainty: bootstrap intervals, and what two halves of the real images score against each other.

A distance between two sets (SWD, FID, precision …) depends on how many images it sees, and images drawn twice, as the
plain bootstrap draws them, look like a collapsed generator to it. So

- real images are split into two halves; fakes are compared with either half, and the halves with each other
  (the floor), all with the same number of images;
- the spread comes from random half-samples: half of each set, drawn without replacement. For a mean, the variance of
  half-samples is that of the whole set's mean (Efron 1982, *The Jackknife, the Bootstrap and Other Resampling
  Plans*, ch. 8), and no image is seen twice.

Four images of one patient, or of one mask, are not four independent ones. Therefore halves, half-samples and the
bootstrap take whole subjects: a patient is never in both halves, and an interval counts patients, not images.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.image_set import EvaluationError
from preprocessing.counted import there_are

CONFIDENCE = 0.95
_NORMAL = 1.96  # its quantile
REPLICATES = 40

# A statistic of two sets of images, given as indices: the first is real (or a half of it), the second is judged.
TwoSets = Callable[[np.ndarray, np.ndarray], float]


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval and how many images it was computed from; NaN where there was none."""

    value: float
    low: float
    high: float
    count: int

    def __str__(self) -> str:
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"


@dataclass(frozen=True)
class Comparison:
    """A distance of generated from real images, and the same distance between two halves of the real ones."""

    generated: Estimate
    floor: Estimate


def bootstrap_mean(
    values: np.ndarray, rng: np.random.Generator, subjects: np.ndarray | None = None, replicates: int = 2000
) -> Estimate:
    """Estimate the mean of values with its percentile bootstrap interval; NaN values do not count.

    Args:
        values: (n,).
        subjects: whom each is of, (n,); drawn with all they have. None: each value stands alone.

    Raises:
        EvaluationError: fewer than two values, or all of one subject.
    """
    values = np.asarray(values, np.float64)
    measured = np.isfinite(values)
    values, subjects = values[measured], _numbered(subjects, len(values))[measured]
    if len(values) < 2:
        raise EvaluationError(f"an interval needs at least 2 images that can be measured, {there_are(len(values))}")
    check_subjects(subjects)
    _, subjects = np.unique(subjects, return_inverse=True)
    sums, counts = np.bincount(subjects, values), np.bincount(subjects)
    means = np.empty(replicates)
    for replicate in range(replicates):
        drawn = rng.integers(0, len(sums), len(sums))
        means[replicate] = sums[drawn].sum() / counts[drawn].sum()
    return Estimate(float(values.mean()), *percentile_interval(means), len(values))


def check_subjects(subjects: np.ndarray) -> None:
    """Raise EvaluationError where images, one or more, are all of one subject: no interval can be drawn from it."""
    if len(np.unique(subjects)) < 2:
        raise EvaluationError(
            f"an interval needs images of at least 2 patients (or masks), all {len(subjects)} are of the same one"
        )


def percentile_interval(drawn: np.ndarray | Sequence[float]) -> tuple[float, float]:
    """Return the limits that `CONFIDENCE` of a bootstrap's finite values lie within; NaN where there is none."""
    values = np.asarray(drawn)
    finite, tail = values[np.isfinite(values)], (1 - CONFIDENCE) / 2
    low, high = np.quantile(finite, [tail, 1 - tail]) if len(finite) else (np.nan, np.nan)
    return float(low), float(high)


def halves(subjects: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Split images into two random halves, by their subjects: indices, equally many, no subject in both.

    The cut is where one subject ends and the next begins, as near to the middle as may be.

    Raises:
        EvaluationError: all are of one subject.
    """
    check_subjects(subjects)
    order = whole_subjects(np.arange(len(subjects)), subjects, rng)
    cuts = np.flatnonzero(np.diff(subjects[order])) + 1
    cut = cuts[np.abs(cuts - len(order) / 2).argmin()]
    first, second = order[:cut], order[cut:]
    size = min(len(first), len(second))
    return np.sort(first[:size]), np.sort(second[:size])


def whole_subjects(indices: np.ndarray, subjects: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shuffle indices so that those of one subject follow each other; `subjects` is of all images."""
    _, of_these = np.unique(subjects[indices], return_inverse=True)
    places = rng.permutation(of_these.max(initial=-1) + 1)[of_these]
    shuffled = rng.permutation(len(indices))
    return indices[shuffled[np.argsort(places[shuffled], kind="stable")]]


def _numbered(subjects: np.ndarray | None, count: int) -> np.ndarray:
    return np.arange(count) if subjects is None else np.asarray(subjects)


def compare_sets(
    statistic: TwoSets,
    real: np.ndarray,
    fake: np.ndarray,
    *,
    subjects: np.ndarray | None = None,
    seed: int = 0,
    needs: int = 4,
    at_most: int = 5000,
    bounds: tuple[float, float] = (-np.inf, np.inf),
    name: str = "this metric",
    replicates: int = REPLICATES,
) -> Comparison:
    """Compute a two-set statistic of real and fake, its floor between two halves of real, and both intervals.

    Args:
        statistic: function of two index arrays.
        real, fake: indices of the images; those of fake continue those of real.
        subjects: whose each image is, real and fake; None: each is its own.
        needs: fewest images that the statistic can do with.
        at_most: images of each set that are used; more cost time and hardly sharpen the result.
        bounds: values that the statistic can have; the intervals end there.
        name: of the statistic, for error texts.
        seed, replicates: of the random half-samples, and how many there are.

    Raises:
        EvaluationError: too few images (it says how many are needed), or real or fake ones all of one subject.
    """
    if len(real) < 2 * needs or len(fake) < needs:
        raise EvaluationError(
            f"{name} needs at least {2 * needs} real images (two halves) and {needs} generated ones; "
            f"there are {len(real)} and {len(fake)}"
        )
    rng = np.random.default_rng(seed)
    subjects = _numbered(subjects, len(real) + len(fake))
    check_subjects(subjects[fake])
    parts = [real[half] for half in halves(subjects[real], rng)]
    size = min(len(parts[0]), len(fake), at_most)
    if size < needs:
        raise EvaluationError(
            f"{name} needs at least {needs} real images in either of two halves of whole patients, {there_are(size)}"
        )
    # 1) three or four sets of one size: two halves of real, and fakes for each, other ones if there are enough
    first, second = (np.sort(rng.permutation(part)[:size]) for part in parts)
    order = rng.permutation(fake)
    fakes = np.sort(order[:size]), np.sort(order[size : 2 * size] if len(fake) >= 2 * size else order[:size])

    def both(a: np.ndarray, b: np.ndarray, f: np.ndarray, g: np.ndarray) -> tuple[float, float]:
        return (statistic(a, f) + statistic(b, g)) / 2, statistic(a, b)

    # 2) half-samples of each; the fakes of both halves are drawn alike where they are the same images
    values = both(first, second, *fakes)
    same = fakes[0] is fakes[1] or np.array_equal(*fakes)
    drawn = []
    for _ in range(replicates):
        a, b, f, g = (np.sort(whole_subjects(one, subjects, rng)[: size // 2]) for one in (first, second, *fakes))
        drawn.append(both(a, b, f, f if same else g))
    spread = _NORMAL * np.std(drawn, axis=0, ddof=1)
    ends = [np.clip([value - reach, value + reach], *bounds) for value, reach in zip(values, spread)]
    return Comparison(*(Estimate(float(v), float(low), float(high), size) for v, (low, high) in zip(values, ends)))
