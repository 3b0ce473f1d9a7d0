"""One mass into one mammogram: choose where, lay the mass there, blend it in **(ours)**.

A mass is not put at just any place. Several are drawn from the placement model, and the one whose surroundings resemble
those that the mass came from (in brightness, slope and texture) is taken, as a mass in fat that came from dense tissue
would give itself away however well its edge is blended.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np

from lesions.annotations import Annotation, Box
from lesions.blend import METHODS, Pair, ring
from lesions.boxes import clipped
from lesions.breast import Breast
from lesions.masses import MassPatch
from lesions.outline import moved, polygon_of
from lesions.placement import Place, Placement
from lesions.smooth import bands, spread

CANDIDATES = 12  # places drawn for a mass
TRIES = 60  # draws to find them
LEAST_INSIDE = 0.9  # of the mass, that must lie inside the breast; skin or chest wall cut off the rest
APART = 4  # pixels between two lesions' boxes
# How different surroundings are: differences that count as one
BRIGHTNESS, SLOPE, TEXTURE = 0.12, 0.15, 0.3  # of log brightness; across the window; of log strength
RELATIVE_CONTRAST = 0.35  # of a mass whose brightness is not known, over its surroundings (median of real ones)


@dataclass(frozen=True, eq=False)
class Inserted:
    """A mammogram with one more lesion in it."""

    image: np.ndarray
    annotation: Annotation
    patch: MassPatch


@dataclass(frozen=True, eq=False)
class Host:
    """A mammogram to insert into.

    Attributes:
        image: float32 (height, width) in [0, 1], chest wall on the left.
        breast: its mask.
        view: "CC", "MLO" or "".
        lesions: boxes that no mass may touch.
    """

    image: np.ndarray
    breast: Breast
    view: str = ""
    lesions: tuple[Box, ...] = ()


def choose_place(
    host: Host,
    patch: MassPatch,
    placement: Placement,
    rng: np.random.Generator,
    *,
    size: float | None = None,
    centre: tuple[float, float] | None = None,
    candidates: int = CANDIDATES,
) -> Place | None:
    """Choose where to insert a mass: of the possible places, the one whose surroundings resemble the mass's most.

    Args:
        placement: model that draws the places.
        rng: random numbers; the result is a function of the arguments.
        size: longest side in pixels. Defaults to the mass's own, or one that masses of its labels have.
        centre: x, y in pixels. Defaults to a place drawn from the model.
        candidates: places to choose from; 1 takes the first that is possible.

    Returns:
        The place, or None where the mass finds no room.
    """
    if patch.at_wall and centre is not None:
        return None
    found: list[tuple[float, Place]] = []
    draw = partial(placement.draw, host.breast, rng, view=host.view, shape=patch.shape, margin=patch.margin)
    longest = size if size is not None else patch.size
    if longest is None:  # one size, so that all places are compared for the same mass
        longest = draw().longest_side
    near = patch.place
    if near is None:  # else the fittest surroundings would draw masses from all over the breast to one part of it
        first = draw(size=longest)
        near = host.breast.place(first.x, first.y)
    laid = scaled(patch, longest / patch.longest_side)
    own = surroundings(laid.image, laid.valid, _ring_of(laid)) if laid.calibrated else None
    for _ in range(1 if centre is not None else TRIES):
        place = draw(size=longest, near=near, centre=centre)
        x = laid.box[2] / 2 if laid.at_wall else place.x
        place = replace(place, x=x, width=laid.box[2], height=laid.box[3])
        pair = pair_at(host, laid, place)
        if pair is not None:
            around = ring(pair)
            found.append((0.0 if own is None else _difference(own, surroundings(pair.window, around, around)), place))
        if len(found) == candidates:
            break
    return min(found, key=lambda one: one[0])[1] if found else None


def insert_at(host: Host, patch: MassPatch, place: Place, method: str = "poisson") -> Inserted | None:
    """Insert a mass at a place; None where it does not lie inside the breast there or touches another lesion.

    Args:
        method: of `lesions.blend.METHODS`.
    """
    laid = scaled(patch, place.longest_side / patch.longest_side)
    pair = pair_at(host, laid, place)
    if pair is None:
        return None
    if not laid.calibrated:
        pair = replace(pair, mass=with_contrast(pair))
    image = host.image.copy()
    rows, columns, _ = _window(host.image.shape, laid, place)
    blended = METHODS[method](pair)
    image[rows, columns] = np.where(pair.breast, np.clip(blended, 0, 1), pair.window)
    outline = moved(polygon_of(pair.outline), columns.start, rows.start)
    box = clipped(_box(laid, place), host.image.shape)
    annotation = Annotation(-1, box, patch.shape, patch.margin, outline, synthetic=True)
    return Inserted(image, annotation, patch)


# -------------------------------------------------------------------------------------- laying it


def scaled(patch: MassPatch, scale: float) -> MassPatch:
    """A patch at another scale; at its own it is left as it is."""
    if abs(scale - 1) < 0.02:
        return patch
    size = tuple(max(8, round(scale * length)) for length in patch.image.shape)
    factors = [new / old for new, old in zip(size, patch.image.shape)]
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    image = cv2.resize(patch.image, size[::-1], interpolation=method)
    valid, outline = (
        cv2.resize(layer.astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR) >= 0.5
        for layer in (patch.valid, patch.outline)
    )
    x, y, width, height = patch.box
    box = (x * factors[1], y * factors[0], width * factors[1], height * factors[0])
    return replace(patch, image=np.clip(image, 0, 1), valid=valid, outline=outline, box=box)


def pair_at(host: Host, laid: MassPatch, place: Place) -> Pair | None:
    """The window of a mammogram that a mass would take; None where it has no room there."""
    rows, columns, inside = _window(host.image.shape, laid, place)
    breast = host.breast.mask[rows, columns]
    outline = laid.outline[inside] & breast
    if outline.sum() < max(1, LEAST_INSIDE * laid.outline.sum()):
        return None
    box = _box(laid, place)
    if any(touching(box, other, APART) for other in host.lesions):
        return None
    pair = Pair(
        host.image[rows, columns], breast, laid.image[inside], laid.valid[inside], outline, float(laid.longest_side)
    )
    return pair if ring(pair).sum() >= 16 else None


def _corner(laid: MassPatch, place: Place) -> tuple[int, int]:
    """Column and row of the mammogram at which the patch begins: its box's centre at the place, or at the wall."""
    x, y, width, height = laid.box
    return -round(x) if laid.at_wall else round(place.x - x - width / 2), round(place.y - y - height / 2)


def _box(laid: MassPatch, place: Place) -> Box:
    """The box of a patch in the mammogram."""
    left, top = _corner(laid, place)
    return laid.box[0] + left, laid.box[1] + top, *laid.box[2:]


def _window(shape: Sequence[int], laid: MassPatch, place: Place) -> tuple[slice, slice, tuple[slice, slice]]:
    """Rows and columns of the mammogram under a patch, and which of the patch's own these are."""
    left, top = _corner(laid, place)
    height, width = laid.image.shape
    rows = slice(max(top, 0), max(0, min(top + height, shape[0])))
    columns = slice(max(left, 0), max(0, min(left + width, shape[1])))
    inside = slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)
    if rows.stop <= rows.start or columns.stop <= columns.start:
        inside = slice(0, 0), slice(0, 0)
    return rows, columns, inside


def touching(one: Box, other: Box, apart: float = 0.0) -> bool:
    """Whether two boxes are nearer to each other than `apart` pixels."""
    return all(
        one[axis] < other[axis] + other[axis + 2] + apart and other[axis] < one[axis] + one[axis + 2] + apart
        for axis in (0, 1)
    )


# --------------------------------------------------------------------------------- what is around


def _ring_of(laid: MassPatch) -> np.ndarray:
    return ring(Pair(laid.image, laid.valid, laid.image, laid.valid, laid.outline, float(laid.longest_side)))


def surroundings(image: np.ndarray, valid: np.ndarray, around: np.ndarray) -> np.ndarray:
    """What is compared of two places: log brightness, its slopes over the window, log strength of two octaves.

    Returns:
        float (5,).
    """
    if around.sum() < 16:
        return np.zeros(5)
    rows, columns = np.nonzero(around)
    logs = np.log(np.maximum(image[around], 1e-3))
    y, x = (axis / max(length, 1) - 0.5 for axis, length in zip((rows, columns), image.shape))
    plane, *_ = np.linalg.lstsq(np.stack([np.ones_like(x), x, y], axis=1), logs, rcond=None)
    parts = bands(np.where(valid, image, image[around].mean()), octaves=3)
    return np.array([*plane, *(np.log(spread(parts[octave], around) + 1e-4) for octave in (0, 2))])


def _difference(one: np.ndarray, other: np.ndarray) -> float:
    units = np.array([BRIGHTNESS, SLOPE, SLOPE, TEXTURE, TEXTURE])
    return float((np.minimum(np.abs(one - other) / units, 4) ** 2).sum())


def with_contrast(pair: Pair) -> np.ndarray:
    """A mass of unknown brightness, so that it stands out from its surroundings as the median real one does."""
    around = ring(pair)
    inside, outside = pair.mass[pair.outline].mean(), pair.mass[around].mean()
    level = float(pair.window[around].mean())
    gain = RELATIVE_CONTRAST * level / max(inside - outside, 0.05)
    return np.clip(level + gain * (pair.mass - outside), 0.02, 1).astype(np.float32)
