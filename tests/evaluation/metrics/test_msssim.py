"""MS-SSIM against two other libraries, and the similarity within sets whose answer is known."""

from functools import partial

import cv2
import numpy as np
import pytest
from skimage.metrics import structural_similarity

from evaluation.image_set import EvaluationError, Samples
from evaluation.metrics.masks import difference_inside
from evaluation.metrics.metric import Sets
from evaluation.metrics.msssim import (
    DIVERSITY,
    WEIGHTS,
    diversity,
    mean_over_mask_pairs,
    mean_over_pairs,
    ms_ssim,
    random_pairs,
    scales_for,
    ssim_terms,
)


def picture(seed: int, height: int = 256, width: int = 192) -> np.ndarray:
    return cv2.GaussianBlur(np.random.default_rng(seed).random((height, width)), (0, 0), 2) * 3 % 1


@pytest.mark.parametrize("scale", range(4))
def test_each_scale_is_scikit_image_s_ssim(scale):
    a, b = picture(0), 0.6 * picture(0) + 0.4 * picture(1)
    for _ in range(scale):
        a, b = (cv2.resize(x, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for x in (a, b))
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    assert ssim_terms(a, b)[0] == pytest.approx(structural_similarity(a, b, **options), abs=1e-9)


def test_all_scales_together_are_tensorflow_s_ms_ssim():
    tf = pytest.importorskip("tensorflow")
    a, b = picture(0), 0.6 * picture(0) + 0.4 * picture(1)
    wanted = tf.image.ssim_multiscale(*(x[..., None].astype("float32") for x in (a, b)), max_val=1.0).numpy()
    assert ms_ssim(a, b) == pytest.approx(float(wanted), abs=1e-4)


def test_three_scales_use_the_finest_weights_divided_by_their_sum():
    tf = pytest.importorskip("tensorflow")
    a, b = picture(2, 64, 64), 0.6 * picture(2, 64, 64) + 0.4 * picture(3, 64, 64)
    weights = [weight / sum(WEIGHTS[:3]) for weight in WEIGHTS[:3]]
    pair = (x[..., None].astype("float32") for x in (a, b))
    wanted = tf.image.ssim_multiscale(*pair, max_val=1.0, power_factors=weights).numpy()
    assert ms_ssim(a, b) == pytest.approx(float(wanted), abs=1e-4)


def test_an_image_is_at_1_from_itself_and_the_order_does_not_matter():
    a, b = picture(4), picture(5)
    assert ms_ssim(a, a) == pytest.approx(1)
    assert ms_ssim(a, b) == pytest.approx(ms_ssim(b, a))


def test_scales_that_fit():
    assert [scales_for(512, 256), scales_for(64, 64), scales_for(16, 16)] == [5, 3, 1]
    with pytest.raises(EvaluationError, match="at least 11x11 pixels, these are 8x4"):
        scales_for(8, 4)


@pytest.mark.parametrize("count", [3, 4, 9, 40])
def test_pairs_are_of_different_items_and_none_comes_twice(count):
    pairs = random_pairs(count, 100, np.random.default_rng(0))
    assert (pairs[:, 0] != pairs[:, 1]).all()
    assert len({frozenset(pair) for pair in pairs.tolist()}) == len(pairs)
    assert len(pairs) >= min(100, count * ((count - 1) // 2))


def test_a_collapsed_set_is_all_alike():
    estimate = diversity(Samples(np.tile(picture(0, 32, 32), (6, 1, 1))))
    assert (estimate.value, estimate.low) == pytest.approx((1, 1))


def test_noise_is_not_alike():
    assert diversity(Samples(np.random.default_rng(0).random((6, 32, 32)))).high < 0.2


def test_the_interval_of_pairs_holds_the_truth_and_is_not_that_of_independent_pairs():
    """Similarity u_i·u_j with u uniform on [0, 1]: the mean is 1/4, and an item is in many pairs."""
    truth, width = [], []
    for seed in range(60):
        values = np.random.default_rng(seed).random(30)
        product = lambda a, b, values=values: values[a] * values[b]
        found = mean_over_pairs(30, product, pairs=500, seed=seed, replicates=200)
        truth.append(found.low <= 0.25 <= found.high)
        width.append(found.high - found.low)
    assert np.mean(truth) > 0.85
    assert np.mean(width) > 1.5 * 4 * 0.22 / np.sqrt(500)  # were they independent: 3.9 · 0.22/√pairs


def test_two_images_make_no_interval():
    with pytest.raises(EvaluationError, match="at least 3 images"):
        diversity(Samples(np.zeros((2, 32, 32))))


def test_images_of_one_patient_make_no_interval():
    with pytest.raises(EvaluationError, match="at least 2 patients .or masks., all 4 are of the same one"):
        diversity(Samples(np.random.default_rng(0).random((4, 32, 32)), subjects=np.zeros(4, int)))


def test_halves_that_make_no_interval_leave_the_metric_its_values():
    """Each half is of one patient; all six images are of two."""
    images = np.random.default_rng(0).random((6, 32, 32))
    real = Samples(images, subjects=np.array([0, 0, 0, 1, 1, 1]))
    (row,) = DIVERSITY.rows(Sets(real, Samples(images), {}, 0, {}))
    assert row.problem == "" and row.real is not None and row.halves is None


def test_images_of_one_patient_are_drawn_as_one():
    """Every item twice: as sure as each of them once, and surer if the copies were independent."""
    values = np.random.default_rng(0).random(40)
    of_pair = lambda a, b: float(values[a % 40] * values[b % 40])
    width = lambda found: found.high - found.low
    twice = [mean_over_pairs(80, of_pair, pairs=2000, subjects=who) for who in (np.arange(80) % 40, None)]
    once = mean_over_pairs(40, of_pair, pairs=2000)
    assert width(twice[0]) == pytest.approx(width(once), rel=0.2)
    assert width(twice[1]) == pytest.approx(width(once) / 2**0.5, rel=0.2)


def two_of_each_mask() -> Samples:
    """Four masks that overlap, two flat images of each, 0.1 apart; those of neighbouring masks 0.4 or 0.6."""
    masks = np.zeros((8, 16, 16), bool)
    masks[:, 4:12, 4:12] = True
    for number in range(4):
        masks[2 * number : 2 * number + 2, number, 5] = True
    images = np.array([0.1 * (number % 2) + 0.5 * (number // 2 % 2) for number in range(8)])[:, None, None] * masks
    images[~masks] = np.random.default_rng(0).random((~masks).sum())  # what lies outside does not count
    return Samples(images, masks)


variation = partial(mean_over_mask_pairs, of_pair=difference_inside)


def test_variation_of_one_mask_leaves_out_pairs_of_two():
    assert variation(two_of_each_mask(), of_one_mask=True).value == pytest.approx(0.1)
    assert variation(two_of_each_mask(), of_one_mask=True).count == 4


def flat(subjects: list[int]) -> Samples:
    """Three flat images, 0.2, 0.4 and 0.6 apart."""
    images = np.array([0.1, 0.3, 0.7])[:, None, None] * np.ones((3, 16, 16))
    return Samples(images, np.ones((3, 16, 16), bool), subjects=np.array(subjects))


def test_variation_of_any_two_takes_random_pairs():
    assert variation(flat([0, 1, 2]), of_one_mask=False).value == pytest.approx((0.2 + 0.4 + 0.6) / 3)


def test_variation_of_any_two_leaves_out_pairs_of_one_patient():
    assert variation(flat([0, 0, 1]), of_one_mask=False).value == pytest.approx((0.4 + 0.6) / 2)


def test_a_generator_that_ignores_its_latent_does_not_vary():
    images = np.repeat(np.random.default_rng(0).random((3, 16, 16)), 2, axis=0)
    masks = np.repeat(np.tril(np.ones((16, 16), bool))[None] & (np.arange(16) > np.arange(3)[:, None, None]), 2, axis=0)
    assert variation(Samples(images, masks), of_one_mask=True).value == 0


def test_variation_needs_two_images_of_a_mask():
    masks = np.ones((4, 16, 16), bool)
    masks[np.arange(4), 0, np.arange(4)] = False
    with pytest.raises(EvaluationError, match="no pairs of one mask; generate several per mask"):
        variation(Samples(np.zeros((4, 16, 16)), masks), of_one_mask=True)
