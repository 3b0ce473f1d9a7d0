"""A breast's mask at the full size of its film, held as what is needed of it: where each column begins and ends.

A scanned film has 13 million pixels and its mask some ten thousand ends of columns, from which the height of
every column and the mask's share of larger pixels follow exactly.
"""

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True, eq=False)
class Outline:
    """Where the columns of a mask begin and end.

    shape: (height, width) of the mask.
    rows, columns: int arrays, the places in any order. Pixel (row, column) is the first that differs from the one
        above; above and below the mask there is nothing.
    steps: int8 array, 1 where the mask begins and −1 where it ends.
    """

    shape: tuple[int, int]
    rows: np.ndarray
    columns: np.ndarray
    steps: np.ndarray

    @classmethod
    def of(cls, mask: np.ndarray) -> "Outline":
        """The outline of a mask, bool (height, width)."""
        height, width = mask.shape
        rows, columns = np.divmod(np.flatnonzero(mask[1:] != mask[:-1]), width)
        steps = np.where(mask[rows + 1, columns], 1, -1)
        first, last = np.flatnonzero(mask[0]), np.flatnonzero(mask[-1])
        return cls(
            mask.shape,
            np.concatenate([np.zeros_like(first), rows + 1, np.full_like(last, height)]),
            np.concatenate([first, columns, last]),
            np.concatenate([np.ones_like(first), steps, -np.ones_like(last)]).astype(np.int8),
        )

    @classmethod
    def of_enlarged(cls, small: np.ndarray, shape: tuple[int, int]) -> "Outline":
        """The outline of a mask once enlarged: interpolated linearly, as by OpenCV, and cut at 0.5.

        small: bool (rows, columns). shape: (height, width), larger in both directions.
        """
        height, width = shape
        size = (width, len(small))
        shares = cv2.resize(small.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
        coarse = cls.of(shares >= 0.5)
        rows = np.where(coarse.rows == len(small), height, 0)
        between = np.flatnonzero((coarse.rows > 0) & (coarse.rows < len(small)))
        below, columns = coarse.rows[between], coarse.columns[between]
        first, weights = _interpolated_rows(len(small), height)
        taps = weights[below - 1]  # of the rows between two of the small mask, [N, rows]
        upper, lower = shares[below - 1, columns, np.newaxis], shares[below, columns, np.newaxis]
        breast = (1 - taps) * upper + taps * lower >= 0.5  # NaN, no row: False
        begins = coarse.steps[between, np.newaxis] > 0
        rows[between] = first[below - 1] + ((breast != begins) & ~np.isnan(taps)).sum(axis=1)
        return cls(shape, rows, coarse.columns, coarse.steps)

    def heights(self) -> np.ndarray:
        """Pixels of the mask in each column."""
        return -np.bincount(self.columns, self.steps * self.rows, self.shape[1]).astype(np.int64)

    def mirrored(self) -> "Outline":
        """The outline of the mask with left and right exchanged."""
        return Outline(self.shape, self.rows, self.shape[1] - 1 - self.columns, self.steps)

    def mask(self) -> np.ndarray:
        """The mask itself, bool (height, width)."""
        changes = np.zeros((self.shape[0] + 1, self.shape[1]), np.int8)
        np.add.at(changes, (self.rows, self.columns), self.steps)
        return changes[:-1].cumsum(axis=0, dtype=np.int8).astype(bool)

    def shares(self, top: int, left: int, columns: int, height: int, factor: float) -> np.ndarray:
        """The mask's share of stretches of columns, when it is laid into a frame at row `top`.

        top: row of the frame at which the mask's first row lies.
        left, columns: the columns of the mask to take; those beyond it are empty.
        height, factor: how many stretches there are, and how many rows of the frame each is long.

        Returns float64 (height, columns).
        """
        taken = (self.columns >= left) & (self.columns < left + columns)
        at = (self.rows[taken] + top) / factor
        stretch = at.astype(np.int64)
        place = stretch * columns + self.columns[taken] - left
        begun = self.steps[taken] * (at - stretch)  # of the stretch, before the mask begins or ends in it
        size = (height + 2) * columns
        changes = np.bincount(place, self.steps[taken] - begun, size) + np.bincount(place + columns, begun, size)
        return changes.reshape(height + 2, columns)[:height].cumsum(axis=0)


def _interpolated_rows(small: int, large: int) -> tuple[np.ndarray, np.ndarray]:
    """Which rows of the large image lie between two of the small one, and how far from the upper to the lower.

    Returns the first row for each pair, and float32 [pairs, rows], NaN where a pair has fewer rows than another.
    """
    at = ((np.arange(large) + 0.5) * (small / large) - 0.5).astype(np.float32)
    upper = np.floor(at)
    pairs = np.arange(small - 1)
    first, end = np.searchsorted(upper, pairs), np.searchsorted(upper, pairs, side="right")
    rows = first[:, np.newaxis] + np.arange((end - first).max())
    weights = (at - upper)[np.minimum(rows, large - 1)]
    return first, np.where(rows < end[:, np.newaxis], weights, np.float32(np.nan))
