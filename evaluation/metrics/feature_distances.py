"""Distances between two sets of feature vectors, (n, d) each: FID, KID, precision, recall, density, coverage.

They take features, so that the extractor is the user's choice. The metrics standardise features by the real images
first, since radiomic ones have units: their values are comparable with each other, never with a published FID, and
their names say so (`fid_radiomic_z`).
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from evaluation.image_set import EvaluationError
from evaluation.metrics.features import Extractor
from evaluation.metrics.metric import HIGH, LOW, Chunk, Metric, Row, Sets, distance_row

NEIGHBOURS = 3  # Kynkäänniemi 2019, §3: k = 3
BLOCK = 1000  # rows of a distance matrix in memory at once


def standardise(features: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Subtract the mean of the real features and divide by their standard deviation; constant ones become 0."""
    mean, spread = real.mean(axis=0), real.std(axis=0)
    return (features - mean) / np.where(spread > 1e-12, spread, np.inf)


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Compute the FID (Heusel et al. 2017, eq. 6): squared 2-Wasserstein distance of the Gaussians fitted to two sets.

    Symmetric. Biased: it falls with the number of images. Covariances divide by n − 1.

    Raises:
        EvaluationError: not more images than features, so that a covariance has no full rank; or features that are not
            finite.
    """
    _check_finite(first, second)
    needed = first.shape[1] + 1
    if min(len(first), len(second)) < needed:
        raise EvaluationError(
            f"FID of {first.shape[1]} features needs at least {needed} images of each kind; there are "
            f"{len(first)} and {len(second)}. KID needs fewer"
        )
    return gaussian_distance(first.mean(axis=0), _covariance(first), second.mean(axis=0), _covariance(second))


def gaussian_distance(mean_a: np.ndarray, cov_a: np.ndarray, mean_b: np.ndarray, cov_b: np.ndarray) -> float:
    """Compute |μ_a − μ_b|² + tr(Σ_a + Σ_b − 2·(Σ_a^½ Σ_b Σ_a^½)^½), never below 0 (Dowson and Landau 1982)."""
    values, vectors = np.linalg.eigh(cov_a)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ cov_b @ root), 0)).sum()
    return max(0.0, float(((mean_a - mean_b) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * cross))


def _check_finite(*sets: np.ndarray) -> None:
    """Raise EvaluationError for features that are not finite: their distance is no number, and never the best one."""
    for features in sets:
        broken = int((~np.isfinite(features)).any(axis=1).sum())
        if broken:
            raise EvaluationError(
                f"the features of {broken} of {len(features)} images are NaN or infinite; give another --extractor"
            )


def _covariance(features: np.ndarray) -> np.ndarray:
    return np.atleast_2d(np.cov(features, rowvar=False))


def kernel_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Compute the KID (Bińkowski et al. 2018, §4): unbiased squared MMD with the kernel (x·y/d + 1)³.

    Symmetric; its expectation is 0 for two samples of one distribution, so single values can be negative. Memory: d².

    Raises:
        EvaluationError: fewer than two images of either kind, or features that are not finite.
    """
    _check_finite(first, second)
    m, n = len(first), len(second)
    if min(m, n) < 2:
        raise EvaluationError(f"KID needs at least 2 images of each kind, there are {m} and {n}")

    def total(a: np.ndarray, b: np.ndarray) -> float:
        blocks = (a[start : start + BLOCK] for start in range(0, len(a), BLOCK))
        return sum(float(((block @ b.T / a.shape[1] + 1) ** 3).sum()) for block in blocks)

    def within(a: np.ndarray) -> float:
        itself = float((((a * a).sum(axis=1) / a.shape[1] + 1) ** 3).sum())
        return (total(a, a) - itself) / (len(a) * (len(a) - 1))

    return within(first) + within(second) - 2 * total(first, second) / (m * n)


@dataclass(frozen=True)
class Manifolds:
    """How two sets overlap, judged by balls that reach to the k-th neighbour of each point of a set.

    Attributes:
        precision: share of generated points in a ball of a real one: are they like real ones?
        recall: share of real points in a ball of a generated one: is all of it made? (Kynkäänniemi et al. 2019, eq. 2)
        density: real balls that a generated point lies in, over k; above 1 where they crowd (Naeem et al. 2020, eq. 3).
        coverage: share of real points with a generated one in their ball (Naeem et al. 2020, eq. 4).
    """

    precision: float
    recall: float
    density: float
    coverage: float


def manifolds(real: np.ndarray, fake: np.ndarray, neighbours: int = NEIGHBOURS) -> Manifolds:
    """Compute precision, recall, density and coverage; with swapped roles precision and recall change places.

    Raises:
        EvaluationError: not more than `neighbours` images of either kind, or features that are not finite.
    """
    _check_finite(real, fake)
    if min(len(real), len(fake)) <= neighbours:
        raise EvaluationError(
            f"precision and recall need at least {neighbours + 1} images of each kind; "
            f"there are {len(real)} and {len(fake)}"
        )
    reach_real, reach_fake = (_reach(points, neighbours) for points in (real, fake))
    inside_real = np.zeros(len(fake), int)  # balls of real points around each generated one
    inside_fake, covered = np.zeros(len(real), bool), np.zeros(len(real), bool)
    for rows, distance in _squared_in_blocks(real, fake):
        in_ball = distance <= reach_real[rows, None]
        inside_real += in_ball.sum(axis=0)
        covered[rows] = in_ball.any(axis=1)
        inside_fake[rows] = (distance <= reach_fake[None]).any(axis=1)
    return Manifolds(
        precision=float((inside_real > 0).mean()),
        recall=float(inside_fake.mean()),
        density=float(inside_real.mean() / neighbours),
        coverage=float(covered.mean()),
    )


def nearest(points: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the distance of each point to the nearest of others, and which one that is: float (n,), int (n,)."""
    distances, indices = np.empty(len(points)), np.empty(len(points), np.int64)
    for rows, squared in _squared_in_blocks(points, others):
        indices[rows] = squared.argmin(axis=1)
        distances[rows] = np.sqrt(squared.min(axis=1))
    return distances, indices


def _reach(points: np.ndarray, neighbours: int) -> np.ndarray:
    """Return the squared distance of each point to its k-th neighbour in its own set."""
    reach = np.empty(len(points))
    for rows, squared in _squared_in_blocks(points, points):
        reach[rows] = np.partition(squared, neighbours, axis=1)[:, neighbours]  # itself is the 0th
    return reach


def _squared_in_blocks(points: np.ndarray, others: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield the squared distances of points to all others, a block of points at a time."""
    for start in range(0, len(points), BLOCK):
        rows = slice(start, start + BLOCK)
        a = points[rows]
        squared = (a * a).sum(axis=1)[:, None] + (others * others).sum(axis=1)[None] - 2 * a @ others.T
        yield rows, np.maximum(squared, 0, out=squared)


# ------------------------------------------------------------------------------------ the metrics


def feature_metrics(extractor: Extractor, name: str) -> tuple[Metric, ...]:
    """Make the metrics of an extractor's features; they share one description of each image.

    Args:
        name: of the extractor, for the metrics' names; what is no letter or digit becomes a hyphen.
    """
    short = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-") or "unnamed"

    def describe(chunk: Chunk) -> np.ndarray:
        return np.asarray(extractor(chunk.images, chunk.masks), np.float64)

    def metric(kind: str, title: str, wanted: str, compare: Callable[[Metric, Sets], list[Row]]) -> Metric:
        described = f"{title} of {short} features, z-scored"
        return Metric(f"{kind}_{short}_z", described, wanted, compare, {"features": describe})

    k = f"k{NEIGHBOURS}"
    return (
        metric("fid", "FID", LOW, _compare(frechet_distance, lambda features: 2 * (features + 1))),
        metric("kid", "KID", LOW, _compare(kernel_distance, lambda features: 4, (-np.inf, np.inf))),
        metric(f"precision_{k}", "precision", HIGH, _compare(_overlap("precision"), _needs_neighbours, (0, 1))),
        metric(f"recall_{k}", "recall", HIGH, _compare(_overlap("recall"), _needs_neighbours, (0, 1))),
        metric(f"density_{k}", "density", HIGH, _compare(_overlap("density"), _needs_neighbours)),
        metric(f"coverage_{k}", "coverage", HIGH, _compare(_overlap("coverage"), _needs_neighbours, (0, 1))),
    )


def _compare(
    statistic: Callable[[np.ndarray, np.ndarray], float],
    needs: Callable[[int], int],
    bounds: tuple[float, float] = (0, np.inf),
) -> Callable[[Metric, Sets], list[Row]]:
    """Compare standardised features; `needs`, of their number, is twice what half-samples must still have."""

    def compare(metric: Metric, sets: Sets) -> list[Row]:
        _check_finite(*sets.described["features"])
        pooled = sets.pooled("features")
        pooled = standardise(pooled, pooled[: len(sets.real)])
        of_indices = lambda a, b: statistic(pooled[a], pooled[b])
        return [distance_row(metric, sets, of_indices, needs=needs(pooled.shape[1]), bounds=bounds)]

    return compare


def _overlap(name: str) -> Callable[[np.ndarray, np.ndarray], float]:
    return lambda real, fake: getattr(manifolds(real, fake), name)


def _needs_neighbours(features: int) -> int:
    return 2 * (NEIGHBOURS + 1)
