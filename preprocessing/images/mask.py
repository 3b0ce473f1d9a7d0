"""From shares to masks: the one threshold, and the one way to resize a mask."""

import cv2
import numpy as np

THRESHOLD = 0.5  # a pixel belongs to a mask when at least this share of its area does


def mask_of(shares: np.ndarray) -> np.ndarray:
    """Make a mask, bool, of the shares of pixels that belong to it, float of any shape in [0, 1]."""
    return shares >= THRESHOLD


def resize_mask(mask: np.ndarray, size: tuple[int, int], interpolation: int | None = None) -> np.ndarray:
    """Resize a mask.

    Args:
        mask: bool (height, width).
        size: (height, width) of the result.
        interpolation: Of OpenCV. Defaults to area averages, or linear where the mask grows.

    Returns:
        bool of `size`.
    """
    if interpolation is None:
        interpolation = cv2.INTER_AREA if size[0] <= len(mask) else cv2.INTER_LINEAR
    return mask_of(cv2.resize(np.asarray(mask, np.float32), size[::-1], interpolation=interpolation))
