"""From shares to masks: the one threshold, and the one way to resize a mask."""

import numpy as np

from preprocessing.images.image import resized

THRESHOLD = 0.5  # a pixel belongs to a mask when at least this share of its area does


def mask_of(shares: np.ndarray) -> np.ndarray:
    """Make a mask, bool, of the shares of pixels that belong to it, float of any shape in [0, 1]."""
    return shares >= THRESHOLD


def resize_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a mask as `resized` does.

    Args:
        mask: bool (height, width).
        size: (height, width) of the result.

    Returns:
        bool of `size`.
    """
    return mask_of(resized(np.asarray(mask, np.float32), size))
