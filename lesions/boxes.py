"""Boxes that radiologists drew on films, carried over to the mammograms of a dataset made from these films.

A film on its way into a dataset is mirrored, cut at the chest wall, padded to 1:2 and resized. The same steps are
applied here to boxes, with the breast found on the film as it was when the dataset was made.
"""

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lesions.annotations import Annotation, Box, write_annotations
from preprocessing.csv_table import read_table, repeated
from preprocessing.images.image import UnusableImage
from preprocessing.images.outline import Outline
from preprocessing.images.read import read_image
from preprocessing.images.stored_image import Image
from preprocessing.images.views import UPRIGHT
from preprocessing.mammograms.convert import find_mammograms, hang
from preprocessing.mammograms.given_masks import given_masks
from preprocessing.mammograms.image_table import by_base_name, matches
from preprocessing.mammograms.options import MammogramOptions
from preprocessing.mammograms.patients import unique_names
from preprocessing.mammograms.standardise import framing
from preprocessing.masses.labels import CLASSES, read_label
from preprocessing.masses.rois import ROI_COLUMNS, ROI_NUMBERS
from preprocessing.progress import progress
from preprocessing.shards import DataError, Dataset, Level
from preprocessing.shards.pseudonyms import private_list


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


def frame_of(pixels: Image, mask: np.ndarray | Outline, mirrored: bool, level: Level) -> Frame:
    """Return where `standardise` puts the pixels of a film, given what `orient` makes of it."""
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


@dataclass(frozen=True)
class Film:
    """A film of a dataset.

    Attributes:
        path: its file.
        item: its index in the dataset; None where it was rejected.
        mask: file of its given breast mask, if any.
    """

    path: Path
    item: int | None
    mask: Path | None


def add_boxes(
    dataset: Dataset,
    boxes: str | os.PathLike,
    inputs: Sequence[str | os.PathLike],
    options: MammogramOptions | None = None,
    *,
    masks: str | os.PathLike | None = None,
    key: str | os.PathLike | None = None,
) -> AddedBoxes:
    """Write the lesions of a dataset that `prepare_mammograms` made, from a table of boxes on its films.

    Args:
        boxes: CSV file with the columns of `--rois`. A row names its film as a row of `--table` does.
        inputs, options, masks, key: as the dataset was made.

    Raises:
        DataError: a file cannot be read, or no row can be used.
    """
    options = options or MammogramOptions()
    rows = read_table(boxes, "--boxes", ROI_COLUMNS, ROI_NUMBERS)
    films = _films(dataset, [Path(path) for path in inputs], masks, key)
    by_last_part = by_base_name([*films])
    of_film: dict[str, list[int]] = {}
    found, said = [], repeated(rows)
    rejected = [*said.items()]
    for number, row in enumerate(rows):
        names = matches(row["image"], by_last_part)
        if number in said:
            continue
        if len(names) == 1:
            of_film.setdefault(names[0], []).append(number)
        elif names:
            rejected.append((number, f"fits {len(names)} films of one name; write its path below --input"))
        else:
            rejected.append((number, "its film is not in the dataset"))
    with progress("Boxes", len(of_film)) as tick:
        for name, numbers in of_film.items():
            item, frame = films[name].item, _frame_in(dataset, films[name], options)
            for number in numbers:
                if item is None or isinstance(frame, str):
                    rejected.append((number, str(frame)))
                    continue
                one = _annotation(rows[number], item, frame, dataset.levels[-1])
                if isinstance(one, str):
                    rejected.append((number, one))
                else:
                    found.append(one)
            tick()
    if not found:
        number, reason = min(rejected)
        raise DataError(f"--boxes {boxes}: no row can be used; row {number + 1}: {reason}")
    write_annotations(dataset, found)
    return AddedBoxes(found, sorted(rejected))


def _frame_in(dataset: Dataset, film: Film, options: MammogramOptions) -> Frame | str:
    """How a film lies in its mammogram, or why its boxes cannot be used."""
    if film.item is None:
        return "its film is not in the dataset"
    try:
        image = read_image(film.path, window=options.window, rules=options.rules)
        if image.turn != UPRIGHT:
            return "its image was turned upright, and its boxes are of the image as it was stored"
        oriented, _ = hang(image, film.mask, options.mask_method)
        return frame_of(*oriented, dataset.levels[-1])
    except UnusableImage as reason:
        return str(reason)


def _films(
    dataset: Dataset, inputs: Sequence[Path], masks: str | os.PathLike | None, key: str | os.PathLike | None
) -> dict[str, Film]:
    """The films by their names (`unique_names`), with the items that the private list next to the key gives them."""
    folder, given = Path(dataset.folder).resolve(), None if masks is None else Path(masks)
    path = private_list(folder, "film", key)
    files = find_mammograms(inputs, folder, given)
    try:
        with open(path, newline="", errors="surrogateescape") as file:
            items = [int(row["item"]) if row["item"] else None for row in csv.DictReader(file)]
        listed = list(zip(files, items, strict=True))
    except (OSError, KeyError, ValueError) as error:
        said = f"{path}: the list of the dataset's films cannot be read, or is of other films"
        raise DataError(f"{said}; prepare the dataset again with --overwrite") from error
    names = unique_names(files, inputs)
    found = given_masks(given, names) if given else {}
    of = {name: mask for name, mask in found.items() if isinstance(mask, Path)}
    return {name: Film(file, item, of.get(name)) for name, (file, item) in zip(names, listed, strict=True)}


def _annotation(row: Mapping[str, str], item: int, frame: Frame, level: Level) -> Annotation | str:
    """A row as an annotation, or why it cannot be one. A label that is no single class is unknown."""
    try:
        x, y, width, height = (float(row[name]) for name in ("x", "y", "width", "height"))
    except ValueError:
        x = y = width = height = np.nan
    if not np.isfinite((x, y, width, height)).all():
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
