"""How alike the fine detail of two images is."""

import cv2
import numpy as np
import pytest

from evaluation.image_set import Samples
from evaluation.metrics.detail import DETAIL_OF_ONE_MASK, DETAIL_OF_PAIRS, detail_correlation
from evaluation.metrics.metric import Sets

SIZE = (48, 40)
WHOLE = np.ones(SIZE, bool)


def grain(seed: int, strength: float = 0.02) -> np.ndarray:
    return strength * np.random.default_rng(seed).standard_normal(SIZE)


def clouds(seed: int) -> np.ndarray:
    return 0.5 + 3 * cv2.GaussianBlur(grain(seed, 1.0), (0, 0), 12)


def test_equal_detail_over_other_tissue_is_found():
    assert detail_correlation(clouds(0) + grain(1), clouds(2) + grain(1), WHOLE) > 0.95


def test_other_detail_in_the_same_tissue_is_not():
    assert abs(detail_correlation(clouds(0) + grain(1), clouds(0) + grain(2), WHOLE)) < 0.1


def test_a_pattern_that_is_half_of_the_variance_of_both_is_a_half():
    images = [0.5 + grain(0) + grain(seed) for seed in (1, 2)]
    assert detail_correlation(*images, WHOLE) == pytest.approx(0.5, abs=0.06)


def test_the_skin_line_does_not_count():
    mask = np.zeros(SIZE, bool)
    mask[4:-4, :-4] = True
    images = [mask * (0.5 + grain(seed)) for seed in (1, 2)]
    assert abs(detail_correlation(*images, mask)) < 0.15 < detail_correlation(*images, WHOLE)


@pytest.mark.parametrize("second", [np.full(SIZE, 0.5), clouds(0) + grain(0)], ids=["flat", "too small"])
def test_without_detail_or_room_there_is_no_number(second):
    inside = np.zeros(SIZE, bool) if second.std() else WHOLE
    assert np.isnan(detail_correlation(clouds(0) + grain(0), second, inside))


def set_of(details: list[int], name: str, per_mask: int = 1) -> Samples:
    """Images with the grain of each seed; each mask has `per_mask` of them."""
    masks = np.ones((len(details), *SIZE), bool)
    masks[np.arange(len(details)), 0, np.arange(len(details)) // per_mask] = False
    images = np.stack([clouds(number) + grain(seed) for number, seed in enumerate(details)])
    return Samples(images, masks, name, np.arange(len(details)) // per_mask)


def rows_of(metric, fake: Samples):
    (row,) = metric.rows(Sets(set_of(list(range(100, 112)), "real"), fake, {}, 0, {}))
    return row


def test_a_generator_that_stamps_one_grain_on_every_image_differs_from_films():
    row = rows_of(DETAIL_OF_PAIRS, set_of(12 * [7], "generated"))
    assert row.generated.value > 0.9 and abs(row.real.value) < 0.1 and row.verdict == "differs"


def test_a_grain_that_follows_from_the_mask_is_found_between_images_of_one_mask_alone():
    fake = set_of([seed for seed in range(6) for _ in range(2)], "generated", per_mask=2)
    assert rows_of(DETAIL_OF_ONE_MASK, fake).generated.value > 0.9
    assert abs(rows_of(DETAIL_OF_PAIRS, fake).generated.value) < 0.1
