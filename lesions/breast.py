"""Places in a breast, so that a place in one breast can be found in another.

A place has a depth, 0 at the chest wall and 1 at the skin of its row, and a height, 0 at the breast's first row and 1
at its last. Both are fractions of the breast's mask, chest wall on the left.
"""

from dataclasses import dataclass, field

import numpy as np

from preprocessing.shards import DataError


@dataclass(frozen=True, eq=False)
class Breast:
    """A breast's mask, bool (height, width), chest wall on the left.

    Attributes:
        top, bottom: its first row, and the one after its last.
        extent: int (height,), columns from the chest wall to the skin in each row.
    """

    mask: np.ndarray
    top: int = field(init=False)
    bottom: int = field(init=False)
    extent: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        rows = np.flatnonzero(self.mask.any(axis=1))
        if not rows.size:
            raise DataError("the breast mask of a mammogram is empty; prepare the dataset again")
        widths = self.mask.shape[1] - self.mask[:, ::-1].argmax(axis=1)
        object.__setattr__(self, "top", int(rows[0]))
        object.__setattr__(self, "bottom", int(rows[-1]) + 1)
        object.__setattr__(self, "extent", np.where(self.mask.any(axis=1), widths, 0))

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
