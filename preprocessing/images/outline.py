"""A breast's mask at the full size of its image, held as what is needed of it: where each column begins and ends.

A scanned film has 13 million pixels and its mask some ten thousand ends of columns, from which the height of
every column and the mask's share of larger pixels follow exactly.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from preprocessing.images.mask import mask_of


@dataclass(frozen=True, eq=False)
class Outline:
    """Where the columns of a mask begin and end.

    Attributes:
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
        """Trace the outline of a mask, bool (height, width)."""
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
        """Trace the outline of a mask once enlarged: interpolated linearly, as by OpenCV, and cut at the threshold.

        Args:
            small: bool (rows, columns).
            shape: (height, width), larger in both directions.
        """
        height, width = shape
        size = (width, len(small))
        shares = cv2.resize(small.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
        coarse = cls.of(mask_of(shares))
        rows = np.where(coarse.rows == len(small), height, 0)
        between = np.flatnonzero((coarse.rows > 0) & (coarse.rows < len(small)))
        below, columns = coarse.rows[between], coarse.columns[between]
        first, weights = _interpolated_rows(len(small), height)
        taps = weights[below - 1]  # of the rows between two of the small mask, [N, rows]
        upper, lower = shares[below - 1, columns, np.newaxis], shares[below, columns, np.newaxis]
        breast = mask_of((1 - taps) * upper + taps * lower)  # NaN, no row: False
        begins = coarse.steps[between, np.newaxis] > 0
        rows[between] = first[below - 1] + ((breast != begins) & ~np.isnan(taps)).sum(axis=1)
        return cls(shape, rows, coarse.columns, coarse.steps)

    def heights(self) -> np.ndarray:
        """Count the pixels of the mask in each column."""
        return -np.bincount(self.columns, self.steps * self.rows, self.shape[1]).astype(np.int64)

    def mirrored(self) -> "Outline":
        """Return the outline of the mask with left and right exchanged."""
        return Outline(self.shape, self.rows, self.shape[1] - 1 - self.columns, self.steps)

    def mask(self) -> np.ndarray:
        """Fill the outline: the mask itself, bool (height, width)."""
        changes = np.zeros((self.shape[0] + 1, self.shape[1]), np.int8)
        np.add.at(changes, (self.rows, self.columns), self.steps)
        return changes[:-1].cumsum(axis=0, dtype=np.int8) > 0

    def sampled(self, size: tuple[int, int]) -> np.ndarray:
        """Take the mask at the middle of each of fewer columns, its ends rounded to fewer rows.

        Args:
            size: (height, width) of the result, not larger than the mask.

        Returns:
            bool of `size`.
        """
        height, width = size
        number = np.full(self.shape[1], -1)
        number[((np.arange(width) + 0.5) * (self.shape[1] / width)).astype(int)] = np.arange(width)
        columns = number[self.columns]
        taken = columns >= 0
        rows = np.rint(self.rows[taken] * (height / self.shape[0])).astype(int)
        return Outline(size, rows, columns[taken], self.steps[taken]).mask()

    def shares(self, corner: tuple[int, int], size: tuple[int, int], pixel: tuple[float, float]) -> np.ndarray:
        """Compute the mask's share of the area of larger pixels.

        Args:
            corner: (row, column) of the mask at which the larger pixels begin; a negative row lies above the mask.
            size: (height, width), how many larger pixels.
            pixel: (height, width) of one, in pixels of the mask, at least 1.

        Returns:
            float64 of `size`, rounded to 1e-9 so that half a pixel is half a pixel.
        """
        steps = self.steps[:, np.newaxis, np.newaxis]
        # 1) what a column adds to the two larger ones that it may lie in
        x = (self.columns - corner[1]) / pixel[1]
        column = np.floor(x).astype(np.int64)
        within = np.minimum(column + 1 - x, 1 / pixel[1])
        across = np.stack([within, 1 / pixel[1] - within], axis=1)[:, np.newaxis]  # [N, 1, 2]
        # 2) what beginning at a row adds to its larger row, and on top of that to all rows below
        y = np.maximum(self.rows - corner[0], 0) / pixel[0]
        row = np.floor(y).astype(np.int64)
        down = np.stack([row + 1 - y, y - row], axis=1)[:, :, np.newaxis]  # [N, 2, 1]

        rows, columns = np.broadcast_arrays(
            (row[:, np.newaxis] + [0, 1])[:, :, np.newaxis], (column[:, np.newaxis] + [0, 1])[:, np.newaxis]
        )
        weights = steps * down * across  # [N, 2, 2]
        inside = (rows >= 0) & (rows < size[0]) & (columns >= 0) & (columns < size[1])
        places = rows[inside] * size[1] + columns[inside]
        changes = np.bincount(places, weights[inside], size[0] * size[1]).reshape(size)
        return changes.cumsum(axis=0).round(9)


def _interpolated_rows(small: int, large: int) -> tuple[np.ndarray, np.ndarray]:
    """Find which rows of the large image lie between two of the small one, and how far from the upper to the lower.

    Returns:
        The first row for each pair, and float32 (pairs, rows), NaN where a pair has fewer rows than another.
    """
    at = ((np.arange(large) + 0.5) * (small / large) - 0.5).astype(np.float32)
    upper = np.floor(at)
    pairs = np.arange(small - 1)
    first, end = np.searchsorted(upper, pairs), np.searchsorted(upper, pairs, side="right")
    rows = first[:, np.newaxis] + np.arange((end - first).max())
    weights = (at - upper)[np.minimum(rows, large - 1)]
    return first, np.where(rows < end[:, np.newaxis], weights, np.float32(np.nan))
