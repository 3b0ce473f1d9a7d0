"""Ways to put a mass into a window of a mammogram **(ours, unless said)**.

A way is a function of a `Pair`, the window and the mass laid over it, and returns the window with the mass in it. All
leave the pixels outside `Pair.region` as they were, but for `paste`.

- `poisson`, the default: the gradients of the mass inside a region whose border is the window's (Perez et al., *Poisson
  image editing*, SIGGRAPH 2003); what would turn white is lowered.
- `octaves`: the mass and its near surroundings, brightness fitted to the place by a smooth factor, replace the window
  octave by octave; textures are mixed with weights whose squares sum to one, so that no octave is weaker in the seam,
  and where the mass lacks an octave that its surroundings have (it was enlarged), the window's own stays.
- `multiply`: the mass's ratio to a smooth background is multiplied into the window.
- `paste`: the whole patch, as it is; what a judge of seams must recognise.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from lesions.smooth import bands, blurred_within, distance_to, membrane, spread

DARKEST = 1e-3  # brightness, below which a ratio means nothing
REACH = 0.35  # of the mass's longest side, from its outline: what is taken for its surroundings
# Where the weight of the mass begins to fall and where it is 0, in its longest sides from its outline.
OCTAVES_FALL = (0.45, 0.7)
MULTIPLY_FALL = (0.08, 0.3)
FIT = 0.12  # standard deviation of what is fitted to the surroundings, of the mass's longest side
WHITE = 0.95  # brightness that hardly a pixel of a mass exceeds
LARGEST_FACTOR = 2.0  # of brightness, and of an octave's strength


@dataclass(frozen=True, eq=False)
class Pair:
    """A window of a mammogram and a mass laid over it, all arrays (height, width).

    Attributes:
        window: float32, the mammogram.
        breast: bool, where the window shows breast.
        mass: float32, the patch at its place and scale.
        valid: bool, where the patch shows breast.
        outline: bool, the mass.
        side: longest side of the mass, pixels.
    """

    window: np.ndarray
    breast: np.ndarray
    mass: np.ndarray
    valid: np.ndarray
    outline: np.ndarray
    side: float

    @cached_property
    def distance(self) -> np.ndarray:
        """Pixels from the mass, 0 inside it."""
        return distance_to(self.outline)

    @property
    def both(self) -> np.ndarray:
        """Where both show breast."""
        return self.breast & self.valid


def soft_region(pair: Pair, begin: float, end: float) -> np.ndarray:
    """Weight of the mass, float32: 1 up to a distance from it, 0 from another on; 0 where either shows no breast.

    Args:
        begin, end: distances from the outline, of the mass's longest side.
    """
    limits = [max(1.0, share * pair.side) for share in (begin, end)]
    limits[1] = max(limits[1], limits[0] + 2)
    ramp = np.clip((limits[1] - pair.distance) / (limits[1] - limits[0]), 0, 1)
    # Next to what shows no breast, and to the patch's own border, the weight goes down as well.
    depth = distance_to(~np.pad(pair.both, 1))[1:-1, 1:-1]
    edge = np.clip((depth - 0.5) / max(2.0, limits[1] - limits[0]), 0, 1)
    ramp = np.where(pair.outline, np.minimum(1, 2 * edge), np.minimum(ramp, edge))
    return (ramp * ramp * (3 - 2 * ramp)).astype(np.float32)


def ring(pair: Pair) -> np.ndarray:
    """The surroundings of the mass that both show: from its outline to a distance of `REACH` longest sides."""
    distance = pair.distance
    return pair.both & (distance > max(1.5, 0.05 * pair.side)) & (distance <= max(6.0, REACH * pair.side))


def octaves(pair: Pair) -> np.ndarray:
    """Replace the window octave by octave; see the module."""
    weight = soft_region(pair, *OCTAVES_FALL)
    around = ring(pair)
    mass = np.where(pair.valid, fitted(pair, around), pair.window)
    theirs, ours = bands(mass), bands(pair.window)
    total = np.zeros_like(pair.window)
    for one, other in zip(theirs[:-1], ours[:-1]):
        here, there = spread(other, around), spread(one, around)
        gain = np.clip(here / max(there, 1e-9), 1 / LARGEST_FACTOR, LARGEST_FACTOR)
        share = min(1.0, gain * there / max(here, 1e-9))
        # squares of the weights sum to one where both have equal strength
        angle = weight * (np.pi / 2)
        ours_weight = np.sqrt(np.maximum(0, 1 - (share * np.sin(angle)) ** 2))
        total += np.sin(angle) * gain * one + ours_weight * other
    total += weight * theirs[-1] + (1 - weight) * ours[-1]
    level = float(np.median(pair.window[around]))
    total += weight * (below_white(total, level, pair.outline) - total)
    return np.where(weight > 0, total, pair.window).astype(np.float32)


def fitted(pair: Pair, around: np.ndarray) -> np.ndarray:
    """The patch times a smooth factor that gives its surroundings the brightness of the window's."""
    sigma = max(2.0, FIT * pair.side)
    here, there = (blurred_within(layer, around, sigma) for layer in (pair.window, pair.mass))
    ratio = np.log(np.maximum(here, DARKEST) / np.maximum(there, DARKEST))
    limit = np.log(LARGEST_FACTOR)
    field = membrane(np.clip(ratio, -limit, limit), around)
    mass = pair.mass * np.exp(cv2.GaussianBlur(field, (0, 0), sigma / 2))
    return below_white(mass, float(np.median(pair.window[around])), pair.outline)


def below_white(mass: np.ndarray, level: float, outline: np.ndarray) -> np.ndarray:
    """Lower the contrast of what is brighter than its surroundings, so that the mass does not turn white.

    A film saturates: a mass that is twice as bright as dark fat is not twice as bright as dense tissue.

    Args:
        mass: float32 (height, width).
        level: brightness of the surroundings.
        outline: bool, the mass.
    """
    peak = float(np.percentile(mass[outline], 98))
    if peak <= WHITE or not DARKEST < level < WHITE:
        return mass
    power = np.log(WHITE / level) / np.log(peak / level)
    return np.where(mass > level, level * (np.maximum(mass, level) / level) ** power, mass).astype(np.float32)


def multiply(pair: Pair) -> np.ndarray:
    """Multiply the mass's ratio to its background into the window; its contrast is kept, and the window's texture."""
    weight = soft_region(pair, *MULTIPLY_FALL)
    around = ring(pair)
    background = membrane(blurred_within(pair.mass, around, max(2.0, FIT * pair.side)), around)
    ratio = np.maximum(pair.mass, DARKEST) / np.maximum(background, DARKEST)
    multiplied = below_white(pair.window * ratio, float(np.median(pair.window[around])), pair.outline)
    ratio = multiplied / np.maximum(pair.window, DARKEST)
    return np.where(weight > 0, pair.window * ratio**weight, pair.window).astype(np.float32)


def poisson(pair: Pair) -> np.ndarray:
    """Solve for the window whose gradients in a region, as far as `REACH` beyond the outline, are the mass's."""
    from scipy.sparse import csc_matrix
    from scipy.sparse.linalg import splu

    region = pair.both & (pair.distance <= max(2.0, REACH * pair.side))
    region[[0, -1]], region[:, [0, -1]] = False, False
    number = np.full(region.shape, -1)
    number[region] = np.arange(region.sum())
    rows, columns = np.nonzero(region)
    known, entries = np.zeros(len(rows)), [(np.arange(len(rows)), np.arange(len(rows)), np.full(len(rows), 4.0))]
    for down, right in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        there = rows + down, columns + right
        slope = pair.mass[rows, columns] - pair.mass[there]
        inside = region[there]
        known += slope + np.where(inside, 0, pair.window[there])
        entries.append((np.flatnonzero(inside), number[there][inside], np.full(inside.sum(), -1.0)))
    i, j, values = (np.concatenate(column) for column in zip(*entries))
    result = pair.window.copy()
    if len(rows):
        matrix = csc_matrix((values, (i, j)), (len(rows), len(rows)))  # symmetric and positive definite
        order = {"permc_spec": "MMD_AT_PLUS_A", "diag_pivot_thresh": 0.0, "options": {"SymmetricMode": True}}
        result[region] = splu(matrix, **order).solve(known)
    level = float(np.median(pair.window[ring(pair)]))
    return result + soft_region(pair, REACH / 3, REACH) * (below_white(result, level, pair.outline) - result)


def paste(pair: Pair) -> np.ndarray:
    """The patch as it is, a rectangle."""
    return np.where(pair.valid, pair.mass, pair.window)


METHODS: dict[str, Callable[[Pair], np.ndarray]] = {
    "poisson": poisson,
    "octaves": octaves,
    "multiply": multiply,
    "paste": paste,
}
