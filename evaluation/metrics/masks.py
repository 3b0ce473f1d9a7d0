"""Metrics of images and their masks: float (height, width) in [0, 1], chest wall on the left."""

from collections.abc import Iterable

import numpy as np

from evaluation.metrics.metric import HIGH, LOW, Metric, Row, Sets, compare_means, distance_row, each, needs_masks
from preprocessing.images.image import UnusableImage
from preprocessing.mammograms.breast_mask import breast_mask

HISTOGRAM_BINS = 64


def intersection_over_union(a: np.ndarray, b: np.ndarray) -> float:
    """Compute |a ∩ b| / |a ∪ b| of two boolean masks; 1 when both are empty."""
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 1.0


def mask_agreement(images: Iterable[np.ndarray], masks: Iterable[np.ndarray]) -> np.ndarray:
    """Compute the IoU of the breast found in each image with the mask that it was asked to fill.

    The breast is found as in a film (`breast_mask`); an image in which none is found scores 0.

    Returns:
        float (n,) in [0, 1].
    """

    def agreement(image: np.ndarray, mask: np.ndarray) -> float:
        try:
            return intersection_over_union(breast_mask(image), mask.astype(bool))
        except UnusableImage:
            return 0.0

    return np.array([agreement(image, mask) for image, mask in zip(images, masks, strict=True)])


def leakage(image: np.ndarray, mask: np.ndarray) -> float:
    """Return the share of an image's brightness outside its mask: 0 when all is inside; NaN for a black image."""
    total = float(image.sum(dtype=np.float64))
    return float(image[~mask.astype(bool)].sum(dtype=np.float64)) / total if total > 0 else float("nan")


def histogram(image: np.ndarray, mask: np.ndarray, bins: int = HISTOGRAM_BINS) -> np.ndarray:
    """Count the pixels inside a mask in equal bins of [0, 1]: shares, float (bins,), sum 1 (0 for an empty mask)."""
    counts = np.histogram(image[mask.astype(bool)], bins, (0, 1))[0]
    return counts / max(counts.sum(), 1)


def histogram_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Return the 1-Wasserstein distance of two histograms over [0, 1]: how far brightness has to be moved."""
    return float(np.abs(np.cumsum(first) - np.cumsum(second)).sum() / len(first))


def difference_inside(a: np.ndarray, b: np.ndarray, mask: np.ndarray) -> float:
    """Return the mean absolute difference of two images inside a mask."""
    return float(np.abs(a - b)[mask.astype(bool)].mean())


def _compare_histograms(metric: Metric, sets: Sets) -> list[Row]:
    pooled = sets.pooled("histogram")
    of_indices = lambda a, b: histogram_distance(pooled[a].mean(axis=0), pooled[b].mean(axis=0))
    return [distance_row(metric, sets, of_indices, needs=2)]


MASK_IOU = Metric(
    "mask_iou_film",
    "IoU of breast (found as on film) and wanted mask",
    HIGH,
    compare_means("iou"),
    {"iou": lambda chunk: mask_agreement(chunk.images, chunk.masks)},
    unsuitable=needs_masks,
)
LEAKAGE = Metric(
    "leakage",
    "share of brightness outside the mask",
    LOW,
    compare_means("leakage"),
    {"leakage": each(leakage)},
    unsuitable=needs_masks,
)
HISTOGRAM = Metric(
    f"histogram_w1_{HISTOGRAM_BINS}bins",
    "distance of brightness histograms",
    LOW,
    _compare_histograms,
    {"histogram": each(histogram)},
)
