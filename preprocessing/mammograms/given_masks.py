"""Breast masks that the user gives, in a folder of image files."""

import os
from pathlib import Path

import cv2
import numpy as np

from preprocessing.images.image import UnusableImage

MOST_LABELS = 16  # of a label map; a mask with soft edges has more grey levels


class GivenMasks:
    """Finds the mask of an image in a folder: same relative path, or else same name, whatever the ending."""

    def __init__(self, folder: Path):
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        self._by_path = {str(path.relative_to(folder).with_suffix("")): path for path in files}
        self._by_stem = {path.stem: path for path in files}

    def of(self, name: str) -> Path | None:
        """Find the mask of an image by the image's path below its input folder; None where there is none."""
        return self._by_path.get(os.path.splitext(name)[0]) or self._by_stem.get(Path(name).stem)


def read_mask(path: Path, shape: tuple[int, int]) -> tuple[np.ndarray, list[str]]:
    """Read a given breast mask: every pixel that is not background (0) is breast, whatever its label.

    A mask of more grey levels than a label map has, as one that was compressed or made smooth, is cut at half of its
    brightest.

    Args:
        path: An image file.
        shape: (height, width) of the mammogram.

    Returns:
        bool (height, width), and what is doubtful: that it has several labels.

    Raises:
        UnusableImage: It cannot be read, is empty, or is not of the mammogram's size.
    """
    mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH)
    if mask is None:
        raise UnusableImage("its mask cannot be read as an image")
    if mask.shape != shape:
        sizes = [f"{height}x{width}" for height, width in (mask.shape, shape)]
        raise UnusableImage(f"its mask is {sizes[0]} but the image is {sizes[1]} (height x width)")
    if not mask.any():
        raise UnusableImage("its mask is empty")
    labels = np.count_nonzero(np.bincount(mask.ravel())[1:])
    if labels > MOST_LABELS:
        return mask > mask.max() / 2, []
    return mask > 0, [] if labels == 1 else [f"its mask has {labels} labels: all but 0 are taken as breast"]
