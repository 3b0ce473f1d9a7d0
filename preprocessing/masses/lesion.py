"""A lesion: its labels as written, its patient, and where it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from preprocessing.images.image import MammogramImage, UnusableImage

HEIGHT, WIDTH = 512, 256  # of the mammogram in whose pixels sizes are


@dataclass(frozen=True)
class Box:
    """A lesion's box in pixels; x and y are its top left corner, counted from 0."""

    x: int
    y: int
    width: int
    height: int


def box_of(mask: np.ndarray) -> Box:
    """Find the box of what is not 0 in an array (height, width).

    Raises:
        UnusableImage: All of it is 0.
    """
    x, y, width, height = cv2.boundingRect((mask != 0).astype(np.uint8))
    if not width:
        raise UnusableImage("empty lesion mask")
    return Box(x, y, width, height)


@dataclass(frozen=True, eq=False)
class Located:
    """A lesion in its mammogram.

    Attributes:
        image: MammogramImage. The mammogram.
        box: Box. Around the lesion.
        region: bool (height, width), which pixels are lesion. Defaults to None, unknown.
        whole: bool. Whether the image is a whole film, so that it tells how large the lesion is.
    """

    image: MammogramImage
    box: Box
    region: np.ndarray | None = None
    whole: bool = False

    @property
    def size(self) -> float:
        """The longest side in pixels of a mammogram 512 pixels high; NaN where the image is no whole film.

        That mammogram is the film in the smallest frame of 2:1; a border beyond the chest wall counts as film here.
        """
        height, width = upright_shape(self.image)
        scale = HEIGHT / max(height, width * HEIGHT / WIDTH)
        return max(self.box.width, self.box.height) * scale if self.whole else float("nan")


def upright_shape(image: MammogramImage) -> tuple[int, int]:
    """Return the height and width of an image as it hangs."""
    height, width = image.grey_levels.shape
    return (width, height) if image.turn.transposed else (height, width)


class Source(Protocol):
    """Where a lesion's pixels are. Must be picklable; its `repr` tells it from other sources."""

    def locate(self) -> Located:
        """Read the mammogram and find the lesion; raises `UnusableImage` with a reason."""

    def files(self) -> Sequence[Path]:
        """List the files that `locate` reads."""


@dataclass(frozen=True)
class Lesion:
    """One lesion.

    Attributes:
        shape, margin: str. As written, read by `read_label`.
        subject: str. Identity of the patient, only ever hashed; "": that of the image.
        place: str. How messages name it: a file and a row.
        source: Source. Where its pixels are; None where they are not.
        unusable: str. Why it cannot be used, when that is known before its image is read.
        note: str. What the user should know about it though it is used.
        size: float. As `Located.size`, NaN for unknown. Defaults to None: that of the source.
    """

    shape: str
    margin: str
    subject: str
    place: str
    source: Source | None
    unusable: str = ""
    note: str = ""
    size: float | None = None
