"""Masses of CBIS-DDSM: the official CSV files and the DICOM files they name (Lee et al., Sci Data 2017).

Two versions of the columns are read, and three layouts of the files: as the CSV says (`<case>/<study>/<series>/
000000.dcm`), renamed by the NBIA data retriever (`1-1.dcm`), and its newer folders, which keep only the name of the
case. The columns of "cropped image" and "ROI mask" are often exchanged, so what lies at both is told apart by size:
the mask has the size of the full film.
"""

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pydicom

from preprocessing.csv_table import is_below, read_table
from preprocessing.images.image import UnusableImage
from preprocessing.images.read import read_image
from preprocessing.masses.lesion import Box, Lesion, Located, box_of
from preprocessing.shards import DataError

# Name here: the name of the columns in the present version, and in the first one.
COLUMNS = {
    "patient": ("patient_id", "patient_id"),
    "shape": ("mass shape", "mass_shape"),
    "margin": ("mass margins", "mass_margins"),
    "film": ("image file path", "od_img_path"),
    "crop": ("cropped image file path", "od_crop_path"),
    "mask": ("roi mask file path", "mask_path"),
}


@dataclass(frozen=True)
class CbisMass:
    """The files of one row: the full film, where it is there, and the crop and mask in any order.

    Its `repr` is in the fingerprints of datasets.
    """

    film: Path | None
    parts: tuple[Path, ...]

    def files(self) -> Sequence[Path]:
        """List the film, where it is there, and the other two."""
        return (self.film, *self.parts) if self.film else self.parts

    def locate(self) -> Located:
        """Read the full film with the box and region of the ROI mask; without a film, the whole of the crop.

        Raises:
            UnusableImage: Neither part has the film's size, or only a mask is there.
        """
        sizes = [_size(part) for part in self.parts]
        if self.film is None:
            return self._whole_crop(sizes)
        full = _size(self.film)
        masks = [part for part, size in zip(self.parts, sizes, strict=True) if size == full]
        if not masks:
            raise UnusableImage("neither crop nor ROI mask has the size of the film")
        region = _read_mask(masks[0])
        return Located(read_image(self.film), box_of(region), region, whole=True)

    def _whole_crop(self, sizes: Sequence[tuple[int, int]]) -> Located:
        part = self.parts[int(np.argmin([height * width for height, width in sizes]))]
        crop = read_image(part)
        if len(np.unique(crop.pixels)) <= 2:
            raise UnusableImage("film missing: only its ROI mask is in --images")
        height, width = crop.pixels.shape
        return Located(crop, Box(0, 0, width, height))


def read_cbis(tables: Sequence[str | os.PathLike], images: str | os.PathLike | None = None) -> list[Lesion]:
    """Read the lesions of the official mass CSV files, in their order.

    Args:
        tables: The CSV files.
        images: Folder of the DICOM files. Defaults to None: labels only, every lesion is unusable.

    Raises:
        DataError: A file cannot be read or has the columns of neither version.
    """
    files = _Files(Path(images)) if images is not None else None
    return [
        _lesion(row, f"{table} row {number}", files)
        for table in tables
        for number, row in enumerate(_rows(table), start=1)
    ]


def _rows(table: str | os.PathLike) -> list[dict[str, str]]:
    """Read the rows under the names of `COLUMNS`, whichever version the file is."""
    rows = read_table(table, "--cbis-csv", (), known=COLUMNS["patient"])
    versions = [{name: columns[version] for name, columns in COLUMNS.items()} for version in (0, 1)]
    lacking = [[column for column in version.values() if column not in rows[0]] for version in versions]
    best = int(len(lacking[1]) < len(lacking[0]))
    if lacking[best]:
        raise DataError(
            f"--cbis-csv {table}: has no column {', '.join(lacking[best])}; give a mass CSV of CBIS-DDSM as published"
        )
    return [{name: row[column] for name, column in versions[best].items()} for row in rows]


def _lesion(row: Mapping[str, str], place: str, files: "_Files | None") -> Lesion:
    film = next(iter(files.of(row["film"])), None) if files else None
    found = [part for name in ("mask", "crop") for part in files.of(row[name])] if files else []
    parts = tuple(dict.fromkeys(part for part in found if part != film))
    source = CbisMass(film, parts) if parts else None
    unusable = "" if parts else "film missing: neither its ROI mask nor its crop is in --images"
    return Lesion(row["shape"], row["margin"], row["patient"], place, source, unusable)


class _Files:
    """Finds the files of a path in the CSV, in whichever layout they were downloaded."""

    def __init__(self, root: Path):
        if not root.is_dir():
            raise DataError(f"--images {root}: no such folder")
        self._root = root
        self._below = defaultdict(list)  # by the name of every folder above a file
        for folder, folders, names in os.walk(root):
            folders.sort()
            paths = [Path(folder) / name for name in sorted(names) if name.lower().endswith(".dcm")]
            for above in Path(folder).relative_to(root).parts if paths else ():
                self._below[above].extend(paths)

    def of(self, written: str) -> list[Path]:
        """Find the files of a path as it is written in the CSV file."""
        path = PurePosixPath(written.replace("\\", "/").strip())
        if not path.name:
            return []
        exact = self._root / path
        # NBIA counts from 1: 000000.dcm becomes 1-1.dcm.
        number = int(path.stem) + 1 if path.stem.isdigit() else 1
        renamed = exact.with_name(f"1-{number}.dcm")
        for file in (exact, renamed):
            if is_below(file, self._root) and file.is_file():
                return [file]
        series, case = path.parent.name, path.parts[0]
        return self._below.get(series) or self._below.get(case) or []


def _size(path: Path) -> tuple[int, int]:
    """Read rows and columns, from the header alone."""
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["Rows", "Columns"])
        return int(header.Rows), int(header.Columns)
    except OSError:
        raise
    except Exception as error:  # pydicom raises many kinds; their texts quote the header
        raise UnusableImage(f"DICOM file cannot be read: {type(error).__name__}") from None


def _read_mask(path: Path) -> np.ndarray:
    try:
        return read_image(path).pixels > 0.5
    except UnusableImage as reason:
        raise UnusableImage(f"ROI mask cannot be used: {reason}") from None
