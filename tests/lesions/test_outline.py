from itertools import product

import cv2
import numpy as np
import pytest

from lesions.outline import box_around, closed_path, find_outline, mask_of, moved, polygon_of
from preprocessing.phantoms.mass import mass_phantom


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return (one & other).sum() / (one | other).sum()


@pytest.mark.parametrize("seed", range(5))
def test_the_path_is_the_cheapest_of_all_closed_ones(seed):
    cost = np.random.default_rng(seed).random((6, 3))
    closed = [path for path in product(range(3), repeat=6) if all(abs(path[i] - path[i - 1]) <= 1 for i in range(6))]
    best = min(sum(cost[row, column] for row, column in enumerate(path)) for path in closed)
    path = closed_path(cost, 1)
    assert all(abs(path[i] - path[i - 1]) <= 1 for i in range(6))
    assert cost[np.arange(6), path].sum() == pytest.approx(best)


def test_a_blurred_ellipse_is_found():
    y, x = np.mgrid[:80, :80] + 0.5
    ellipse = ((x - 42) / 20) ** 2 + ((y - 38) / 14) ** 2 < 1
    noise = np.random.default_rng(0).standard_normal((80, 80))
    found = find_outline(cv2.GaussianBlur(np.float32(ellipse), (0, 0), 2) + 0.1 * noise, (22, 24, 40, 28))
    assert iou(found, ellipse) > 0.9


def test_outlines_of_phantoms_are_found():
    scores = []
    for seed in range(20):
        image, truth = mass_phantom(seed, ("round", "oval", "lobulated", "irregular")[seed % 4], "circumscribed")
        scores.append(iou(find_outline(image, box_around(polygon_of(truth))), truth))
    assert np.mean(scores) > 0.8


def test_a_mask_survives_being_a_polygon():
    mask = np.zeros((9, 12), bool)
    mask[2:6, 3:10] = True
    mask[6, 4] = True
    assert (mask_of(polygon_of(mask), mask.shape) == mask).all()


def test_the_box_of_a_polygon_is_that_of_its_mask():
    mask = np.zeros((9, 12), bool)
    mask[2:6, 3:10] = True
    assert box_around(polygon_of(mask)) == (3, 2, 7, 4)


def test_the_largest_component_is_taken():
    mask = np.zeros((10, 10), bool)
    mask[0, 0] = True
    mask[4:8, 4:8] = True
    assert box_around(polygon_of(mask)) == (4, 4, 4, 4)


def test_a_polygon_is_shifted():
    assert moved([(1, 2)], 10, 20) == ((11, 22),)


def test_an_empty_mask_has_no_polygon():
    with pytest.raises(ValueError, match="empty"):
        polygon_of(np.zeros((3, 3), bool))
