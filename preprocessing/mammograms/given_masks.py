"""Breast masks that the user gives, in a folder of image files."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath

import cv2
import numpy as np

from preprocessing.images.bounds import check_file, check_raster
from preprocessing.images.image import UnusableImage, without_ending
from preprocessing.images.opencv import decode
from preprocessing.images.raster import raster_kind
from preprocessing.images.stored_image import counts_of
from preprocessing.mammograms.image_table import ends_alike

SUFFIXES = frozenset([".png", ".pgm", ".pbm", ".pnm", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp"])
_NONE = "no mask of its name in the folder of masks"
_SEVERAL = "several masks, or several images for one mask, have its name; arrange masks in the images' folders"
MOST_LABELS = 16  # of a label map; a mask with soft edges has more grey levels


def given_masks(folder: Path, names: Sequence[str]) -> dict[str, Path | str]:
    """Find the mask of each image in a folder, by the image's path whatever the ending.

    A mask in the folder itself serves an image of its name in any folder, and a mask in a subfolder an image in none,
    as long as no other mask and no other image is meant by that name.

    Args:
        folder: Of the masks.
        names: Of the images: their paths below the inputs.

    Returns:
        The mask, or why there is none, by name.
    """
    masks = {str(path.relative_to(folder)): path for path in find_masks(folder)}
    by_stem = defaultdict(list)
    for mask in masks:
        by_stem[_path(mask)[-1]].append(mask)
    served = defaultdict(list)
    for name in names:
        for mask in _fitting(name, by_stem):
            served[mask].append(name)
    found: dict[str, Path | str] = dict.fromkeys(names, _NONE)
    for mask, images in served.items():
        meant = [name for name in images if _path(name) == _path(mask)] or images
        for name in meant:
            found[name] = masks[mask] if len(meant) == 1 and found[name] == _NONE else _SEVERAL
    return found


def _fitting(name: str, by_stem: Mapping[str, Sequence[str]]) -> list[str]:
    """List the masks that an image's name fits: of its own path, else those that one of the paths ends with."""
    parts = _path(name)
    candidates = by_stem.get(parts[-1], ())
    exact = [mask for mask in candidates if _path(mask) == parts]
    same = [mask for mask in exact if Path(mask).suffix == Path(name).suffix]
    if len(same) == 1:
        return same
    return exact or [mask for mask in candidates if ends_alike(parts, _path(mask))]


def _path(name: str) -> tuple[str, ...]:
    return without_ending(PurePath(name)).parts


def find_masks(folder: Path) -> list[Path]:
    """List the mask images in a folder and its subfolders, sorted, without hidden ones; none where it is no folder."""
    found = (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES and path.is_file())
    return [path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


def read_mask(path: Path, shape: tuple[int, int] | None = None) -> tuple[np.ndarray, list[str]]:
    """Read a given breast mask: every pixel that is not background (0) is breast, whatever its label.

    A mask of more grey levels than a label map has, as one that was compressed or made smooth, is cut at half of its
    brightest.

    Args:
        shape: (height, width) of the mammogram. Defaults to any.

    Returns:
        bool (height, width), and what is doubtful: that it has several labels.

    Raises:
        UnusableImage: It cannot be read, is empty, has labels but no background, or is not of the mammogram's size.
    """
    try:
        check_file(path)
        content = path.read_bytes()
    except OSError as error:
        raise UnusableImage(f"its mask cannot be opened: {error.strerror}") from None
    kind = raster_kind(content)  # None for a BMP, whose size OpenCV checks
    if kind is not None:
        check_raster(content, kind)
    mask, _ = decode(content, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH, "its mask")
    if shape is not None and mask.shape != shape:
        sizes = [f"{height}x{width}" for height, width in (mask.shape, shape)]
        raise UnusableImage(f"its mask is {sizes[0]} but the image is {sizes[1]} (height x width)")
    if mask.dtype not in (np.uint8, np.uint16):
        raise UnusableImage(f"its mask has {mask.dtype} values; only 8 and 16 bits can be read")
    counts = counts_of(mask)
    labels = np.count_nonzero(counts[1:])
    if not labels:
        raise UnusableImage("its mask is empty")
    if labels > MOST_LABELS:
        return mask > mask.max() / 2, []
    if labels > 1 and not counts[0]:
        raise UnusableImage(f"its mask has {labels} labels and no background: set what is not breast to 0")
    return mask > 0, [] if labels == 1 else [f"its mask has {labels} labels: all but 0 are taken as breast"]
