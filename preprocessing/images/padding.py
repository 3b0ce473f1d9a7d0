"""Padding of DICOM images: what a vendor fills around the image (PS3.3 C.7.5.1.1.2).

Values of padding are often also values of tissue: 0 in MONOCHROME1 is the whitest of all. Only padding that reaches the
edge of the image is dark (ours); anywhere else its pixels keep their grey levels.
"""

from dataclasses import replace

import cv2
import numpy as np
from pydicom.dataset import Dataset

from preprocessing.images.stored_image import StoredImage

DOUBTFUL = 1e-4  # of the pixels of an image: more that look like padding but are inside are reported (ours)


def padding_range(dataset: Dataset) -> tuple[int, int] | None:
    """Return the least and the greatest stored value of padding; None where the header names none."""
    if dataset.get("PixelPaddingValue") in (None, ""):
        return None
    value = limit = _as_stored(int(dataset.PixelPaddingValue), dataset)
    if dataset.get("PixelPaddingRangeLimit") not in (None, ""):
        limit = _as_stored(int(dataset.PixelPaddingRangeLimit), dataset)
    return min(value, limit), max(value, limit)


def darken_padding(image: StoredImage, stored: np.ndarray, padding: tuple[int, int]) -> tuple[StoredImage, list[str]]:
    """Give level 0 to the padding that reaches an edge of the image.

    Args:
        stored: The values of the image as they were stored, signed or not.
        padding: From `padding_range`.

    Returns:
        The image, and what is doubtful about it.
    """
    held = np.iinfo(stored.dtype)
    first, last = max(padding[0], held.min), min(padding[1], held.max)
    values = np.arange(first, last + 1) % image.levels.size
    if not image.levels[values].any():
        return image, []
    padded = (stored >= first) & (stored <= last)
    at_edges = _reaching_edges(padded)
    inside = int(np.count_nonzero(padded)) - int(np.count_nonzero(at_edges))
    if not inside:
        levels = image.levels.copy()
        levels[values] = 0
        return replace(image, levels=levels, divisor=0), []
    darkest = image.stored.dtype.type(np.argmin(image.levels))
    image = replace(image, stored=np.where(at_edges, darkest, image.stored), divisor=0)
    return image, ["values of padding inside the image: taken as tissue"] * (inside > DOUBTFUL * stored.size)


def _reaching_edges(mask: np.ndarray) -> np.ndarray:
    """Keep the parts of a mask (height, width) that reach an edge; pixels that touch at corners are not connected."""
    framed = cv2.copyMakeBorder(mask.view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    cv2.floodFill(framed, None, (0, 0), 2)
    return framed[1:-1, 1:-1] == 2


def _as_stored(value: int, dataset: Dataset) -> int:
    """Return a padding value as the pixels hold it: in explicit syntaxes many write a negative one as unsigned."""
    bits, signed = int(dataset.BitsStored), dataset.PixelRepresentation == 1
    if signed and value >= 2 ** (bits - 1):
        return value - 2 ** (16 if value >= 2**15 else bits)
    return value if signed else value % 2**bits if value < 0 else value
