"""What a sample grid shows."""

import numpy as np

from training.drawing import sample_items


def test_a_sample_grid_shows_no_item_twice():
    held_out, trained = np.arange(5), np.arange(10, 20)
    for seed in range(20):
        drawn = sample_items(held_out, trained, 5, np.random.default_rng(seed))
        assert sorted(drawn) == [0, 1, 2, 3, 4]


def test_too_few_items_are_shown_again():
    drawn = sample_items(np.arange(2), np.arange(10, 13), 4, np.random.default_rng(0))
    assert len(drawn) == 4 and set(drawn) <= {10, 11, 12}
