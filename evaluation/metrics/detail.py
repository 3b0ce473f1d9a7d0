"""How alike the fine detail of two images is: every breast has its own, a generator may draw the same one again."""

from functools import partial

import cv2
import numpy as np

from evaluation.metrics.metric import AS_REAL, Metric, needs_masks
from evaluation.metrics.msssim import compare_mask_pairs

BLUR = 2.0  # pixels: what is finer is detail
MARGIN = 8  # pixels from the edge of the masks that do not count: all breasts have a skin line
FLAT = 1e-12  # variance of detail, below which there is none
LEAST_PIXELS = 200  # that two masks share, less their margins


def detail_correlation(first: np.ndarray, second: np.ndarray, inside: np.ndarray) -> float:
    """Correlate what a blur of 2 pixels takes away from two images (ours).

    Args:
        first, second: float (height, width) in [0, 1].
        inside: bool (height, width), where both show a breast; 8 pixels from its edge do not count.

    Returns:
        In [−1, 1]: 1 for equal detail, about 0 for that of two patients; NaN where fewer than 200 pixels are left or
        an image is flat there.
    """
    square = np.ones((2 * MARGIN + 1, 2 * MARGIN + 1), np.uint8)
    # what lies beyond the frame does not count as outside the breast
    inner = cv2.erode(inside.astype(np.uint8), square, borderValue=1) > 0
    if inner.sum() < LEAST_PIXELS:
        return float("nan")
    a, b = ((image - cv2.GaussianBlur(image, (0, 0), BLUR))[inner].astype(float) for image in (first, second))
    norm = np.sqrt((a * a).mean() * (b * b).mean())
    return float((a * b).mean() / norm) if norm > FLAT else float("nan")


_compare = partial(compare_mask_pairs, of_pair=detail_correlation)
DETAIL_OF_PAIRS = Metric(
    "detail_correlation_pairs", "correlation of the detail of two images", AS_REAL, partial(_compare, of_one_mask=False)
)
DETAIL_OF_ONE_MASK = Metric(
    "detail_correlation_per_mask",
    "correlation of the detail of two images of one mask",
    AS_REAL,
    partial(_compare, of_one_mask=True),
    unsuitable=needs_masks,
)
