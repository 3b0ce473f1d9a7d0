"""Masks, brightness and fine texture of images made so that the answer is known."""

import numpy as np
import pytest

from evaluation.metrics.masks import histogram, histogram_distance, intersection_over_union, leakage
from evaluation.metrics.texture import fine_energy


def test_iou_by_construction():
    a, b = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    a[:2], b[1:3] = True, True  # 4 shared of 12
    assert intersection_over_union(a, b) == pytest.approx(1 / 3)
    assert intersection_over_union(a, a) == 1
    assert intersection_over_union(~a & a, ~b & b) == 1


def test_leakage_by_construction():
    image, mask = np.zeros((4, 4), np.float32), np.zeros((4, 4), bool)
    mask[:, :2] = True
    image[0, 0], image[0, 3] = 0.75, 0.25
    assert leakage(image, mask) == pytest.approx(0.25)
    assert leakage(image, ~mask) == pytest.approx(0.75)
    assert leakage(image * mask, mask) == 0
    assert np.isnan(leakage(0 * image, mask))


def test_a_histogram_counts_inside_the_mask_only():
    image = np.array([[0.0, 0.3], [0.6, 1.0]])
    assert histogram(image, np.ones((2, 2), bool), bins=4).tolist() == [0.25, 0.25, 0.25, 0.25]
    assert histogram(image, np.array([[True, False], [False, True]]), bins=2).tolist() == [0.5, 0.5]


def test_the_histogram_distance_is_how_far_brightness_moves():
    """Everything from the first to the last of four bins: three bins of 0.25."""
    first, last = np.array([1.0, 0, 0, 0]), np.array([0, 0, 0, 1.0])
    assert histogram_distance(first, last) == histogram_distance(last, first) == pytest.approx(0.75)
    assert histogram_distance(first, first) == 0


def test_fine_energy_of_white_noise_is_the_share_of_high_frequencies():
    """The disc of radius 0.25 is π/16 of the square of frequencies; the rest of the variance is fine."""
    image = 0.1 * np.random.default_rng(0).standard_normal((512, 512))
    assert fine_energy(image, np.ones(image.shape, bool)) == pytest.approx(0.01 * (1 - np.pi / 16), rel=0.03)
