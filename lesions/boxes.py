"""Boxes that radiologists drew on films, carried over to the mammograms of a dataset made from these films.

A film on its way into a dataset is mirrored, cut at the chest wall, padded to 1:2 and resized. The same steps are
applied here to boxes, with the breast mask found again on the film.
"""

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lesions.annotations import Annotation, Box, write_annotations
from preprocessing.csv_table import read_table
from preprocessing.images.image import UnusableImage
from preprocessing.images.read import find_images, read_image
from preprocessing.images.views import UPRIGHT
from preprocessing.mammograms.breast_mask import find_breast
from preprocessing.mammograms.standardise import framing, orient
from preprocessing.masses.labels import CLASSES, read_label
from preprocessing.masses.rois import ROI_COLUMNS
from preprocessing.progress import progress
from preprocessing.shards import DataError, Dataset, Level, private_list


@dataclass(frozen=True)
class Frame:
    """How the pixels of a film lie in a prepared mammogram.

    Attributes:
        mirrored: whether left and right were exchanged.
        width: columns of the film.
        left, above: columns cut off at the chest wall (after mirroring), rows added above.
        scale: (vertical, horizontal) pixels of the mammogram per pixel of the film.
    """

    mirrored: bool
    width: int
    left: int
    above: int
    scale: tuple[float, float]

    def box(self, box: Box) -> Box:
        """A box of the film in pixels of the mammogram."""
        x, y, width, height = box
        x = self.width - x - width if self.mirrored else x
        down, across = self.scale
        return (x - self.left) * across, (y + self.above) * down, width * across, height * down


def frame_of(film: np.ndarray, level: Level, mask_method: str = "film") -> Frame:
    """Where `standardise` puts the pixels of a film, float (height, width) in [0, 1].

    Raises:
        UnusableImage: no breast is found.
    """
    pixels, mask, mirrored = orient(film, find_breast(film, mask_method))
    height, width = pixels.shape
    left, frame = framing(mask, level[0] / level[1])
    scale = level[0] / frame[0], level[1] / frame[1]
    return Frame(mirrored, width, left, (frame[0] - height) // 2, scale)


def clipped(box: Box, level: Level) -> Box:
    """What of a box lies inside an image."""
    x, y, width, height = box
    left, top = max(x, 0.0), max(y, 0.0)
    right, bottom = min(x + width, float(level[1])), min(y + height, float(level[0]))
    return left, top, max(right - left, 0.0), max(bottom - top, 0.0)


@dataclass(frozen=True)
class AddedBoxes:
    """What became of a table of boxes: those used, and (row, reason) of the others."""

    annotations: Sequence[Annotation]
    rejected: Sequence[tuple[int, str]]


def add_boxes(
    dataset: Dataset,
    boxes: str | os.PathLike,
    images: Sequence[str | os.PathLike],
    *,
    key: str | os.PathLike | None = None,
    mask_method: str = "film",
) -> AddedBoxes:
    """Write the lesions of a dataset that `prepare_mammograms` made, from a table of boxes on its films.

    Args:
        boxes: CSV file with the columns of `--rois`.
        images: the films, or folders of them; a row's film is found by its name.
        key, mask_method: as the dataset was made.

    Raises:
        DataError: a file cannot be read, or no row is of a film of the dataset.
    """
    rows = read_table(boxes, "--boxes", ROI_COLUMNS)
    items = _items(dataset, key)
    known = {path.name: path for path in find_images([Path(path) for path in images])}
    of_film: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        of_film.setdefault(Path(row["image"]).name, []).append(number)
    found, rejected = [], []
    with progress("Boxes", len(of_film)) as tick:
        for name, numbers in of_film.items():
            frame = _frame_in(dataset, name, items, known, mask_method)
            for number in numbers:
                if isinstance(frame, str):
                    rejected.append((number, frame))
                    continue
                one = _annotation(rows[number], items[name], frame, dataset.levels[-1])
                if isinstance(one, str):
                    rejected.append((number, one))
                else:
                    found.append(one)
            tick()
    if not found:
        raise DataError(f"--boxes {boxes}: no row is of a film in {dataset.folder}")
    write_annotations(dataset, found)
    return AddedBoxes(found, rejected)


def _frame_in(
    dataset: Dataset, name: str, items: Mapping[str, int], known: Mapping[str, Path], mask_method: str
) -> Frame | str:
    """How a film lies in its mammogram, or why its boxes cannot be used."""
    if name not in items or name not in known:
        return "its film is not in the dataset"
    try:
        film = read_image(known[name])
        if film.turn != UPRIGHT:
            return "its image was turned upright, and its boxes are of the image as it was stored"
        return frame_of(film.pixels, dataset.levels[-1], mask_method)
    except UnusableImage as reason:
        return str(reason)


def _items(dataset: Dataset, key: str | os.PathLike | None) -> dict[str, int]:
    """Item by the name of its film, from the private list next to the dataset's key."""
    path = private_list(Path(dataset.folder).resolve(), "film", key)
    try:
        with open(path, newline="") as file:
            return {Path(row["file"]).name: int(row["item"]) for row in csv.DictReader(file) if row["item"]}
    except (OSError, KeyError, ValueError) as error:
        said = f"{path}: the list of the dataset's films cannot be read"
        raise DataError(f"{said}; prepare the dataset again with --overwrite") from error


def _annotation(row: Mapping[str, str], item: int, frame: Frame, level: Level) -> Annotation | str:
    """A row as an annotation, or why it cannot be one. A label that is no single class is unknown."""
    try:
        x, y, width, height = (float(row[name]) for name in ("x", "y", "width", "height"))
    except ValueError:
        return "box without numbers: x, y, width and height must be numbers of pixels"
    box = clipped(frame.box((x, y, width, height)), level)
    if min(box[2:]) < 1:
        return "box outside the mammogram"
    return Annotation(item, box, _word(row["shape"], "shape"), _word(row["margin"], "margin"))


def _word(text: str, field: str) -> str:
    try:
        index = read_label(text, field)
    except UnusableImage:
        return ""
    return "" if index is None else CLASSES[field][index]
