"""A mammogram as an item of a dataset."""

import numpy as np

from preprocessing.images.mask import mask_of
from preprocessing.mammograms.standardise import pyramid
from preprocessing.shards import LEVELS
from preprocessing.shards.format import array_name, as_stored


def mammogram_item(
    image: np.ndarray, mask: np.ndarray, *, subject: str, laterality: str = "", view: str = "", density: int = 0
) -> dict[str, np.ndarray | str | int | float]:
    """Make one item for `DatasetWriter`: the pyramid of an image and its mask, and the fields.

    The pyramid is averaged in float and each level rounded once.

    Args:
        image: float (height, width) in [0, 1], a size in `LEVELS`, chest wall on the left.
        mask: bool or float (height, width), the breast.
        subject: Keyed hash of whose breast it is, at most 16 characters.
        laterality: "L" or "R"; "" where unknown.
        view: A name of `preprocessing.images.views.VIEWS`; "" where unknown.
        density: 1 to 4, BI-RADS a to d. Defaults to 0, unknown.
    """
    levels = [level for level in LEVELS if level <= image.shape]
    images = pyramid(np.asarray(image, np.float32), levels)
    masks = pyramid(np.asarray(mask, np.float32), levels)
    item: dict[str, np.ndarray | str | int | float] = {
        "subject": subject,
        "laterality": laterality,
        "view": view,
        "density": density,
    }
    for level in levels:
        item[array_name("image", level)] = as_stored(images[level])
        item[array_name("mask", level)] = mask_of(masks[level]).astype(np.uint8)
    return item
