"""The outline of a mass: found in its patch where it is unknown, and as polygon or mask.

A mass is brighter than what surrounds it, so its outline is the closed path around its centre along which brightness
falls most, found by dynamic programming in polar coordinates (after Timp and Karssemeijer, *A new 2D segmentation
method based on dynamic programming applied to computer aided detection in mammography*, Medical Physics 2004; the costs
are ours).
"""

from collections.abc import Sequence

import cv2
import numpy as np

ANGLES = 72
RADII = np.linspace(0.35, 1.1, 31)  # of the box's ellipse, along which the outline is sought
SMOOTHING = 0.03  # standard deviation, of the box's longest side
REACH = 3  # steps of `RADII` on either side that a fall of brightness is measured over
PRIOR = 0.85, 0.3  # where the outline is expected, and how far from there the cost grows by one
STEEPNESS = 1  # steps of `RADII` that the outline may move from an angle to the next

Polygon = Sequence[tuple[float, float]]


def find_outline(patch: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    """Find the pixels of a mass, bool of the patch's shape, one filled component.

    Args:
        patch: float (height, width).
        box: x, y, width, height of the mass in the patch; its outline is sought near the ellipse in it.
    """
    x, y, width, height = box
    smooth = cv2.GaussianBlur(np.asarray(patch, np.float32), (0, 0), max(0.5, SMOOTHING * max(width, height)))
    angles = np.linspace(0, 2 * np.pi, ANGLES, endpoint=False)
    rays = np.stack([np.cos(angles) * width / 2, np.sin(angles) * height / 2], axis=1)  # [angles, 2]
    centre = np.array([x + width / 2, y + height / 2])
    # 1) brightness along each ray
    step = RADII[1] - RADII[0]
    radii = RADII[0] + step * np.arange(-REACH, len(RADII) + REACH)
    places = (centre + radii[None, :, None] * rays[:, None] - 0.5).astype(np.float32)
    polar = cv2.remap(smooth, places[..., 0], places[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    # 2) the cost of each radius: little where brightness falls outwards, and near where a box has its mass
    fall = polar[:, : -2 * REACH] - polar[:, 2 * REACH :]
    cost = -fall / max(float(fall.std()), 1e-6) + ((RADII - PRIOR[0]) / PRIOR[1]) ** 2
    # 3) the cheapest closed path
    path = closed_path(cost, STEEPNESS)
    points = centre + RADII[path][:, None] * rays
    return mask_of(points, patch.shape)


def closed_path(cost: np.ndarray, steepness: int) -> np.ndarray:
    """Find the cheapest path around: an index per row, neighbours (the last and first too) at most `steepness` apart.

    Args:
        cost: float (rows, columns).

    Returns:
        int (rows,).
    """
    rows, columns = cost.shape
    infinite = np.full((columns, steepness), np.inf)
    # The cheapest way from every start to every column, all starts at once: [start, column]
    total = np.where(np.eye(columns, dtype=bool), cost[0], np.inf)
    back = np.empty((rows + 1, columns, columns), int)
    for row in range(1, rows + 1):  # the last row is the first again, paid for already
        padded = np.hstack([infinite, total, infinite])
        choices = np.stack([padded[:, shift : shift + columns] for shift in range(2 * steepness + 1)])
        back[row] = np.arange(columns) + choices.argmin(axis=0) - steepness
        total = choices.min(axis=0) + (cost[row] if row < rows else 0)
    start = int(np.argmin(np.diagonal(total)))
    path = np.empty(rows + 1, int)
    path[rows] = start
    for row in range(rows, 0, -1):
        path[row - 1] = back[row, start, path[row]]
    return path[:rows]


# --------------------------------------------------------------------------------- masks, polygons


def mask_of(polygon: Polygon | np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Find the pixels whose centres lie inside a polygon of (x, y), bool (height, width)."""
    from skimage.draw import polygon2mask

    return polygon2mask(shape, np.asarray(polygon, float)[:, ::-1] - 0.5)


def polygon_of(mask: np.ndarray) -> tuple[tuple[float, float], ...]:
    """Find the polygon around the largest component of a mask; `mask_of` gives the component back, holes filled.

    Raises:
        ValueError: the mask is empty.
    """
    from skimage.measure import find_contours

    if not mask.any():
        raise ValueError("the mask is empty")
    contours = find_contours(np.pad(np.asarray(mask, float), 1), 0.5, fully_connected="high")
    rows, columns = max(contours, key=area)[:-1].T
    return tuple((float(x) - 0.5, float(y) - 0.5) for y, x in zip(rows, columns))


def area(polygon: Polygon | np.ndarray) -> float:
    """Compute the area of a polygon, whose last point may be the first again."""
    x, y = np.asarray(polygon, float).T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def box_around(polygon: Polygon | np.ndarray) -> tuple[float, float, float, float]:
    """Return x, y, width, height of the smallest box around a polygon."""
    points = np.asarray(polygon, float)
    low, high = points.min(axis=0), points.max(axis=0)
    return float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1])


def moved(polygon: Polygon | np.ndarray, x: float, y: float) -> tuple[tuple[float, float], ...]:
    """Shift a polygon."""
    return tuple((px + x, py + y) for px, py in polygon)
