"""The square around a lesion, and its contrast."""

import cv2
import numpy as np

from preprocessing.images.bounds import MOST_PIXELS
from preprocessing.images.image import UnusableImage, resized
from preprocessing.images.stored_image import Image, pixels_of
from preprocessing.masses.lesion import Box
from preprocessing.masses.options import CONTEXT

SIZE = 64  # pixels per side
CLIPPED = 0.4  # percent of a window's pixels that may become 0, and that may become 1: bright specks, dark specks


def cut_window(pixels: Image, box: Box, context: float = CONTEXT, size: int = SIZE) -> np.ndarray:
    """Cut out the square around a box and resize it.

    The square is not made longer than the image's short side unless the box is. One that would leave the image is moved
    inside; what is longer than the image is filled with its mirror image. Resizing averages areas, or is linear where
    the square must grow.

    Args:
        pixels: float32, uint8 or stored (height, width).
        context: Side of the square over the box's longest side, at least 1.

    Returns:
        float32 (size, size) in the range of the pixels.

    Raises:
        UnusableImage: The box is empty, far too large, or reaches outside the image.
    """
    height, width = pixels.shape
    if box.width < 1 or box.height < 1:
        raise UnusableImage("empty box: its width or height is below one pixel")
    if box.x < 0 or box.y < 0 or box.x + box.width > width or box.y + box.height > height:
        raise UnusableImage(f"box outside the image, which is {width} x {height} pixels")
    longest = max(box.width, box.height)
    side = min(max(round(context * longest), longest), max(longest, min(height, width)))
    top, bottom = _span(box.y + box.height / 2, side, height)
    left, right = _span(box.x + box.width / 2, side, width)
    if side * side > MOST_PIXELS:
        raise UnusableImage(f"box of {box.width} x {box.height} pixels: too large for a lesion")
    window = pixels_of(pixels[max(top, 0) : bottom, max(left, 0) : right])
    if window.shape != (side, side):
        edges = (max(-top, 0), max(bottom - height, 0), max(-left, 0), max(right - width, 0))
        window = cv2.copyMakeBorder(window, *edges, cv2.BORDER_REFLECT)
    return resized(np.ascontiguousarray(window, np.float32), (size, size))


def _span(centre: float, side: int, length: int) -> tuple[int, int]:
    """Return where a side around a centre begins and ends, moved into 0…length when it fits there."""
    begin = round(centre - side / 2)
    begin = min(max(begin, 0), length - side) if side <= length else (length - side) // 2
    return begin, begin + side


def normalise_contrast(window: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Stretch a window that is not constant to the whole of [0, 1], except for a few specks.

    Returns:
        stored: clip((window − low) / (high − low), 0, 1), float32 of the window's shape; low + (high − low) · stored
            undoes it, except in the specks.
        low, high: The percentiles `CLIPPED` and 100 − `CLIPPED`, rounded to float32 as they will be kept.
    """
    low, high = (float(np.float32(value)) for value in np.percentile(window, (CLIPPED, 100 - CLIPPED)))
    if low >= high:  # all but a few pixels are the same
        low, high = float(window.min()), float(window.max())
    return np.clip((window - np.float32(low)) / np.float32(high - low), 0, 1), low, high
