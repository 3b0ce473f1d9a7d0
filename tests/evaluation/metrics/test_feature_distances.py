"""FID and KID by hand, precision and recall on toys, and what happens when the roles are exchanged."""

import itertools

import numpy as np
import pytest

from evaluation.image_set import EvaluationError
from evaluation.metrics.feature_distances import (
    frechet_distance,
    gaussian_distance,
    kernel_distance,
    manifolds,
    nearest,
    standardise,
)


def cloud(count: int, mean: float = 0.0, spread: float = 1.0, seed: int = 0, features: int = 2) -> np.ndarray:
    return mean + spread * np.random.default_rng(seed).standard_normal((count, features))


def test_fid_of_gaussians_by_hand():
    """Diagonal covariances: 3² + 4² + (1 − 2)² + (3 − 5)²."""
    distance = gaussian_distance(np.zeros(2), np.diag([1.0, 9.0]), np.array([3.0, 4.0]), np.diag([4.0, 25.0]))
    assert distance == pytest.approx(25 + 1 + 4)


def test_fid_of_covariances_that_do_not_commute():
    """By the eigenvalues of Σa·Σb, which has those of Σa^½ Σb Σa^½."""
    a, b = np.array([[2.0, 1], [1, 3]]), np.array([[1.0, -0.5], [-0.5, 2]])
    cross = np.sqrt(np.linalg.eigvals(a @ b).real).sum()
    assert gaussian_distance(np.zeros(2), a, np.zeros(2), b) == pytest.approx(3 + 5 - 2 * cross)


def test_fid_of_four_points_by_hand():
    """Corners of squares of half-side 1 and 2: variances 4/3 and 16/3 (divided by n − 1), distance 2·(√(4/3))²."""
    corners = np.array(list(itertools.product([-1.0, 1.0], repeat=2)))
    assert frechet_distance(corners, 2 * corners) == pytest.approx(2 * (2 - 1) ** 2 * 4 / 3)


def test_fid_is_symmetric_and_0_for_the_same_set():
    a, b = cloud(50), cloud(60, 1, 2, seed=1)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a))
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)


def test_fid_says_how_many_images_it_needs():
    with pytest.raises(EvaluationError, match="FID of 5 features needs at least 6 images .* 4 and 9. KID"):
        frechet_distance(cloud(4, features=5), cloud(9, features=5))


def test_kid_by_hand():
    """One feature, kernel (x·y + 1)³: within {0, 1} it is 1, within {0, 2} 1, across 1, 1, 1 and 27, mean 7.5."""
    assert kernel_distance(np.array([[0.0], [1]]), np.array([[0.0], [2]])) == pytest.approx(1 + 1 - 2 * 7.5)


def test_kid_does_not_depend_on_the_block(monkeypatch):
    a, b = cloud(50), cloud(60, 1, seed=1)
    whole = kernel_distance(a, b)
    monkeypatch.setattr("evaluation.metrics.feature_distances.BLOCK", 7)
    assert kernel_distance(a, b) == pytest.approx(whole) == pytest.approx(kernel_distance(b, a))


def test_kid_of_one_distribution_is_0_on_average():
    values = [kernel_distance(cloud(40, seed=seed), cloud(40, seed=1000 + seed)) for seed in range(200)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(200)


def test_kid_needs_two_images():
    with pytest.raises(EvaluationError, match="at least 2 images of each kind, there are 1 and 5"):
        kernel_distance(cloud(1), cloud(5))


def test_a_collapsed_generator_is_precise_and_recalls_little():
    real = cloud(300)
    found = manifolds(real, np.full((300, 2), 0.05) + 1e-3 * cloud(300, seed=1))
    assert found.precision == 1 and found.recall < 0.05 and found.coverage < 0.2


def test_a_scattered_generator_is_imprecise_and_recalls_all():
    found = manifolds(cloud(300), cloud(300, spread=8, seed=1))
    assert found.precision < 0.3 and found.recall > 0.9


def test_the_same_distribution_scores_high_on_all():
    found = manifolds(cloud(500), cloud(500, seed=1))
    assert min(found.precision, found.recall, found.coverage) > 0.85
    assert found.density == pytest.approx(1, abs=0.15)


def test_swapped_roles_swap_precision_and_recall():
    a, b = cloud(100), cloud(120, 1, 2, seed=1)
    forward, back = manifolds(a, b), manifolds(b, a)
    assert (forward.precision, forward.recall) == (back.recall, back.precision)
    assert forward.precision != forward.recall


def test_manifolds_of_a_line_by_hand():
    """Real 0, 1, 2, 3 with k = 1: balls of radius 1. Generated 3.5 and 10 (radius 6.5 each)."""
    found = manifolds(np.array([[0.0], [1], [2], [3]]), np.array([[3.5], [10.0]]), neighbours=1)
    assert found.precision == 0.5  # 3.5 lies in the ball of 3 only
    assert found.recall == 1  # 0 is 3.5 from 3.5, within 6.5
    assert found.density == 0.5  # (1 + 0) / 1 / 2
    assert found.coverage == 0.25


def test_manifolds_do_not_depend_on_the_block(monkeypatch):
    a, b = cloud(100), cloud(90, 1, seed=1)
    whole = manifolds(a, b)
    monkeypatch.setattr("evaluation.metrics.feature_distances.BLOCK", 13)
    assert manifolds(a, b) == whole


def test_precision_says_how_many_images_it_needs():
    with pytest.raises(EvaluationError, match="at least 4 images of each kind; there are 3 and 9"):
        manifolds(cloud(3), cloud(9))


def test_nearest_names_the_neighbour():
    distance, index = nearest(np.array([[0.0, 0], [5, 5]]), np.array([[9.0, 9], [3, 4], [0, 1]]))
    assert index.tolist() == [2, 1] and distance == pytest.approx([1, 5**0.5])


def test_standardise_by_the_real_ones_alone():
    real = np.array([[0.0, 7], [2, 7]])
    assert standardise(np.array([[3.0, 9]]), real).tolist() == [[2, 0]]  # a constant feature says nothing
