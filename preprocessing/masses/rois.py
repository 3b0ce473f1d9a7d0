"""Lesions of any mammograms, from a CSV file of boxes."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from preprocessing.csv_table import read_table
from preprocessing.images.read import read_image
from preprocessing.masses.lesion import Box, Lesion, Located

ROI_COLUMNS = ("image", "x", "y", "width", "height", "shape", "margin", "subject")


@dataclass(frozen=True)
class RoiOnFilm:
    """A box in the mammogram of one file; `repr`, class name included, is in the fingerprints of datasets."""

    path: Path
    box: Box

    def locate(self) -> Located:
        """Read the mammogram."""
        return Located(read_image(self.path), self.box)

    def files(self) -> Sequence[Path]:
        """List the one file."""
        return (self.path,)


def read_rois(table: str | os.PathLike, images: str | os.PathLike) -> list[Lesion]:
    """Read the lesions of a CSV file with the columns `ROI_COLUMNS`, boxes in pixels from the top left corner.

    Args:
        images: Folder that the column `image` is relative to.

    Raises:
        DataError: The file cannot be read or lacks a column.
    """
    rows = read_table(table, "--rois", ROI_COLUMNS)
    return [_roi(row, f"{table} row {number}", Path(images)) for number, row in enumerate(rows, start=1)]


def _roi(row: Mapping[str, str], place: str, images: Path) -> Lesion:
    path, box, unusable = images / row["image"], Box(0, 0, 0, 0), ""
    try:
        box = Box(*(round(float(row[name])) for name in ("x", "y", "width", "height")))
    except (ValueError, OverflowError):
        unusable = "box without numbers: x, y, width and height must be numbers of pixels"
    if not row["image"] or not path.is_file():
        unusable = "film missing: no such file in --images"  # in the fingerprints of datasets, as `repr` is
    return Lesion(row["shape"], row["margin"], row["subject"], place, RoiOnFilm(path, box), unusable)
