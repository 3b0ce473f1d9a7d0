"""From a film to a training image: breast mask, orientation, standard size, pyramid, edge map.

Arrays are (height, width), pixels float in [0, 1] with a dark background, masks bool. Every
threshold is relative to the film's own breast and background, so a mask does not change when the
film is mirrored or its brightness is scaled.
"""

from collections.abc import Iterable

import cv2
import numpy as np

from preprocessing.images.large import Image, averages, pixels_of, shrink
from preprocessing.images.read import UnusableFilm
from preprocessing.mammograms.morphology import dilated, fill_holes, largest_component, opened
from preprocessing.mammograms.outline import Outline

# A film's mask is found on a copy this high: lengths below are in its pixels.
WORKING_HEIGHT = 640
NOISE_SIGMA = 1.5  # film grain and scanner noise to blur away
BORDER_REACH = 0.15  # of height or width: a scanner's white border is never deeper
BORDER_FADE = 6  # a white border fades out within this
BORDER_SHARE = 0.25  # of an edge's length: a border is longer
BORDER_CONTRAST = 1.5  # of a border to what lies further in
TISSUE_BORDER_REACH = 32  # as deep is a border sought over tissue
TISSUE_BORDER_STEP = 0.08  # by which a border is at least brighter than the tissue inside it
OPENING_RADIUS = 32  # glow along the film's edge is thinner; a marker's strokes, than twice this
SKIN_RADIUS = 8  # how far the skin line may stand out of the opened breast (a nipple does)
EDGE = 16  # rows and columns along the film's frame
DUST_RADIUS = 6  # dust on the skin line is smaller, a nipple larger
SMOOTHING_SIGMA = 2.5  # of the skin line

# Where the skin line lies, as fractions of the breast's typical brightness (see `_skin_threshold`).
SKIN_OF_BREAST = 0.15
SKIN_ABOVE_BACKGROUND = 0.07
BORDER_OF_BREAST = 0.9

SMALLEST_BREAST = 0.02  # of the film
SMALLEST_RANGE = 1e-3  # of [0, 1]: less is a constant image with noise


def breast_mask(pixels: np.ndarray, method: str = "film") -> np.ndarray:
    """Find the breast, pectoral muscle included.

    pixels: float (height, width) in [0, 1], background dark.
    method: "film" for one filled component free of markers and scanner borders; "otsu" for Otsu's
        plain threshold, as in [A] §6.1, which on scanned film finds little but dense tissue.

    Returns bool (height, width). Raises UnusableFilm when the film shows no breast (all black, all
    white, constant, no dark background) and ValueError for an unknown method.
    """
    found = find_breast(np.asarray(pixels, np.float32), method)
    return found.mask() if isinstance(found, Outline) else found


def find_breast(image: Image, method: str = "film") -> np.ndarray | Outline:
    """`breast_mask`, as an outline where the film is so large that its mask would cost more than finding it."""
    if method not in ("film", "otsu"):
        raise ValueError(f"method must be 'film' or 'otsu', received {method!r}")
    if len(image.shape) != 2 or 0 in image.shape:
        raise UnusableFilm(f"not one grey image (shape {image.shape})")
    height, width = image.shape
    size = (WORKING_HEIGHT, max(1, round(width * WORKING_HEIGHT / height)))
    is_large = height >= 2 * size[0] and width >= 2 * size[1]
    if is_large:
        small = averages(image, size)
    elif height >= size[0]:
        small = shrink(image, size)
    else:
        small = cv2.resize(pixels_of(image), size[::-1], interpolation=cv2.INTER_LINEAR)
    # Averages that are finite and differ are of pixels that are and do.
    if flaw := _flaw(small) and _flaw(pixels_of(image)):
        raise UnusableFilm(flaw)
    if method == "otsu":
        pixels = pixels_of(image)
        return pixels > otsu_threshold(np.sort(pixels, axis=None))
    inside = _film_mask(cv2.GaussianBlur(small, (0, 0), NOISE_SIGMA))
    if is_large:  # the enlarged mask stays one component
        return Outline.of_enlarged(inside, image.shape)
    full = cv2.resize(inside.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return largest_component(full >= 0.5)


def _flaw(pixels: np.ndarray) -> str:
    """Why no breast can be found in an image, whatever it shows; empty where one may be."""
    if not np.isfinite(pixels).all():
        return "has pixels that are not finite numbers"
    darkest, brightest = float(pixels.min()), float(pixels.max())
    if brightest - darkest <= SMALLEST_RANGE * max(brightest, SMALLEST_RANGE):
        shade = "black" if brightest <= 0 else "white" if darkest >= 1 else "of one grey"
        return f"no breast: the image is all {shade}"
    return ""


def _film_mask(small: np.ndarray) -> np.ndarray:
    """The breast on a film of the working height, free of borders and markers, its skin smooth."""
    # 1) everything brighter than the skin line
    threshold, breast = _skin_threshold(small)
    bright = small > threshold

    # 2) cut the scanner's white borders off, so that they cannot bridge to the breast
    rows, columns = _inside_borders(small, threshold, BORDER_OF_BREAST * breast)
    inside = np.zeros_like(bright)
    inside[rows, columns] = _without_markers(bright[rows, columns])
    if inside.mean() < SMALLEST_BREAST:
        raise UnusableFilm("no breast: nothing large is brighter than the background")
    return inside


def _skin_threshold(small: np.ndarray) -> tuple[float, float]:
    """Brightness of the skin line, and the breast's typical brightness.

    Otsu's threshold on log intensity parts breast from background roughly; the medians of the two
    parts are robust to markers and borders. The skin line lies at a fixed fraction of the breast's
    median, unless the film's base is so bright that the line must lie above it.
    """
    values = np.sort(small, axis=None)
    # The 99th percentile, not the maximum: one saturated marker must not set the scale.
    unit = 255 / max(float(np.percentile(values, 99)), 1e-6)
    logarithm = np.log1p(np.maximum(values, 0) * unit)
    parting = np.searchsorted(logarithm, otsu_threshold(logarithm), side="right")
    background, breast = _median(values[:parting]), _median(values[parting:])
    if background > 0.5 * breast:
        raise UnusableFilm("no breast: the image has no dark background")
    above_background = background + SKIN_ABOVE_BACKGROUND * (breast - background)
    return max(SKIN_OF_BREAST * breast, above_background), breast


def _median(ordered: np.ndarray) -> float:
    """The median of values in order."""
    return float(np.mean(ordered[(len(ordered) - 1) // 2 : len(ordered) // 2 + 1]))


def otsu_threshold(values: np.ndarray) -> float:
    """The grey level that parts values, given in order, best in two: the variance between them is greatest (Otsu 1979).

    It is the centre of one of 256 bins, as in scikit-image, whose import takes longer than a film.
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
    """Rows and columns that no white scanner border covers.

    threshold: float. Tissue is brighter. white: float. A border is brighter.
    """
    height, width = small.shape
    top, bottom, left, right = (
        max(_depth_beside_background(view, white), _depth_over_tissue(view, threshold, white))
        for view in (small, small[::-1], small.T, small.T[::-1])
    )
    return slice(top, height - bottom), slice(left, width - right)


def _depth_beside_background(small: np.ndarray, white: float) -> int:
    """How many of the first rows are white border, judged by where it stands out clearly.

    In each column a border is white from the film's edge on and then ends sharply, unlike tissue.
    It may be tilted or end in the middle of an edge, but is longer than a fold or the abdomen.
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
    """How many of the first rows are white border, judged by the columns of tissue alone.

    A border often shows only above the pectoral muscle, and is hardly brighter. There it is a step
    at the same depth in most columns, which no anatomy is.
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
    fall[further_fall > fall / 2] = 0  # glow goes on falling, a border's step levels off
    depths = fall.argmax(axis=0)
    is_white = tissue[:BORDER_FADE].max(axis=0) > white  # a thin dark line may lie outside of it
    steps = (fall.max(axis=0) > TISSUE_BORDER_STEP) & is_white
    if not steps.any():
        return 0
    steps &= np.abs(depths - np.median(depths[steps])) <= BORDER_FADE
    if steps.mean() < 0.5:
        return 0
    return int(np.quantile(depths[steps], 0.9)) + 1 + BORDER_FADE


def _without_markers(bright: np.ndarray) -> np.ndarray:
    """The largest thick part of what is bright, filled and smoothed."""
    # Outside the frame counts as breast (OpenCV's default): so a breast keeps its corners there.
    core = largest_component(opened(fill_holes(bright), OPENING_RADIUS))
    near = dilated(core, SKIN_RADIUS)
    for edge in (near[:EDGE], near[-EDGE:], near[:, :EDGE], near[:, -EDGE:]):
        edge[:] = False  # at the frame what stands out is the rest of a border, or glow
    breast = largest_component(opened(bright & near | core, DUST_RADIUS))
    smooth = cv2.GaussianBlur(breast.astype(np.float32), (0, 0), SMOOTHING_SIGMA)
    return fill_holes(largest_component(smooth >= 0.5))


def orient(pixels: Image, mask: np.ndarray | Outline) -> tuple[Image, np.ndarray | Outline, bool]:
    """Mirror a film so that the chest wall is on the left.

    pixels: (height, width). mask: bool (height, width), the breast, or its outline.

    Returns pixels and mask, mirrored as views, and whether they were. The picture alone decides, whatever laterality a
    header gives: the breast is taller at the chest wall than at the nipple.
    """
    _check_same_shape(pixels, mask)
    heights = np.trim_zeros(_heights(mask))
    if not len(heights):
        raise UnusableFilm("no breast: its mask is empty")
    edge = max(1, len(heights) // 8)
    if not heights[-edge:].sum() > heights[:edge].sum():
        return pixels, mask, False
    return pixels[:, ::-1], mask.mirrored() if isinstance(mask, Outline) else mask[:, ::-1], True


def _heights(mask: np.ndarray | Outline) -> np.ndarray:
    """Pixels of the breast in each column."""
    return mask.heights() if isinstance(mask, Outline) else mask.sum(axis=0)


def standardise(
    pixels: Image,
    mask: np.ndarray | Outline,
    height: int = 512,
    width: int = 256,
    keep_background: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Bring an oriented film to the standard size; the breast keeps its aspect ratio.

    pixels: float or stored (rows, columns) in [0, 1], chest wall on the left.
    mask: bool (rows, columns), the breast, or its outline.
    height, width: int. Defaults to 512, 256.
    keep_background: bool. Whether to keep what is outside the mask, else it becomes 0. Defaults to
        False.

    What lies left of the breast (scanner border) is cut off; rows are added above and below alike,
    or columns on the right, until the aspect is height:width; then each pixel is the average of its
    area.

    Returns image float32 (height, width) in [0, 1] and mask bool (height, width), one 4-connected
    component that touches the left edge. Raises UnusableFilm when nothing of the mask is left.
    """
    _check_same_shape(pixels, mask)
    heights = _heights(mask)
    chest_wall = _chest_wall_column(heights)
    frame = _frame(pixels.shape[0], pixels.shape[1] - chest_wall, height / width)
    if isinstance(mask, Outline) and frame[0] >= height and frame[1] >= width:
        image, breast = _shrink(pixels, mask, chest_wall, frame, (height, width), keep_background)
    else:
        image, breast = _resize(pixels, mask, chest_wall, frame, (height, width))
    breast = breast >= 0.5
    if not breast.any():
        raise UnusableFilm(f"no breast: its mask vanishes at {height}x{width}")
    breast = fill_holes(largest_component(breast))
    if not breast[:, 0].any():
        raise UnusableFilm("no breast: its mask does not reach the chest wall")
    if not keep_background:
        image = image * breast
    return np.clip(image, 0, 1).astype(np.float32), breast


def _chest_wall_column(heights: np.ndarray) -> int:
    """First column of the breast; a slanting edge is cut where it is half as tall as the breast."""
    if not heights.any():
        raise UnusableFilm("no breast: its mask is empty")
    first = int(np.flatnonzero(heights)[0])
    tall = int(np.flatnonzero(heights >= heights.max() / 2)[0])
    return min(tall, first + len(heights) // 50)  # no more than 2 % of the film for straightness


def _frame(height: int, width: int, aspect: float) -> tuple[int, int]:
    """Height and width of the smallest frame of an aspect that holds a film."""
    return max(height, round(width * aspect)), max(width, round(height / aspect))


def _resize(
    pixels: Image, mask: np.ndarray | Outline, left: int, frame: tuple[int, int], size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """A film and its mask from column `left` on, laid into a frame of zeros and resized to (height, width)."""
    method = cv2.INTER_AREA if size[0] <= frame[0] else cv2.INTER_LINEAR
    mask = mask.mask() if isinstance(mask, Outline) else mask
    above = (frame[0] - len(mask)) // 2
    border = (above, frame[0] - len(mask) - above, 0, frame[1] - mask.shape[1] + left)  # above, below, left, right
    layers = (np.asarray(layer[:, left:], np.float32) for layer in (pixels_of(pixels), mask))
    framed = (cv2.copyMakeBorder(layer, *border, cv2.BORDER_CONSTANT, value=0) for layer in layers)
    image, breast = (cv2.resize(layer, size[::-1], interpolation=method) for layer in framed)
    return image, breast


def _shrink(
    pixels: Image, outline: Outline, left: int, frame: tuple[int, int], size: tuple[int, int], keep_background: bool
) -> tuple[np.ndarray, np.ndarray]:
    """What `_resize` gives of a large film, without making the frame or the mask; the image only where it is kept."""
    above = (frame[0] - pixels.shape[0]) // 2
    pixel = (frame[0] / size[0], frame[1] / size[1])
    first, end, columns = 0, pixels.shape[0], size[1]
    if not keep_background:
        margin = int(pixel[0]) + 1  # a pixel at the breast's edge averages what lies beyond
        first, end = max(0, outline.rows.min() - margin), outline.rows.max() + margin
        columns = -(-(outline.columns.max() + 1 - left) * size[1] // frame[1])
    image = np.zeros(size, np.float32)
    image[:, :columns] = shrink(pixels[first:end, left:], size, frame, above + first, columns)
    return image, outline.shares((-above, left), size, pixel)


def pyramid(image: np.ndarray, levels: Iterable[tuple[int, int]]) -> dict[tuple[int, int], np.ndarray]:
    """An image, or a mask as numbers, at several resolutions, by repeated averages of 2x2 pixels.

    image: (height, width), the finest level or finer.
    levels: (height, width) pairs, each the image's size halved a whole number of times.

    Returns float32 arrays by level. A mask's averages are the breast's share of a pixel's area; the
    mask of a level is where the share is at least 0.5. Raises ValueError for a level that halving
    does not reach.
    """
    wanted = [tuple(level) for level in levels]
    current = np.asarray(image, np.float32)
    found = {current.shape: current}
    while current.shape[0] % 2 == 0 and current.shape[1] % 2 == 0 and current.size:
        pairs = current[:, 0::2] + current[:, 1::2]
        current = (pairs[0::2] + pairs[1::2]) * np.float32(0.25)
        found[current.shape] = current
    missing = [level for level in wanted if level not in found]
    if missing:
        raise ValueError(f"halving {np.shape(image)} does not reach {missing}")
    return {level: found[level] for level in wanted}


def edge_map(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The texture map that pix2pix is given: Sobel edges laid over the mask [A §6.1].

    image: float (height, width) in [0, 1]. mask: bool (height, width), the breast.

    Returns float32 (height, width, 1) in [0, 1]: 0 outside the breast; inside, 0.5 + 0.5·√e, where
    e is the length of the two Sobel derivatives, 1 for a straight step from 0 to 1. The root (ours)
    shows the faint edges of tissue; pixels next to the skin line count as flat, since the step
    there is the mask's own.
    """
    _check_same_shape(image, mask)
    image = np.asarray(image, np.float32)
    across = cv2.Sobel(image, cv2.CV_32F, 1, 0, ksize=3, borderType=cv2.BORDER_REPLICATE)
    along = cv2.Sobel(image, cv2.CV_32F, 0, 1, ksize=3, borderType=cv2.BORDER_REPLICATE)
    strength = np.minimum(np.hypot(across, along) / 4, 1)
    breast = np.asarray(mask) > 0
    deep = cv2.erode(breast.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    texture = breast * 0.5 + deep * 0.5 * np.sqrt(strength)
    return texture.astype(np.float32)[..., np.newaxis]


def _check_same_shape(image: Image, mask: np.ndarray | Outline) -> None:
    if len(image.shape) != 2 or image.shape != mask.shape:
        shapes = f"{image.shape} and {mask.shape}"
        raise ValueError(f"image and mask must be (height, width) of one size, received {shapes}")
