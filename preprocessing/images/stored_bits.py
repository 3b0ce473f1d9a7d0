"""Bits of stored values in DICOM: which of them are the value, and how many, whatever the header says (PS3.5, 8.1)."""

import numpy as np
from pydicom.dataset import Dataset

from preprocessing.images.grey_levels import has_window
from preprocessing.images.stored_image import bits_held

OVERLAY_BITS = [0x60000102 + 0x20000 * group for group in range(16)]  # Overlay Bit Position
_WRAP = 7 / 8  # of the range of values: a step between neighbours that is longer is no edge in an image (ours)
_ROWS = 32  # looked at at once


def holds_overlay(dataset: Dataset) -> bool:
    """Tell whether the bits above the stored ones are an overlay's, as in older objects (PS3.5 section 8.1.2)."""
    return any(tag in dataset and (dataset[tag].value or 0) > 0 for tag in OVERLAY_BITS)


def unused_low_bits(dataset: Dataset) -> int:
    """Count the bits below the stored ones, of which older objects have some (HighBit 15 of 12 bits stored)."""
    high = dataset.get("HighBit")
    shift = 0 if high in (None, "") else int(high) + 1 - int(dataset.BitsStored)
    return shift if 0 < shift <= dataset.BitsAllocated - dataset.BitsStored else 0


def without_low_bits(stored: np.ndarray, dataset: Dataset, shift: int) -> np.ndarray:
    """Shift values down to their stored bits, unless no value reaches above these: then HighBit is wrong."""
    if not shift:
        return stored
    bits = int(dataset.BitsStored)
    if int(stored.max()) >= 2**bits or int(stored.min()) < -(2 ** (bits - 1)):
        stored = stored >> shift
    return _sign_extended(stored, bits)


def fit_header(dataset: Dataset, stored: np.ndarray, *, lossy: bool) -> tuple[np.ndarray, list[str]]:
    """Correct BitsStored and PixelRepresentation of a header whose values are of other bits, so that none wraps.

    Args:
        lossy: Whether the values were compressed with loss; those that pass the bits stored are then white or black.

    Returns:
        The values, and what is doubtful about them.
    """
    said, first, last = int(dataset.BitsStored), int(stored.min()), int(stored.max())
    signed = dataset.PixelRepresentation == 1
    half = 2 ** (said - 1)  # of the values that the header allows
    if lossy and last >= 2 * half:
        last = 2 * half - 1
        stored = np.minimum(stored, last)
    held = bits_held(last, 16)
    if signed and first >= 0 and half <= last < 2 * half:  # either without copies of their sign above it, or unsigned
        extended = _sign_extended(stored, said)
        if _wraps(extended, said) <= _wraps(stored, said):
            return extended, []
        dataset.PixelRepresentation = 0
        return stored, [f"signed values of {said} bits wrap from white to black: taken as unsigned"]
    if lossy or (-half <= first and last < half * (1 if signed else 2)):
        held = said if first < 0 or has_window(dataset) else bits_held(last, said)
    elif first < 0:
        held = bits_held(2 * max(last, -first - 1) + 1, 16)
    if held == said:
        return stored, []
    unsigned = signed and first >= 0
    if unsigned:
        dataset.PixelRepresentation = 0
    dataset.BitsStored = held
    return stored, [f"values of {held} bits in {said}: taken as {held} bits" + ", unsigned" * unsigned]


def _sign_extended(stored: np.ndarray, bits: int) -> np.ndarray:
    """Fill the bits above the stored ones with their sign, or with 0 where values have none."""
    unused = 8 * stored.itemsize - bits
    extended = stored << unused
    extended >>= unused  # without another copy
    return extended


def _wraps(stored: np.ndarray, bits: int) -> int:
    """Count the steps between neighbours over nearly the whole range of a number of bits, as where values wrap."""
    longest, count = _WRAP * 2**bits, 0
    for row in range(0, len(stored), _ROWS):
        block = stored[row : row + _ROWS + 1].astype(np.int32)
        for axis in (0, 1):
            count += int(np.count_nonzero(np.abs(np.diff(block, axis=axis)) > longest))
    return count
