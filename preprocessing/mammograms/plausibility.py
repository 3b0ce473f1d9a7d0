"""Does what was found look like a breast? What cannot be one is refused, what hardly is one is doubtful.

Every limit lies well beyond the extremes of 1,231 scanned films of CBIS-DDSM (in comments: their lowest, median and
highest value), so that no good image is lost to it.
"""

import cv2
import numpy as np

from preprocessing.images.image import UnusableImage
from preprocessing.images.mask import mask_of
from preprocessing.images.outline import Outline
from preprocessing.images.stored_image import Image, StoredImage, counts_of, pixels_of

CHECKED_HEIGHT = 128  # of the copy that is looked at
FEW_VALUES = 8  # an image has more grey levels than this, a mask or label map does not
MASK_SHARE = 0.985  # of the pixels that have one of two values, as in a mask that was compressed
SMALLEST_LABEL = 0.01  # share of the rarer of the two

SLANTED_EDGE = 0.03  # of the image's width: columns at the chest wall that a tilted film does not fill
# A label or strip of film next to the breast: where the mask reaches furthest it is straight, for at least this share
# of the breast's height, and recedes at both ends.
STRIP_LENGTH = 0.1

# What is measured; from where on it is doubtful, and from where on it is refused, above or, where that is less, below;
# why.
LIMITS = (
    # share of the edge opposite the chest wall that it covers (0, 0, .28)
    ("far edge", 0.25, 0.5, "covers both sides of the image: inverted, or no mammogram"),
    # share of a corner opposite the chest wall (0, 0, 0; 1 with an arm or a border in the mask)
    ("corner", 0.1, 1.0, "reaches into a corner away from the chest wall: an arm, a border or a marker"),
    # how far a strip recedes, of the image's height (0, .02, .03; .05 with one)
    ("strip", 0.04, 1.0, "ends in a straight edge with corners: a label or strip next to the breast"),
    # median inside less median outside (.17, .46, .76)
    ("contrast", 0.04, 0.01, "is not brighter than what surrounds it: inverted, or no mammogram"),
    # of its convex hull (.72, .97, 1)
    ("solidity", 0.7, 0.55, "is not of a breast's shape: inverted, or no mammogram"),
    # of the image's area (.07, .42, .74)
    ("share", 0.06, 0.03, "is very small"),
    ("share", 0.8, 0.9, "fills the image"),
    # height at the chest wall, of the breast's greatest height (.7, 1, 1)
    ("chest", 0.6, 0.5, "does not lie along the left or right edge"),
    # of the image's width, between its edge and the breast (0, .02, .07)
    ("gap", 0.12, 0.25, "does not lie along the left or right edge"),
    # width to height (.25, .49, .86)
    ("aspect", 1.0, 1.6, "is wider than high: turn the image, or state Patient Orientation"),
    # width to height of the whole image (.3, .6, .9)
    ("frame", 1.2, 16.0, "is in an image wider than high: two breasts in one, or turned"),
    # share of the breast within `WHITE_RANGE` of the image's brightest (0, 0, .14)
    ("white", 0.5, 1.0, "is nearly all white: look at the window"),
    # brightness of the breast's brightest percent (.3, .8, 1)
    ("brightness", 0.02, 0.005, "is nearly black: look at the window or the number of bits"),
)
# What is found in an inverted image is its air: white all over, where a breast is so in a few places (0, 0, .14), and
# of a shape that a breast hardly has: in the corners away from the chest wall (0, 0, 1), hollow, or nearly everywhere.
MOST_WHITE = 0.25  # share of the breast within `WHITE_RANGE` of the image's brightest
WHITE_RANGE = 0.06
AIR_IN_CORNER, AIR_SOLIDITY, AIR_SHARE = 0.1, 0.85, 0.75

_A_MASK = "has few grey levels: a mask or label map, not a mammogram"
NARROW_TOP = 0.15  # width of a mediolateral view's upper sixth to that of its lower sixth (.19, .9, 5.6)


def check_grey_levels(image: Image) -> None:
    """Refuse an image of a few grey levels: a mask or a label map.

    Raises:
        UnusableImage: It is one.
    """
    step = max(1, min(image.shape) // CHECKED_HEIGHT)
    stored = image.stored if isinstance(image, StoredImage) else image
    counts = _counts(stored[::step, ::step])
    if len(counts) > FEW_VALUES:
        if counts[-2:].sum() >= MASK_SHARE * counts.sum() and counts[-2] >= SMALLEST_LABEL * counts.sum():
            raise UnusableImage(_A_MASK)
    elif len(_counts(stored)) <= FEW_VALUES:
        raise UnusableImage(_A_MASK)


def _counts(values: np.ndarray) -> np.ndarray:
    """Count how often each value occurs, in ascending order."""
    if values.dtype.kind == "f":
        return np.sort(np.unique(values, return_counts=True)[1])
    counts = counts_of(values)
    return np.sort(counts[counts > 0])


def check_breast(image: Image, mask: np.ndarray | Outline, view: str | None = None) -> list[str]:
    """Check that a mask, and what it shows, is like a breast.

    Args:
        image: (height, width) in [0, 1], chest wall on the left.
        mask: bool (height, width), the breast, or its outline.
        view: Name of its view. Defaults to None: unknown.

    Returns:
        What is doubtful.

    Raises:
        UnusableImage: It is no breast; the message says what is wrong.
    """
    grey, breast = _small(image, mask)
    if not breast.any():
        raise UnusableImage("no breast: its mask is empty")
    measured = _measure(grey, breast)
    _refuse_air(measured)
    doubts = []
    for name, doubtful, refused, reason in LIMITS:
        sign = 1 if refused > doubtful else -1
        value = sign * measured[name]
        if value > sign * refused:
            raise UnusableImage(f"what is bright {reason}")
        if value > sign * doubtful:
            doubts.append(f"what is bright {reason}")
    if view in ("MLO", "ML", "LM", "LMO") and measured["top"] < NARROW_TOP:
        doubts.append("may be upside down: the breast is much wider below than above")
    return doubts


def _refuse_air(measured: dict[str, float]) -> None:
    like_air = (
        measured["corner"] > AIR_IN_CORNER or measured["solidity"] < AIR_SOLIDITY or measured["share"] > AIR_SHARE
    )
    if like_air and measured["white"] > MOST_WHITE:
        raise UnusableImage("its background is brighter than the breast: inverted, or no mammogram")


def _small(image: Image, mask: np.ndarray | Outline) -> tuple[np.ndarray, np.ndarray]:
    """Take single pixels of an image, and its mask there."""
    step = max(1, image.shape[0] // CHECKED_HEIGHT)
    grey = pixels_of(image[::step, ::step])
    if isinstance(mask, Outline):
        return grey, mask_of(mask.shares((0, 0), grey.shape, (step, step)))
    return grey, mask[::step, ::step]


def _measure(grey: np.ndarray, breast: np.ndarray) -> dict[str, float]:
    """Measure what the limits are about."""
    height, width = breast.shape
    heights, widths = breast.sum(axis=0), breast.sum(axis=1)
    columns, rows = np.flatnonzero(heights), np.flatnonzero(widths)
    left, right, top, bottom = columns[0], columns[-1] + 1, rows[0], rows[-1] + 1
    straight = min(left + max(1, round(SLANTED_EDGE * width)), right - 1)
    chest = heights[straight : straight + max(1, round(0.04 * (right - left)))].mean()
    contours, _ = cv2.findContours(breast.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hull = cv2.contourArea(cv2.convexHull(np.concatenate(contours)))
    corner = max(1, height // 25)
    sixth = max(1, (bottom - top) // 6)
    inside, outside = grey[breast], grey[~breast]
    return {
        "share": float(breast.mean()),
        "frame": width / height,
        "gap": left / width,
        "chest": float(chest / heights.max()),
        "far edge": float(breast[:, -max(2, width // 50) :].any(axis=1).mean()),
        "solidity": max(map(cv2.contourArea, contours)) / max(hull, 1.0),
        "aspect": (right - left) / (bottom - top),
        "corner": max(breast[:corner, -corner:].mean(), breast[-corner:, -corner:].mean()),
        "strip": _step_of_strip(breast),
        "white": float((inside > (1 - WHITE_RANGE) * grey.max()).mean()),
        "contrast": float(np.median(inside) - np.median(outside)) if outside.size else 0.0,
        "brightness": float(np.quantile(inside, 0.99)),
        "top": float(widths[top : top + sixth].mean() / max(1, widths[bottom - sixth : bottom].mean())),
    }


def _step_of_strip(breast: np.ndarray) -> float:
    """Measure how far the mask recedes, as a share of its height, at both ends of a straight edge where it ends.

    Args:
        breast: bool (height, width), chest wall on the left.

    Returns:
        The lesser of both; 0 for an edge that is not long.
    """
    near = 3  # rows within which it recedes
    ends = np.where(breast.any(axis=1), breast.shape[1] - breast[:, ::-1].argmax(axis=1), 0)
    last = ends.max()
    begins, stops = np.flatnonzero(np.diff(ends >= last - 1, prepend=False, append=False)).reshape(-1, 2).T
    longest = np.argmax(stops - begins)
    if stops[longest] - begins[longest] < STRIP_LENGTH * np.count_nonzero(ends):
        return 0.0
    beyond = np.pad(ends, near)
    return float(last - max(beyond[begins[longest]], beyond[stops[longest] + 2 * near - 1])) / len(breast)
