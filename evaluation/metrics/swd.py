"""Sliced Wasserstein distance between the patches of two sets of images, level by level (Karras et al. 2018, §5).

Each image is taken apart into a Laplacian pyramid; at each level the 7×7 patches of one set are compared with those of
the other: their projections on random directions, sorted, differ by so much on average. Coarse levels show whether the
large structures are right, the finest whether texture and sharpness are.

Two things are ours. Patches are normalised by the mean and standard deviation of the **real** patches of their level,
not each set by its own, so that texture which is there but too faint counts. And where there are masks, patches have
their centre inside: the empty half of a mammogram is always right.
"""

from collections.abc import Callable

import cv2
import numpy as np

from evaluation.image_set import EvaluationError
from evaluation.metrics.metric import LOW, Chunk, Metric, Row, Sets, distance_row
from preprocessing.images.mask import resize_mask

PATCH = 7
COARSEST = 16  # pixels of the shorter side at the coarsest level (Karras et al.)
PATCHES = 128  # per image and level, when there is room for so many
MOST_PATCHES = 2**15  # per level, of both sets: what bounds the memory
DIRECTIONS = 64
SCALE = 1000  # distances are printed times 10³, as by Karras et al.


def pyramid_sizes(height: int, width: int) -> list[tuple[int, int]]:
    """List the sizes of the levels, finest first: halved while the shorter side keeps 16 pixels."""
    sizes = [(height, width)]
    while min(sizes[-1]) // 2 >= COARSEST:
        sizes.append((sizes[-1][0] // 2, sizes[-1][1] // 2))
    return sizes


def laplacian_pyramid(image: np.ndarray) -> list[np.ndarray]:
    """Split an image into bands, finest first; the last is the low-pass that remains (Burt and Adelson 1983)."""
    sizes = pyramid_sizes(*image.shape)
    bands: list[np.ndarray] = []
    current: np.ndarray = np.asarray(image, np.float32)
    for height, width in sizes[1:]:
        small = cv2.resize(cv2.GaussianBlur(current, (5, 5), 1), (width, height), interpolation=cv2.INTER_AREA)
        bands.append(current - cv2.resize(small, current.shape[::-1], interpolation=cv2.INTER_LINEAR))
        current = small
    return [*bands, current]


def patches_of(image: np.ndarray, mask: np.ndarray, count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Cut random 7×7 patches with their centre in the mask, at every level: each float32 (count, 49)."""
    found, edge = [], PATCH // 2
    for band in laplacian_pyramid(image):
        inside = resize_mask(mask, band.shape)
        inside[:edge], inside[-edge:], inside[:, :edge], inside[:, -edge:] = (False,) * 4
        y, x = np.nonzero(inside)
        if not len(y):  # a mask without room: the level's middle stands for it
            y, x = np.array([band.shape[0] // 2]), np.array([band.shape[1] // 2])
        chosen = rng.integers(len(y), size=count)
        windows = np.lib.stride_tricks.sliding_window_view(band, (PATCH, PATCH))
        found.append(windows[y[chosen] - edge, x[chosen] - edge].reshape(count, -1))
    return found


def patches_per_image(images: int) -> int:
    """Return how many patches per level each image of a set of this size may give."""
    return int(np.clip(MOST_PATCHES // max(images, 1), 1, PATCHES))


def patches_of_images(images: np.ndarray, masks: np.ndarray, places: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Cut `count` patches per level of each image: float32 (n, levels, count, 49).

    Args:
        images, masks: (n, height, width).
        places: int (n,). Images with the same number are cut at the same places.
    """
    drawn = (np.random.default_rng([seed, int(place)]) for place in places)
    return np.array([patches_of(image, mask, count, rng) for image, mask, rng in zip(images, masks, drawn)])


class SlicedWasserstein:
    """Compares any two of some images, whose patches are normalised, projected and sorted once for all comparisons.

    Memory: 8·64 bytes per patch and level, no more than 2¹⁵ patches per level whatever the number of images.

    Args:
        patches: float32 (n, levels, patches, 49), from `patches_of_images`.
        real: indices of the real images, by which patches are normalised.
    """

    def __init__(self, patches: np.ndarray, real: np.ndarray, seed: int = 0):
        self.count, levels, self.patches, _ = patches.shape
        rng = np.random.default_rng(seed)
        self._sorted: list[tuple[np.ndarray, np.ndarray]] = []  # gaps of sorted projections, whose image is below
        for level in range(levels):
            table = patches[:, level]
            directions = rng.standard_normal((PATCH**2, DIRECTIONS)).astype(np.float32)
            directions /= np.linalg.norm(directions, axis=0)
            mean, spread = table[real].mean(), table[real].std()
            projected = ((table.reshape(-1, PATCH**2) - mean) / max(spread, 1e-8) @ directions).T
            order = np.argsort(projected, axis=1)
            gaps = np.diff(np.take_along_axis(projected, order, axis=1), axis=1)
            self._sorted.append((gaps, (order[:, :-1] // self.patches).astype(np.int32)))

    def distances(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Compute the distance ×10³ of two disjoint sets of images (indices, equally many) per level, finest first.

        The 1-Wasserstein distance of two samples is the area between their distribution functions: over each gap
        between neighbouring values, how many more patches of the first set lie below than of the second.
        """
        weight = np.zeros(self.count, np.int8)
        weight[first], weight[second] = 1, -1
        patches = len(first) * self.patches
        result = []
        for gaps, image in self._sorted:
            ahead = np.abs(np.cumsum(weight[image], axis=1, dtype=np.int32))
            result.append(SCALE * float(np.einsum("ij,ij->", ahead, gaps, dtype=np.float64)) / patches / DIRECTIONS)
        return np.array(result)


def _describe(chunk: Chunk) -> np.ndarray:
    """Patches of each image, at places of its own: float32 (n, levels, patches, 49); none of too small images."""
    if min(chunk.images.shape[1:]) < PATCH:
        return np.empty((len(chunk.images), 0))
    return patches_of_images(chunk.images, chunk.masks, chunk.numbers, patches_per_image(chunk.total), chunk.seed)


def _compare(metric: Metric, sets: Sets) -> list[Row]:
    """Compare at every level, and the mean over the levels."""
    height, width = sets.real.size
    if min(height, width) < PATCH:
        raise EvaluationError(f"SWD needs images of at least {PATCH}x{PATCH} pixels, these are {height}x{width}")
    swd, sizes = SlicedWasserstein(sets.pooled("patches"), sets.indices[0], sets.seed), pyramid_sizes(height, width)
    memory: dict[bytes, np.ndarray] = {}

    def of_level(level: int | None) -> Callable[[np.ndarray, np.ndarray], float]:
        def statistic(a: np.ndarray, b: np.ndarray) -> float:
            key = a.tobytes() + b"|" + b.tobytes()  # the levels ask for the same pairs of sets
            if key not in memory:
                memory[key] = swd.distances(a, b)
            return float(memory[key].mean() if level is None else memory[key][level])

        return statistic

    levels = zip([None, *range(len(sizes))], ["mean", *(f"{height}x{width}" for height, width in sizes)], strict=True)
    return [distance_row(metric, sets, of_level(level), part=name, replicates=20) for level, name in levels]


SLICED_WASSERSTEIN = Metric(
    f"swd_{PATCH}x{PATCH}", "sliced Wasserstein distance ×10³", LOW, _compare, {"patches": _describe}, per_pair=True
)
