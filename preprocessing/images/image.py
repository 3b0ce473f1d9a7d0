"""One decoded mammogram, and why a file gives none."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePath

import cv2
import numpy as np

from preprocessing.images.stored_image import Image, pixels_of
from preprocessing.images.views import UPRIGHT, Turn


class UnusableImage(ValueError):
    """An image that cannot be used; its text is a short reason, free of patient data and paths."""


@contextmanager
def unusable(reason: str) -> Iterator[None]:
    """Turn whatever a library raises over a bad file into an `UnusableImage`: its own words may quote the file."""
    try:
        yield
    except (UnusableImage, MemoryError):
        raise
    except Exception:  # noqa: BLE001, a damaged file makes libraries raise anything
        raise UnusableImage(reason) from None


@dataclass(frozen=True, eq=False)
class MammogramImage:
    """One decoded mammogram.

    Attributes:
        grey_levels: (height, width) in [0, 1], background dark (MONOCHROME1 is inverted), as float32 or as stored
            values that are looked up where they are needed.
        patient: str. Raw identity, only ever to enter a keyed hash; left out of `repr`.
        laterality: "L", "R" or None where unknown.
        view: A name of `preprocessing.images.views.VIEWS`, or None where unknown.
        turn: What makes the image upright, where the header says how it lies.
        doubts: What is odd about it, and may be right.
        told_by: What `patient` is: "PatientID", "study", "study of a placeholder", or the name of the "file".
    """

    grey_levels: Image = field(repr=False)
    patient: str = field(repr=False)
    laterality: str | None
    view: str | None
    turn: Turn = UPRIGHT
    doubts: Sequence[str] = ()
    told_by: str = "file"

    @cached_property
    def pixels(self) -> np.ndarray:
        """The grey levels as float32 (height, width)."""
        return pixels_of(self.grey_levels)


def without_ending(path: PurePath) -> PurePath:
    """Take the ending off a file's name; digits behind a dot are none, but part of a number, as in a DICOM UID."""
    return path if path.suffix[1:].isdigit() else path.with_suffix("")


def refuse_constant(pixels: np.ndarray) -> None:
    """Refuse an image whose pixels are all the same: black, white, or lost by its window.

    Raises:
        UnusableImage: They are.
    """
    if pixels.min() == pixels.max():
        raise UnusableImage("every pixel has the same value")


def resized(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize an array (height, width) to a size (height, width) by area averages, or linearly where it grows."""
    how = cv2.INTER_AREA if size[0] <= len(pixels) else cv2.INTER_LINEAR
    return cv2.resize(pixels, size[::-1], interpolation=how)
