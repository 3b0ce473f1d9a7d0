"""A breast drawn simply, and what is asked of masks."""

import cv2
import numpy as np


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def components(mask: np.ndarray) -> int:
    return cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)[0] - 1


def drawn_film(height: int = 640, width: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Half an ellipse of noisy tissue at the left edge, on a dark noisy background."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:height, :width]
    breast = ((y - height / 2) / (0.35 * height)) ** 2 + (x / (0.6 * width)) ** 2 < 1
    pixels = np.where(breast, 0.5, 0.03) + rng.normal(0, 0.01, breast.shape)
    return np.clip(pixels, 0, 1).astype(np.float32), breast
