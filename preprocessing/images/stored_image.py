"""Large images: pixels looked up only where they are needed, and area averages that never hold them all.

A scanned film has 13 million pixels. Its file stores integers of 16 bits at most; as float32 they would take twice as
much memory, and most of the time per image would go into writing and reading it.
"""

from dataclasses import dataclass, replace
from functools import cache

import cv2
import numpy as np

_ROWS = 32  # looked up or counted at once: they stay in the processor's cache
_GROUP = 6  # rows of a result whose pixels are looked up at once


@dataclass(frozen=True, eq=False)
class StoredImage:
    """An image as its file stores it, with the grey level that each stored value stands for.

    Attributes:
        stored: uint8 or uint16 (height, width).
        levels: float32 (256,) or (65536,), the grey levels in [0, 1] of all values.
        divisor: What the stored values are divided by to give these levels, which is faster than looking them up; 0
            where no number does.
    """

    stored: np.ndarray
    levels: np.ndarray
    divisor: int = 0

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
        return cls(unsigned, np.roll(table, first), _divisor(levels, first))

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.stored.shape

    def __getitem__(self, part: tuple[slice, slice] | slice) -> "StoredImage":
        """Return a part of the image, or the image mirrored; a view."""
        return replace(self, stored=self.stored[part])

    def transposed(self) -> "StoredImage":
        """Return the image with rows and columns exchanged."""
        return replace(self, stored=np.ascontiguousarray(self.stored.T))

    def pixels(self) -> np.ndarray:
        """Look up the grey levels, float32 (height, width)."""
        if self.divisor:
            pixels = self.stored.astype(np.float32)
            pixels /= np.float32(self.divisor)
            return pixels
        if self.levels.size == 256 or _opencv_looks_up_16_bits():
            return cv2.LUT(self.stored, self.levels)
        pixels = np.empty(self.shape, np.float32)
        for row in range(0, len(pixels), _ROWS):
            indices = self.stored[row : row + _ROWS].astype(np.intp, order="C")
            # All of them are in range, and the mode "raise" would make a copy.
            np.take(self.levels, indices, out=pixels[row : row + _ROWS], mode="wrap")
        return pixels


def _divisor(levels: np.ndarray, first: int) -> int:
    """Find the number by which the values from `first` on are divided to give their levels, bit for bit; 0: none."""
    if first < 0 or not levels[-1] > 0:
        return 0
    values = np.arange(first, first + len(levels), dtype=np.float32)
    divisor = round(float(values[-1] / levels[-1]))
    return divisor if np.array_equal(values / np.float32(divisor), levels) else 0


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


def averages(
    image: Image,
    size: tuple[int, int],
    frame: tuple[int, int] | None = None,
    top: int = 0,
    columns: int | None = None,
) -> np.ndarray:
    """Average the areas of an image that is laid into a larger frame of zeros.

    Columns are averaged first, which adds whole rows of pixels at a time. Neither the frame nor all grey levels of a
    stored image are ever in memory.

    Args:
        image: float32 or stored (height, width).
        size: (height, width) of the whole result.
        frame: (height, width) of what is averaged, not smaller than the size. Defaults to the image's own.
        top: Row of the frame where the image begins; it begins at the left. Defaults to 0.
        columns: How many columns of the result are wanted. Defaults to all.

    Returns:
        float32 (size[0], columns), within 1e-6 of what OpenCV's `INTER_AREA` gives of the frame.
    """
    frame = frame or image.shape
    columns = columns or size[1]
    taken = -(-columns * frame[1] // size[1])  # columns of the frame that they cover
    if frame[1] < 2 * size[1]:  # where rounding leaves as many columns as there were, OpenCV would only copy them
        taken = frame[1]
    low = _columns_averaged(image[:, :taken], size[0], frame[0], top)
    beyond = taken - low.shape[1]  # the frame's columns on the right of the image
    low = cv2.copyMakeBorder(low, 0, 0, 0, beyond, cv2.BORDER_CONSTANT, value=0) if beyond > 0 else low
    return cv2.resize(low, None, fx=size[1] / frame[1], fy=1, interpolation=cv2.INTER_AREA)[:, :columns]


def _columns_averaged(image: Image, rows: int, height: int, top: int) -> np.ndarray:
    """Average each column of an image, `top` rows below the upper edge of a frame of a height, to fewer rows."""
    stored = image.stored if isinstance(image, StoredImage) else image
    if stored.strides[1] < 0:  # a mirrored image: its rows are read three times as fast forwards
        return _columns_averaged(image[:, ::-1], rows, height, top)[:, ::-1]
    taps = min(int(np.ceil(height / rows)) + 1, len(stored))
    edges = np.arange(rows + 1) * (height / rows) - top  # of the result's rows, in rows of the image
    first: list[int] = np.clip(np.floor(edges[:-1]), 0, len(stored) - taps).astype(int).tolist()
    tapped = np.add.outer(first, np.arange(taps))
    covered = np.minimum(edges[1:, np.newaxis], tapped + 1) - np.maximum(edges[:-1, np.newaxis], tapped)
    # Of the rows of the image that a row of the result covers, [rows, taps].
    weights = (covered.clip(0) * (rows / height)).astype(np.float32)

    low = np.zeros((rows, stored.shape[1]), np.float32)
    inside = np.flatnonzero(weights.any(axis=1)).tolist()
    for at in range(0, len(inside), _GROUP):
        group = inside[at : at + _GROUP]
        begin = first[group[0]]
        pixels = pixels_of(image[begin : first[group[-1]] + taps])
        for row in group:
            tap = first[row] - begin
            np.matmul(weights[row], pixels[tap : tap + taps], out=low[row])
    return low
