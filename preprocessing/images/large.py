"""Large images: pixels looked up only where they are needed, and area averages that never hold them all.

A scanned film has 13 million pixels. Its file stores integers of 16 bits at most; as float32 they would take twice as
much memory, and most of the time per image would go into writing and reading it.
"""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

_ROWS = 32  # looked up and averaged at once: they stay in the processor's cache
_GROUP = 6  # rows of a result whose pixels are looked up at once


@dataclass(frozen=True, eq=False)
class StoredImage:
    """An image as its file stores it, with the grey level that each stored value stands for.

    Attributes:
        stored: uint8 or uint16 (height, width).
        levels: float32 (256,) or (65536,), the grey levels in [0, 1] of all values.
    """

    stored: np.ndarray
    levels: np.ndarray

    @classmethod
    def of(cls, stored: np.ndarray, levels: np.ndarray, first: int) -> "StoredImage":
        """Make an image of integers of 8 or 16 bits, signed or not, in any byte order.

        Args:
            stored: Integers (height, width).
            levels: Grey levels in [0, 1] of the values from `first` on; no value lies outside of them.
            first: The value of `levels[0]`.
        """
        native = stored.astype(stored.dtype.newbyteorder("="), copy=False)
        unsigned = native.view(np.dtype(f"u{native.itemsize}"))
        table = np.zeros(2 ** (8 * native.itemsize), np.float32)
        table[: len(levels)] = levels
        return cls(unsigned, np.roll(table, first))

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.stored.shape

    def __getitem__(self, part: tuple[slice, slice] | slice) -> "StoredImage":
        """Return a part of the image, or the image mirrored; a view."""
        return StoredImage(self.stored[part], self.levels)

    def transposed(self) -> "StoredImage":
        """Return the image with rows and columns exchanged."""
        return StoredImage(np.ascontiguousarray(self.stored.T), self.levels)

    def pixels(self) -> np.ndarray:
        """Look up the grey levels, float32 (height, width)."""
        if self.levels.size == 256 or _opencv_looks_up_16_bits():
            return cv2.LUT(self.stored, self.levels)
        pixels = np.empty(self.shape, np.float32)
        for row in range(0, len(pixels), _ROWS):
            indices = self.stored[row : row + _ROWS].astype(np.intp, order="C")
            # All of them are in range, and the mode "raise" would make a copy.
            np.take(self.levels, indices, out=pixels[row : row + _ROWS], mode="wrap")
        return pixels


def counts_of(stored: np.ndarray) -> np.ndarray:
    """Count how often each value occurs among integers of 8 or 16 bits, from 0 on; NumPy would copy them to 64 bits."""
    counts = np.zeros(np.iinfo(stored.dtype).max + 1, np.int64)
    for row in range(0, len(stored), _ROWS):
        counts += np.bincount(stored[row : row + _ROWS].ravel(), minlength=len(counts))
    return counts


def bits_held(greatest: int, bits: int) -> int:
    """Tell how many bits an image really holds: scripts write the 12 bits of a detector into 16, a sixteenth as bright.

    Args:
        greatest: The greatest value of the image.
        bits: How many its file says, without a window.

    Returns:
        8, 10, 12 or 14 where a file of 16 bits holds no greater value, else `bits`.
    """
    return next((held for held in (8, 10, 12, 14) if bits == 16 and greatest < 2**held), bits)


@cache
def _opencv_looks_up_16_bits() -> bool:
    """Tell whether OpenCV's look-up takes 16 bits: version 5 does, in a third of NumPy's time."""
    try:
        return cv2.LUT(np.array([[65535]], np.uint16), np.arange(65536, dtype=np.float32)).item() == 65535
    except cv2.error:
        return False


Image = np.ndarray | StoredImage


def pixels_of(image: Image) -> np.ndarray:
    """Return an image as an array, float32 where it is stored otherwise."""
    return image.pixels() if isinstance(image, StoredImage) else image


def shrink(
    image: Image,
    size: tuple[int, int],
    frame: tuple[int, int] | None = None,
    top: int = 0,
    columns: int | None = None,
) -> np.ndarray:
    """Average the areas of an image that is laid into a larger frame of zeros.

    Args:
        image: float32 or stored (height, width).
        size: (height, width) of the whole result.
        frame: (height, width) of what is averaged, not smaller than the size. Defaults to the image's own.
        top: Row of the frame where the image begins; it begins at the left. Defaults to 0.
        columns: How many columns of the result are wanted. Defaults to all.

    Returns:
        float32 (size[0], columns), bit for bit what OpenCV's `INTER_AREA` gives of the frame: it averages along each
        row first, so that only rows already averaged are put into the frame here.
    """
    frame = frame or image.shape
    columns = columns or size[1]
    taken = -(-columns * frame[1] // size[1])  # columns of the frame that they cover
    if frame[1] < 2 * size[1]:  # OpenCV copies what rounding leaves as wide as it is
        taken = frame[1]
    image = image[:, :taken]
    if frame[0] % size[0] == 0:
        return _rows_apart(image, size, frame, top, taken)[:, :columns]
    across = size[1] / frame[1]
    if frame[1] % size[1] == 0:  # OpenCV adds whole numbers of pixels in another order, and then only
        across *= 1 - 1e-12
    narrow = np.empty((image.shape[0], columns), np.float32)
    for row in range(0, len(narrow), _ROWS):
        strip = pixels_of(image[row : row + _ROWS])
        strip = _laid(strip, len(strip), taken) if strip.shape[1] < taken else strip
        strip = cv2.resize(strip, None, fx=across, fy=1, interpolation=cv2.INTER_AREA)
        narrow[row : row + _ROWS] = strip[:, :columns]
    return cv2.resize(_laid(narrow, frame[0], columns, top), (columns, size[0]), interpolation=cv2.INTER_AREA)


def _rows_apart(image: Image, size: tuple[int, int], frame: tuple[int, int], top: int, taken: int) -> np.ndarray:
    """Do what `shrink` does, a few rows at a time of a result that averages whole rows of the frame's first columns."""
    tall, across, down = frame[0] // size[0], size[1] / frame[1], size[0] / frame[0]
    band = max(1, _ROWS // tall)
    result = np.zeros((size[0], round(taken * across)), np.float32)
    for row in range(top // tall, -(-(top + image.shape[0]) // tall), band):
        rows = result[row : row + band]
        first = row * tall - top  # of the image's rows
        strip = pixels_of(image[max(0, first) : first + tall * len(rows)])
        strip = _laid(strip, tall * len(rows), taken, max(0, -first))
        rows[:] = cv2.resize(strip, None, fx=across, fy=down, interpolation=cv2.INTER_AREA)
    return result


def averages(image: Image, size: tuple[int, int]) -> np.ndarray:
    """Shrink a whole image in half the time of `shrink`, to the accuracy of float32 (about 1e-7) instead of to the bit.

    Columns are averaged first here, which adds whole rows of pixels at a time.

    Args:
        image: float32 or stored (height, width).
        size: (height, width) of the result.

    Returns:
        float32 of `size`.
    """
    height, width = image.shape
    edges = np.arange(size[0] + 1) * (height / size[0])  # of the result's rows, in rows of the image
    taps = int(np.ceil(edges[1])) + 1
    first = np.minimum(np.int64(edges[:-1]), height - taps)
    rows = first[:, np.newaxis] + np.arange(taps)
    covered = np.minimum(edges[1:, np.newaxis], rows + 1) - np.maximum(edges[:-1, np.newaxis], rows)
    # Of the rows that a row of the result covers, [rows, taps].
    weights = (covered.clip(0) / edges[1]).astype(np.float32)
    low = np.empty((size[0], width), np.float32)
    starts = first.tolist()
    for group in range(0, size[0], _GROUP):
        begins = starts[group : group + _GROUP]
        pixels = pixels_of(image[begins[0] : begins[-1] + taps])
        for row, begin in enumerate(begins, group):
            at = begin - begins[0]
            np.einsum("i,ij->j", weights[row], pixels[at : at + taps], out=low[row])
    return cv2.resize(low, size[::-1], interpolation=cv2.INTER_AREA)


def _laid(pixels: np.ndarray, height: int, width: int, top: int = 0) -> np.ndarray:
    """Lay an image into a frame of zeros."""
    below, right = height - top - pixels.shape[0], width - pixels.shape[1]
    return cv2.copyMakeBorder(pixels, top, below, 0, right, cv2.BORDER_CONSTANT, value=0)
