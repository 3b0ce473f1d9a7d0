"""Smooth fields and octaves of images: what blending a mass into its surroundings is made of."""

import cv2
import numpy as np

OCTAVES = (0.7, 1.4, 2.8, 5.6)  # standard deviations of the blurs that part an image into bands


def membrane(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """A smooth field that has given values where they are known (push and pull over a pyramid, Gortler et al. 1996).

    Args:
        values: float32 (height, width).
        known: bool (height, width), at least one.
    """
    levels: list[tuple[np.ndarray, np.ndarray]] = [
        (np.where(known, values, 0).astype(np.float32), known.astype(np.float32))
    ]
    while min(levels[-1][0].shape) > 2:
        total, weight = levels[-1]
        levels.append((cv2.pyrDown(total), cv2.pyrDown(weight)))
    total, weight = levels[-1]
    filled = total + (1 - weight) * np.full_like(total, total.sum() / max(weight.sum(), 1e-6))
    for total, weight in reversed(levels[:-1]):
        filled = total + (1 - weight) * cv2.pyrUp(filled, dstsize=total.shape[::-1])
    return filled


def blurred_within(image: np.ndarray, region: np.ndarray, sigma: float) -> np.ndarray:
    """A Gaussian blur that takes no pixel from outside a region; 0 where none is near."""
    weight = cv2.GaussianBlur(region.astype(np.float32), (0, 0), sigma)
    total = cv2.GaussianBlur(np.where(region, image, 0).astype(np.float32), (0, 0), sigma)
    return np.where(weight > 1e-3, total / np.maximum(weight, 1e-3), 0)


def bands(image: np.ndarray, octaves: int = len(OCTAVES)) -> list[np.ndarray]:
    """An image as the sum of octaves, finest first, and of what is coarser than all of them."""
    parts: list[np.ndarray] = []
    current: np.ndarray = np.asarray(image, np.float32)
    for sigma in OCTAVES[:octaves]:
        coarser = cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
        parts.append(current - coarser)
        current = coarser
    return [*parts, current]


def distance_to(region: np.ndarray) -> np.ndarray:
    """Pixels to the nearest one of a region, 0 inside it, float32: exact, and the same in every call."""
    distance = cv2.distanceTransform((~region).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # OpenCV's last bits depend on where an array lies in memory; a squared distance is a whole number.
    return np.sqrt(np.rint(distance.astype(np.float64) ** 2)).astype(np.float32)


def spread(values: np.ndarray, region: np.ndarray) -> float:
    """Strength of a band in a region: as its root mean square in Gaussian noise, but a few edges do not count."""
    return 1.4826 * float(np.median(np.abs(values[region])))
