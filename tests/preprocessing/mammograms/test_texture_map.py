"""The texture map: edges inside the breast alone."""

import numpy as np

from preprocessing.mammograms.texture_map import edge_map


def test_edge_map_of_a_step_inside_the_breast():
    image = np.zeros((5, 6), np.float32)
    image[:, 3:] = 0.25  # Sobel: 4 · 0.25 = 1 on both sides of the step, and √(1 / 4) = 0.5
    edges = edge_map(image, np.ones((5, 6), bool))
    assert edges.shape == (5, 6, 1) and edges.dtype == np.float32
    np.testing.assert_allclose(edges[2, :, 0], [0.5, 0.5, 0.75, 0.75, 0.5, 0.5])


def test_edge_map_sees_both_directions_alike():
    image = np.random.default_rng(0).random((9, 9), np.float32)
    mask = np.ones((9, 9), bool)
    turned = edge_map(image.T, mask)[..., 0].T
    np.testing.assert_allclose(turned, edge_map(image, mask)[..., 0], atol=1e-6)


def test_edge_map_shows_no_skin_line_and_nothing_outside():
    mask = np.zeros((9, 9), bool)
    mask[2:7, :5] = True
    edges = edge_map(mask * np.float32(0.8), mask)[..., 0]
    np.testing.assert_array_equal(edges, mask * np.float32(0.5))
