"""Places in a breast, so that a place in one breast can be found in another.

A place has a depth, 0 at the chest wall and 1 at the skin of its row, and a height, 0 at the breast's first row and 1
at its last. Both are fractions of the breast's mask, chest wall on the left.
"""

import numpy as np

from preprocessing.shards import DataError


class Breast:
    """Places in one breast.

    Args:
        mask: bool (height, width), chest wall on the left.

    Attributes:
        top, bottom: its first row, and the one after its last.
        extent: int (height,), columns from the chest wall to the skin in each row.

    Raises:
        DataError: the mask is empty.
    """

    def __init__(self, mask: np.ndarray):
        rows = np.flatnonzero(mask.any(axis=1))
        if not rows.size:
            raise DataError("the breast mask of a mammogram is empty; prepare the dataset again")
        self.mask, self.top, self.bottom = mask, int(rows[0]), int(rows[-1]) + 1
        self.extent = np.where(mask.any(axis=1), mask.shape[1] - mask[:, ::-1].argmax(axis=1), 0)

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Return (depth, height) of pixel coordinates, each clipped to [0, 1]."""
        row = int(np.clip(y, self.top, self.bottom - 1))
        depth = x / max(self.extent[row], 1)
        height = (y - self.top) / (self.bottom - self.top)
        return float(np.clip(depth, 0, 1)), float(np.clip(height, 0, 1))

    def pixel(self, depth: float, height: float) -> tuple[float, float]:
        """Return (x, y) in pixels of a depth and height."""
        y = self.top + height * (self.bottom - self.top)
        row = int(np.clip(y, self.top, self.bottom - 1))
        return float(depth * self.extent[row]), float(y)
