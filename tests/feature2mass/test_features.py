"""Mixing features: what weights may be, and the ready-made ones."""

import numpy as np
import pytest

from feature2mass.features import (
    FeatureError,
    barycentric_weights,
    category_weights,
    interpolate,
    line_weights,
    spread_weights,
)

RNG = np.random.default_rng(0)
FEATURES = RNG.standard_normal((5, 1024)).astype(np.float32)


def random_weights(rows: int = 7, columns: int = 5) -> np.ndarray:
    return RNG.dirichlet(np.ones(columns), size=rows)


# --- interpolate ----------------------------------------------------------------------------------


def test_one_hot_weights_give_the_feature_itself():
    np.testing.assert_array_equal(interpolate(FEATURES, np.eye(5)[[3, 0]]), FEATURES[[3, 0]])


def test_by_hand():
    np.testing.assert_allclose(interpolate([[0.0, 8.0], [4.0, 0.0]], [[0.25, 0.75]]), [[3.0, 2.0]])


@pytest.mark.parametrize("count", [1, 2, 3, 20, 100])
def test_any_number_of_features(count):
    features = RNG.standard_normal((count, 1024)).astype(np.float32)
    np.testing.assert_allclose(
        interpolate(features, np.full((1, count), 1 / count))[0], features.mean(axis=0), atol=1e-5
    )


def test_features_exchanged_with_their_weights_change_nothing():
    weights, order = random_weights(), RNG.permutation(5)
    np.testing.assert_allclose(
        interpolate(FEATURES, weights), interpolate(FEATURES[order], weights[:, order]), rtol=1e-6, atol=1e-7
    )


@pytest.mark.parametrize(
    "bad, words",
    [
        ([0.5, 0.75, -0.25, 0, 0], r"row 2: weight -0.25 is not 0 or more"),
        ([0.5, 0.25, 0, 0, 0], r"row 2: weights sum to 0.75, not to 1"),
        ([1.0, 0.25, 0, 0, 0], r"row 2: weights sum to 1.25, not to 1"),
        ([np.nan, 1, 0, 0, 0], r"row 2: weight nan is not 0 or more"),
    ],
)
def test_a_row_that_is_no_mixture_is_named(bad, words):
    weights = random_weights()
    weights[2] = bad
    with pytest.raises(FeatureError, match=words):
        interpolate(FEATURES, weights)


@pytest.mark.parametrize(
    "features, weights",
    [((5, 16), (2, 4)), ((2, 5, 16), (2, 5)), ((5, 16), (5,)), ((5,), (1, 5))],
)
def test_shapes_that_do_not_match_are_named(features, weights):
    with pytest.raises(FeatureError) as error:
        interpolate(np.zeros(features), np.full(weights, 1 / weights[-1]))
    assert str(features) in str(error.value) and str(weights) in str(error.value)


def test_weights_that_sum_to_1_but_for_rounding_are_taken():
    interpolate(FEATURES, np.full((1, 5), np.float32(0.2)))


# --- ready-made weights ---------------------------------------------------------------------------


def test_a_line_is_ten_equidistant_points_eight_of_them_between():
    weights = line_weights()
    assert weights.shape == (10, 2)
    np.testing.assert_allclose(weights[[0, -1]], [[1, 0], [0, 1]])
    np.testing.assert_allclose(np.diff(weights[:, 1]), 1 / 9)
    np.testing.assert_allclose(weights.sum(axis=1), 1)


def test_a_triangle_has_twelve_mixtures_none_of_them_a_corner():
    weights = barycentric_weights()
    assert weights.shape == (12, 3) and len(np.unique(weights, axis=0)) == 12
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    assert weights.max() == 0.75 and weights.min() == 0


def test_a_triangle_treats_its_corners_alike():
    weights = barycentric_weights()
    for turned in (np.roll(weights, 1, axis=1), weights[:, ::-1]):
        assert {tuple(row) for row in turned} == {tuple(row) for row in weights}


@pytest.mark.parametrize("seeds", [1, 2, 7, 20])
def test_weights_within_a_category_are_units_of_a_twentieth_that_sum_to_1(seeds):
    weights = category_weights(200, seeds, random=np.random.default_rng(0))
    assert weights.shape == (200, seeds)
    np.testing.assert_allclose(weights * 20, np.round(weights * 20), atol=1e-9)
    np.testing.assert_allclose(weights.sum(axis=1), 1)


def test_no_seed_has_more_than_six_tenths():
    assert category_weights(2000, 2, random=np.random.default_rng(0)).max() == pytest.approx(0.6)


def test_weights_within_a_category_are_uniform_over_the_simplex():
    """Twenty units at Dirichlet(1, …, 1) probabilities: share 1/20, variance (1/20)(19/20)(40/21)/20 = 0.004524."""
    weights = category_weights(4000, random=np.random.default_rng(0))
    np.testing.assert_allclose(weights.mean(axis=0), 0.05, atol=0.005)
    assert weights.var(axis=0).mean() == pytest.approx(0.004524, rel=0.03)


def test_weights_are_a_function_of_the_generator():
    a, b, c = (category_weights(5, random=np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert np.array_equal(a, b) and not np.array_equal(a, c)


# --- weights that are spread ----------------------------------------------------------------------


def test_spread_weights_by_hand():
    """Of four, 0.25 + 0.05 grows to the largest share: its deviation becomes five times as large, as do the others'."""
    np.testing.assert_allclose(spread_weights(np.array([[0.3, 0.25, 0.25, 0.2]])), [[0.5, 0.25, 0.25, 0]], atol=1e-12)


def test_mixtures_by_spread_weights_keep_more_of_the_variance_of_their_features():
    weights = category_weights(400, random=np.random.default_rng(1))
    features = np.random.default_rng(2).standard_normal((20, 1024))
    plain, spread = (np.var(mixture @ features) for mixture in (weights, spread_weights(weights)))
    assert plain < 0.15 and 1.5 * plain < spread < 0.6


def test_spread_weights_sum_to_one_and_leave_unused_features_out():
    weights = category_weights(50, random=np.random.default_rng(3))
    spread = spread_weights(weights)
    np.testing.assert_allclose(spread.sum(axis=1), 1)
    assert (spread[weights == 0] == 0).all()


def test_weights_that_differ_enough_stay_as_they_are():
    weights = np.array([[1.0, 0.0, 0.0], [0.95, 0.05, 0.0]])
    np.testing.assert_allclose(spread_weights(weights), weights)
