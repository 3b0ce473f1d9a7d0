"""Lesions of any mammograms, from a CSV file of boxes."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from preprocessing.csv_table import is_below, read_table, repeated
from preprocessing.images.image import MammogramImage
from preprocessing.images.read import read_image
from preprocessing.masses.lesion import HEIGHT, WIDTH, Box, Lesion, Located, upright_shape

ROI_COLUMNS = ("image", "x", "y", "width", "height", "shape", "margin", "subject")
ROI_NUMBERS = ("x", "y", "width", "height", "size")
FILM_ASPECT = 1.1  # least height over width of a film (ours)
LARGEST = 200 / HEIGHT  # largest lesion, of a film's height (ours)


@dataclass(frozen=True)
class RoiOnFilm:
    """A box in the mammogram of one file; `repr`, class name included, is in the fingerprints of datasets."""

    path: Path
    box: Box

    def locate(self) -> Located:
        """Read the mammogram."""
        image = read_image(self.path)
        return Located(image, self.box, whole=is_film(image, self.box))

    def files(self) -> Sequence[Path]:
        """List the one file."""
        return (self.path,)


def is_film(image: MammogramImage, box: Box) -> bool:
    """Return whether an image is taken for a whole film, not for a crop, by its shape and that of a lesion in it.

    A film is upright, at least 1.1 times as high as wide, at least 512 pixels high, and no lesion takes more than 0.39
    of its height (ours).
    """
    height, width = upright_shape(image)
    return height >= max(HEIGHT, FILM_ASPECT * width) and max(box.width, box.height) <= LARGEST * height


def read_rois(table: str | os.PathLike, images: str | os.PathLike) -> list[Lesion]:
    """Read the lesions of a CSV file with the columns `ROI_COLUMNS`, boxes in pixels from the top left corner.

    A further column `size` gives how large lesions are, as `Located.size`, empty for unknown. Without it, those on
    whole films (`is_film`) are measured.

    Args:
        images: Folder that the column `image` is relative to.

    Raises:
        DataError: The file cannot be read or lacks a column.
    """
    rows = read_table(table, "--rois", ROI_COLUMNS, ROI_NUMBERS)
    said = repeated(rows)
    return [_roi(row, f"{table} row {n + 1}", Path(images), said.get(n, "")) for n, row in enumerate(rows)]


def _roi(row: Mapping[str, str], place: str, images: Path, note: str = "") -> Lesion:
    path, box, unusable = images / row["image"].replace("\\", "/"), Box(0, 0, 0, 0), ""
    try:
        box = Box(*(round(float(row[name])) for name in ("x", "y", "width", "height")))
    except (ValueError, OverflowError):
        unusable = "box without numbers: x, y, width and height must be numbers of pixels"
    size = None
    try:
        size = _size(row["size"]) if "size" in row else None
    except ValueError:
        unusable = f"size out of range: must be 1 to {WIDTH} pixels of a mammogram {HEIGHT} pixels high, or empty"
    source = RoiOnFilm(path, box) if is_below(path, images) else None
    if not row["image"] or source is None or not os.path.isfile(path):
        unusable = "film missing: no such file in --images"  # in the fingerprints of datasets, as `repr` is
    return Lesion(row["shape"], row["margin"], row["subject"], place, source, unusable, note, size)


def _size(text: str) -> float:
    """Read a size, NaN where there is none; raises ValueError."""
    size = float(text or "nan")
    if text and not 1 <= size <= WIDTH:
        raise ValueError("out of range")
    return size
