"""How alike the images of a set are (MS-SSIM), and how much images of the same mask differ."""

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np

from evaluation.image_set import EvaluationError, Samples
from evaluation.intervals import Estimate, bootstrap_mean, check_subjects, percentile_interval
from evaluation.metrics.masks import difference_inside
from evaluation.metrics.metric import AS_REAL, Metric, Row, Sets, halves_apart, needs_masks
from preprocessing.counted import there_are

WINDOW, SIGMA = 11, 1.5  # pixels, of the Gaussian window (Wang et al. 2004)
C1, C2 = 0.01**2, 0.03**2  # for pixels in [0, 1]
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al. 2003
OfPair = Callable[[np.ndarray, np.ndarray, np.ndarray], float]  # two images, bool pixels inside both masks
PAIRS = 1000
IMAGES = 500  # of a set, from which the pairs are made


def scales_for(height: int, width: int) -> int:
    """Count for how many of the five scales an image is large enough: 5 at 512×256, 3 at 64×64."""
    count = sum(min(height, width) >> scale >= WINDOW for scale in range(len(WEIGHTS)))
    if not count:
        raise EvaluationError(f"MS-SSIM needs images of at least {WINDOW}x{WINDOW} pixels, these are {height}x{width}")
    return count


def ssim_terms(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Compute the mean SSIM and the mean contrast-structure term of two images at one scale.

    Args:
        first, second: float (height, width) in [0, 1].

    Returns:
        (mean of l·cs, mean of cs) of Wang et al. 2004, over the pixels whose window lies in the image.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)

    def local_mean(image: np.ndarray) -> np.ndarray:
        edge = WINDOW // 2
        return cv2.GaussianBlur(image, (WINDOW, WINDOW), SIGMA)[edge:-edge, edge:-edge]

    mean_a, mean_b = local_mean(a), local_mean(b)
    variances = local_mean(a * a) + local_mean(b * b) - mean_a**2 - mean_b**2
    covariance = local_mean(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + C1) / (mean_a**2 + mean_b**2 + C1)
    structure = (2 * covariance + C2) / (variances + C2)
    return float((luminance * structure).mean()), float(structure.mean())


def ms_ssim(first: np.ndarray, second: np.ndarray, scales: int | None = None) -> float:
    """Compute the MS-SSIM of two images (Wang, Simoncelli and Bovik 2003).

    Args:
        first, second: float (height, width) in [0, 1].
        scales: how many of the five; by default as many as the 11-pixel window fits in. With fewer than five the
            weights are those of the finest scales, divided by their sum.

    Returns:
        Similarity in [0, 1]; 1 for equal images. A negative term counts as 0.
    """
    scales = scales or scales_for(*first.shape)
    weights = np.array(WEIGHTS[:scales]) / sum(WEIGHTS[:scales])
    a, b, terms = first, second, []
    for scale in range(scales):
        whole, structure = ssim_terms(a, b)
        terms.append(whole if scale == scales - 1 else structure)
        a, b = _halved(a), _halved(b)
    return float(np.prod(np.maximum(terms, 0) ** weights))


def _halved(image: np.ndarray) -> np.ndarray:
    height, width = (length // 2 * 2 for length in image.shape)
    return image[:height, :width].reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3))


def random_pairs(count: int, pairs: int, rng: np.random.Generator) -> np.ndarray:
    """Draw random pairs of different items, none twice, each item in equally many: int (≥ pairs or all, 2)."""
    order = rng.permutation(count)
    shifts = min(-(-pairs // count), max(1, (count - 1) // 2))
    return np.concatenate([np.stack([order, np.roll(order, -shift)], axis=1) for shift in range(1, shifts + 1)])


def mean_over_pairs(
    count: int,
    of_pair: Callable[[int, int], float],
    *,
    pairs: int = PAIRS,
    seed: int = 0,
    replicates: int = 1000,
    name: str = "MS-SSIM",
    subjects: np.ndarray | None = None,
) -> Estimate:
    """Estimate the mean of a similarity over random pairs of `count` items, with its bootstrap interval.

    The bootstrap draws items, not pairs, since pairs that share an item are not independent: a pair counts as often as
    both its items were drawn. With few pairs per item this errs on the wide side. Where items have `subjects`, int
    (count,), those are drawn, with all their items.

    Raises:
        EvaluationError: fewer than three items, or all of one subject.
    """
    if count < 3:
        raise EvaluationError(f"{name} needs at least 3 images to compare in pairs, {there_are(count)}")
    whose = np.unique(np.arange(count) if subjects is None else subjects, return_inverse=True)[1]
    check_subjects(whose)
    rng = np.random.default_rng(seed)
    chosen = random_pairs(count, pairs, rng)
    values = np.array([of_pair(int(a), int(b)) for a, b in chosen])
    there = whose.max() + 1
    drawn: list[float] = []
    while len(drawn) < replicates:
        times = rng.multinomial(there, np.full(there, 1 / there))[whose]
        weights = times[chosen[:, 0]] * times[chosen[:, 1]]
        if weights.any():
            drawn.append(np.average(values, weights=weights))
    return Estimate(float(values.mean()), *percentile_interval(drawn), count)


def diversity(samples: Samples, *, pairs: int = PAIRS, seed: int = 0) -> Estimate:
    """Estimate the mean MS-SSIM of random pairs of a set's images: high when all are alike (Odena et al. 2017).

    At most `IMAGES` images are used. Memory: two images.

    Raises:
        EvaluationError: fewer than three images, images of one subject, or images smaller than the window.
    """
    scales = scales_for(*samples.size)
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.permutation(len(samples))[:IMAGES])

    def of_pair(a: int, b: int) -> float:
        images, _ = samples.read(chosen[[a, b]])
        return ms_ssim(images[0], images[1], scales)

    name, subjects = f"MS-SSIM of {samples.name}", samples.subjects[chosen]
    return mean_over_pairs(len(chosen), of_pair, pairs=pairs, seed=seed, name=name, subjects=subjects)


def mean_over_mask_pairs(samples: Samples, of_pair: OfPair, *, of_one_mask: bool, seed: int = 0) -> Estimate:
    """Estimate the mean of what is measured of two images inside both masks: two images of the same mask, or any two.

    Random pairs are compared, at most `PAIRS`. Memory: two images. The difference of images of the same
    mask is 0 where a generator ignores its latent.

    Args:
        of_pair: two images and the pixels inside both masks → a number, or NaN where there is none.
        of_one_mask: only neighbours in the set, where their masks are equal. Else pairs of different subjects.

    Raises:
        EvaluationError: fewer than two such pairs.
    """
    values, whose = [], []
    rng = np.random.default_rng(seed)
    order = rng.permutation(max(0, len(samples) - of_one_mask))
    candidates = np.stack([order, order + 1 if of_one_mask else np.roll(order, 1)], axis=1)
    if not of_one_mask:
        candidates = candidates[samples.subjects[candidates[:, 0]] != samples.subjects[candidates[:, 1]]]
    for first, second in candidates[: 4 * PAIRS]:
        images, masks = samples.read([first, second])
        inside = masks[0] & masks[1]
        if not inside.any() or (of_one_mask and (masks[0] != masks[1]).any()):
            continue
        value = of_pair(images[0], images[1], inside)
        if np.isfinite(value):
            values.append(value)
            whose.append(samples.subjects[first])
        if len(values) == PAIRS:
            break
    if len(values) < 2:
        wanted = "of one mask; generate several per mask (--latents-per-mask)" if of_one_mask else "whose masks overlap"
        raise EvaluationError(f"{samples.name}: holds no pairs {wanted}")
    return bootstrap_mean(np.array(values), rng, np.array(whose))


def _compare_diversity(metric: Metric, sets: Sets) -> list[Row]:
    apart = halves_apart(sets, lambda part: diversity(part, pairs=PAIRS // 4, seed=sets.seed))
    generated, real = diversity(sets.fake, seed=sets.seed), diversity(sets.real, seed=sets.seed)
    return [metric.row(generated, real, halves=apart)]


def compare_mask_pairs(metric: Metric, sets: Sets, *, of_pair: OfPair, of_one_mask: bool) -> list[Row]:
    """Compare pairs of generated images, any two or two of one mask, with any two real images: masks have one each."""
    real = partial(mean_over_mask_pairs, of_pair=of_pair, of_one_mask=False, seed=sets.seed)
    generated = mean_over_mask_pairs(sets.fake, of_pair, of_one_mask=of_one_mask, seed=sets.seed)
    return [metric.row(generated, real(sets.real), halves=halves_apart(sets, real))]


DIVERSITY = Metric("msssim_pairs", "MS-SSIM of random pairs", AS_REAL, _compare_diversity)
VARIATION = Metric(
    "variation_per_mask",
    "difference of two images of one mask",
    AS_REAL,
    partial(compare_mask_pairs, of_pair=difference_inside, of_one_mask=True),
    unsuitable=needs_masks,
)
