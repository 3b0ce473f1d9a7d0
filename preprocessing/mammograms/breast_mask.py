"""Finding the breast in a mammogram.

Arrays are (height, width), pixels float in [0, 1] with a dark background, masks bool. Every threshold is relative to
the image's own breast and background, so a mask does not change when the image is mirrored or its brightness is scaled.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from preprocessing.images.bounds import LONGEST_TO_SHORTEST
from preprocessing.images.image import UnusableImage
from preprocessing.images.mask import mask_of
from preprocessing.images.outline import Outline
from preprocessing.images.stored_image import Image, StoredImage, averages, pixels_of
from preprocessing.mammograms.morphology import dilated, fill_holes, largest_component, opened
from preprocessing.mammograms.options import MASK_METHODS

# The breast is found on a copy this high: lengths below are in its pixels.
WORKING_HEIGHT = 640
NOISE_SIGMA = 1.5  # film grain and scanner noise to blur away
BORDER_REACH = 0.15  # of height or width: a scanner's white border is never deeper
BORDER_FADE = 6  # a white border fades out within this
BORDER_SHARE = 0.25  # of an edge's length: a border is longer
BORDER_CONTRAST = 1.5  # of a border to what lies further in
TISSUE_BORDER_REACH = 32  # how deep a border is looked for over tissue
TISSUE_BORDER_STEP = 0.08  # by which a border is at least brighter than the tissue inside it
OPENING_RADIUS = 32  # glow along the image's edge is thinner than this; a marker's strokes, than twice this
NIPPLE_RADIUS = 8  # how far the skin line may stand out of the opened breast
EDGE = 16  # rows and columns along the image's frame
DUST_RADIUS = 6  # dust on the skin line is smaller, a nipple larger
SMOOTHING_SIGMA = 2.5  # of the skin line

# Brightness of the breast's edge, as fractions of its typical brightness. The skin around it is dimmer,
# fades out slowly, and is taken only so far: hand-drawn outlines leave out what is further.
EDGE_OF_BREAST = 0.22
EDGE_ABOVE_BACKGROUND = 0.1
SKIN_ABOVE_BACKGROUND = 0.06
SKIN_REACH = 6
BORDER_OF_BREAST = 0.9

# A film in padding that is exactly 0 (see `_film`).
PADDING_BLUR = 6  # how far the blur spreads
SMALLEST_PADDING = 0.01  # of the image
SMALLEST_BASE = 0.15  # of the film
FLAT_BASE = 0.03  # the base lies within this, of what the breast is brighter
BASE_OF_SKIN = 0.75  # a darker base does not reach the skin's brightness
DARKER_THAN_BASE = 0.15  # of the film: labels; around fat there is more, skin

SMALLEST_BREAST = 0.02  # of the image
SMALLEST_RANGE = 1e-3  # of [0, 1]: less is a constant image with noise


def breast_mask(pixels: np.ndarray, method: str = "film") -> np.ndarray:
    """Find the breast, pectoral muscle included.

    Args:
        pixels: float (height, width) in [0, 1], background dark.
        method: "film" (ours) for one filled component free of markers and scanner borders; "otsu" for Otsu's plain
            threshold, as in Ren et al. 2019, section 6.1, which on scanned film finds little but dense tissue.

    Returns:
        bool (height, width).

    Raises:
        UnusableImage: The image shows no breast (all black, all white, constant, no dark background).
        ValueError: The method is unknown.
    """
    found = find_breast(np.asarray(pixels, np.float32), method)
    return found.mask() if isinstance(found, Outline) else found


def find_breast(image: Image, method: str = "film") -> np.ndarray | Outline:
    """Find the breast as `breast_mask` does.

    Returns:
        The mask, or its outline where the image is so large that its mask would cost more than finding it.
    """
    if method not in MASK_METHODS:
        raise ValueError(f"method must be one of {', '.join(MASK_METHODS)}, received {method!r}")
    if len(image.shape) != 2 or 0 in image.shape:
        raise UnusableImage(f"not one grey image (shape {image.shape})")
    height, width = image.shape
    if width > LONGEST_TO_SHORTEST * height:  # a copy of the working height would be many times as large
        raise UnusableImage(f"no breast: the image is {height} x {width} pixels")
    size = (WORKING_HEIGHT, max(1, round(width * WORKING_HEIGHT / height)))
    is_large = height >= 2 * size[0] and width >= 2 * size[1]
    if height >= size[0]:
        small = averages(image, size)
    else:
        small = cv2.resize(pixels_of(image), size[::-1], interpolation=cv2.INTER_LINEAR)
    # Averages that are finite and differ are of pixels that are and do.
    if flaw := _flaw(small) and _flaw(pixels_of(image)):
        raise UnusableImage(flaw)
    if method == "otsu":
        ordered = pixels_of(image).ravel() if isinstance(image, StoredImage) else image.flatten()
        ordered.sort()
        threshold = otsu_threshold(ordered)
        del ordered  # as large as what follows
        return pixels_of(image) > threshold
    inside = _film_mask(cv2.GaussianBlur(small, (0, 0), NOISE_SIGMA))
    if is_large:  # the enlarged mask stays one component
        return Outline.of_enlarged(inside, image.shape)
    shares = cv2.resize(inside.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return largest_component(mask_of(shares))


def _flaw(pixels: np.ndarray) -> str:
    """Tell why no breast can be found in an image, whatever it shows; "" where there may be one."""
    if not np.isfinite(pixels).all():
        return "has pixels that are not finite numbers"
    darkest, brightest = float(pixels.min()), float(pixels.max())
    if brightest - darkest <= SMALLEST_RANGE * max(brightest, SMALLEST_RANGE):
        shade = "black" if brightest <= 0 else "white" if darkest >= 1 else "of one grey"
        return f"no breast: the image is all {shade}"
    return ""


@dataclass(frozen=True)
class _Levels:
    """How bright the breast typically is, its edge is, and the dim skin around that is, at least."""

    breast: float
    edge: float
    skin: float

    @classmethod
    def between(cls, background: float, breast: float) -> "_Levels":
        """Place each at a fixed fraction of the contrast; the edge, where the background is dark, of the breast."""
        edge = background + EDGE_ABOVE_BACKGROUND * (breast - background)
        skin = background + SKIN_ABOVE_BACKGROUND * (breast - background)
        return cls(breast, max(EDGE_OF_BREAST * breast, edge), skin)


def _film_mask(small: np.ndarray) -> np.ndarray:
    """Find the breast in an image of the working height, free of borders and markers, its skin smooth."""
    # 1) how bright the breast is, and the part of the image that is film
    film, levels = _film(small)
    inside = np.zeros(small.shape, bool)
    small, part = small[film], inside[film]

    # 2) cut the scanner's white borders off, so that they cannot bridge to the breast
    rows, columns = _inside_borders(small, levels.edge, BORDER_OF_BREAST * levels.breast)
    small = small[rows, columns]
    part[rows, columns] = _without_markers(small > levels.edge, small > levels.skin)
    if inside.mean() < SMALLEST_BREAST:
        raise UnusableImage("no breast: nothing large is brighter than the background")
    return inside


def _film(small: np.ndarray) -> tuple[tuple[slice, slice], _Levels]:
    """Find the film in an image whose background may be padding, exactly 0, and not the film's own.

    What is not 0 then has two parts, and the darker one is flat: the film's base. Around fat in a digital image, with
    which it could be confused, there is darker skin.

    Args:
        small: float (height, width), an image of the working height.

    Returns:
        The film's rows and columns, and how bright what it shows is: the whole image where there is no padding, or the
        base is darker than skin anyway.
    """
    levels = _levels(small)
    whole = (slice(None), slice(None)), levels
    lit = small > SMALLEST_RANGE / 1000
    inside = cv2.erode(lit.view(np.uint8), np.ones((4 * PADDING_BLUR + 1,) * 2, np.uint8)).view(bool)
    if np.count_nonzero(lit) > (1 - SMALLEST_PADDING) * lit.size or not SMALLEST_BREAST < inside.mean():
        return whole
    values = np.sort(small[inside][::16])  # these are enough for medians
    darker, brighter = _parted(values)
    if not len(brighter):
        return whole
    high = _median(brighter)
    first, end = _densest(darker, FLAT_BASE * (high - _median(darker)))
    low = _median(darker[first:end])
    share, darker_share = (end - first) / len(values), first / len(values)
    if share < SMALLEST_BASE or darker_share > DARKER_THAN_BASE or low < BASE_OF_SKIN * levels.skin:
        return whole
    margin = PADDING_BLUR  # the erosion took twice as much, the blur once
    ends = [np.flatnonzero(inside.any(axis=axis))[[0, -1]] for axis in (1, 0)]
    rows, columns = (slice(first - margin if first > 2 * margin else 0, last + 1 + margin) for first, last in ends)
    return (rows, columns), _Levels.between(low, high)


def _densest(values: np.ndarray, width: float) -> tuple[int, int]:
    """Find the most values, of some in ascending order, that lie within a width: their first, and the first after."""
    ends = np.searchsorted(values, values + width, side="right")
    first = int(np.argmax(ends - np.arange(len(values))))
    return first, int(ends[first])


def _parted(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Part values, in ascending order, by Otsu's threshold on log intensity."""
    # The 99th percentile, not the maximum: one saturated marker must not set the scale.
    unit = 255 / max(float(np.percentile(values, 99)), 1e-6)
    logarithm = np.log1p(np.maximum(values, 0) * unit)
    parting = np.searchsorted(logarithm, otsu_threshold(logarithm), side="right")
    return values[:parting], values[parting:]


def _levels(small: np.ndarray) -> _Levels:
    """Measure how bright background and breast are.

    Otsu's threshold on log intensity separates breast from background roughly; the medians of the two parts are robust
    to markers and borders.
    """
    darker, brighter = _parted(np.sort(small, axis=None))
    background, breast = _median(darker), _median(brighter)
    if background > 0.5 * breast:
        raise UnusableImage("no breast: the image has no dark background")
    return _Levels.between(background, breast)


def _median(ordered: np.ndarray) -> float:
    """Return the median of values that are in order."""
    return float(np.mean(ordered[(len(ordered) - 1) // 2 : len(ordered) // 2 + 1]))


def otsu_threshold(values: np.ndarray) -> float:
    """Find the grey level that separates values best: the variance between both parts is greatest (Otsu 1979).

    It is the centre of one of 256 bins, as in scikit-image, whose import takes longer than one image.

    Args:
        values: float (n,), in ascending order.
    """
    if values[0] == values[-1]:
        return values[0]
    edges = np.linspace(values[0], values[-1], 257, dtype=values.dtype)
    counts = np.diff(np.append(np.searchsorted(values, edges[:-1]), len(values))).astype(np.float32)
    centres = (edges[:-1] + edges[1:]) / 2
    below, above = np.cumsum(counts), np.cumsum(counts[::-1])[::-1]
    mean_below = np.cumsum(counts * centres) / below
    mean_above = np.cumsum((counts * centres)[::-1])[::-1] / above
    between = below[:-1] * above[1:] * (mean_below[:-1] - mean_above[1:]) ** 2
    return centres[np.argmax(between)]


def _inside_borders(small: np.ndarray, threshold: float, white: float) -> tuple[slice, slice]:
    """Return the rows and columns that no white scanner border covers.

    Args:
        small: float (height, width), an image of the working height.
        threshold: Tissue is brighter than this.
        white: A border is brighter than this.
    """
    height, width = small.shape
    top, bottom, left, right = (
        max(_depth_next_to_background(view, white), _depth_over_tissue(view, threshold, white))
        for view in (small, small[::-1], small.T, small.T[::-1])
    )
    return slice(top, height - bottom), slice(left, width - right)


def _depth_next_to_background(small: np.ndarray, white: float) -> int:
    """Count the first rows that are white border, judged by where it stands out clearly.

    In each column a border is white from the image's edge on and then ends sharply, unlike tissue. It may be tilted or
    end in the middle of an edge, but is longer than a fold or the abdomen.
    """
    reach = min(round(BORDER_REACH * len(small)), len(small) - BORDER_FADE)
    if reach < 1:
        return 0
    is_white = small[:reach] > white
    is_white[:BORDER_FADE] |= is_white[:BORDER_FADE].any(axis=0)  # a dark line may lie outside of it
    from_edge = np.logical_and.accumulate(is_white, axis=0)
    inner = small[BORDER_FADE : reach + BORDER_FADE]
    ends = from_edge & (small[:reach] > BORDER_CONTRAST * inner)
    depths = np.where(ends.any(axis=0), reach - np.argmax(ends[::-1], axis=0), 0)
    depth = int(np.quantile(depths, 1 - BORDER_SHARE))
    return depth + BORDER_FADE // 2 if depth else 0


def _depth_over_tissue(small: np.ndarray, threshold: float, white: float) -> int:
    """Count the first rows that are white border, judged by the columns of tissue alone.

    A border often shows only above the pectoral muscle, and is hardly brighter. There it is a step at the same depth in
    most columns, which no anatomy is.
    """
    reach = TISSUE_BORDER_REACH
    if len(small) < 2 * reach:
        return 0
    tissue = small[:, small[reach : 2 * reach].min(axis=0) > threshold]
    if tissue.shape[1] < 2 * BORDER_FADE:
        return 0
    level = np.maximum(tissue[: reach + 2 * BORDER_FADE], threshold)
    outer, inner, beyond = (level[start : start + reach] for start in (0, BORDER_FADE, 2 * BORDER_FADE))
    fall, further_fall = outer / inner - 1, inner / beyond - 1
    fall[further_fall > fall / 2] = 0  # glow keeps falling, a border's step levels off
    depths = fall.argmax(axis=0)
    is_white = tissue[:BORDER_FADE].max(axis=0) > white  # a thin dark line may lie outside of it
    steps = (fall.max(axis=0) > TISSUE_BORDER_STEP) & is_white
    if not steps.any():
        return 0
    steps &= np.abs(depths - np.median(depths[steps])) <= BORDER_FADE
    if steps.mean() < 0.5:
        return 0
    return int(np.quantile(depths[steps], 0.9)) + 1 + BORDER_FADE


def _without_markers(bright: np.ndarray, dim: np.ndarray) -> np.ndarray:
    """Keep the largest thick part of what is bright and the dim skin around it, filled and smoothed."""
    # Outside the frame counts as breast (OpenCV's default): so a breast keeps its corners there.
    core = largest_component(opened(fill_holes(bright), OPENING_RADIUS))
    near = dilated(core, NIPPLE_RADIUS)
    for edge in (near[:EDGE], near[-EDGE:], near[:, :EDGE], near[:, -EDGE:]):
        edge[:] = False  # at the frame what stands out is the rest of a border, or glow
    breast = largest_component(opened(bright & near | core, DUST_RADIUS))
    breast |= dilated(breast, SKIN_REACH) & dim
    smooth = cv2.GaussianBlur(breast.astype(np.float32), (0, 0), SMOOTHING_SIGMA)
    return fill_holes(largest_component(mask_of(smooth)))
