"""From a mammogram and its breast mask to standard images: orientation, padding, area averages, pyramid."""

from collections.abc import Iterable

import cv2
import numpy as np

from preprocessing.images.image import UnusableImage, resized
from preprocessing.images.mask import mask_of
from preprocessing.images.outline import Outline
from preprocessing.images.stored_image import Image, StoredImage, averages, pixels_of
from preprocessing.images.views import Turn
from preprocessing.mammograms.morphology import fill_holes, largest_component


def turned(image: Image, turn: Turn) -> Image:
    """Turn an image as its header asks for."""
    if not isinstance(image, StoredImage):
        return turned_mask(image, turn)
    image = image.transposed() if turn.transposed else image
    return image[::-1] if turn.flipped else image


def turned_mask(mask: np.ndarray, turn: Turn) -> np.ndarray:
    """Turn a mask, (height, width), as the header of its image asks for."""
    mask = np.ascontiguousarray(mask.T) if turn.transposed else mask
    return mask[::-1] if turn.flipped else mask


def orient(pixels: Image, mask: np.ndarray | Outline) -> tuple[Image, np.ndarray | Outline, bool]:
    """Mirror an image so that the chest wall is on the left.

    The pixels alone decide, whatever laterality a header gives: the breast is taller at the chest wall than at the
    nipple.

    Args:
        pixels: (height, width).
        mask: bool (height, width), the breast, or its outline.

    Returns:
        Pixels and mask, mirrored as views, and whether they were mirrored.

    Raises:
        UnusableImage: The mask is empty.
    """
    _check_same_shape(pixels, mask)
    heights = np.trim_zeros(_heights(mask))
    if not len(heights):
        raise UnusableImage("no breast: its mask is empty")
    edge = max(1, len(heights) // 8)
    if not heights[-edge:].sum() > heights[:edge].sum():
        return pixels, mask, False
    return pixels[:, ::-1], mask.mirrored() if isinstance(mask, Outline) else mask[:, ::-1], True


def _heights(mask: np.ndarray | Outline) -> np.ndarray:
    """Count the pixels of the breast in each column."""
    return mask.heights() if isinstance(mask, Outline) else mask.sum(axis=0)


def standardise(
    pixels: Image,
    mask: np.ndarray | Outline,
    height: int = 512,
    width: int = 256,
    keep_background: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Bring an oriented image to the standard size; the breast keeps its aspect ratio.

    What lies left of the breast (scanner border) is cut off; rows are added above and below alike, or columns on the
    right, until the aspect is height:width; then each pixel is the average of its area.

    Args:
        pixels: float or stored (rows, columns) in [0, 1], chest wall on the left.
        mask: bool (rows, columns), the breast, or its outline.
        height, width: int. Defaults to 512, 256.
        keep_background: Whether to keep what is outside the mask, else it becomes 0 (ours). Defaults to False.

    Returns:
        image: float32 (height, width) in [0, 1].
        mask: bool (height, width), one 4-connected component that touches the left edge.

    Raises:
        UnusableImage: Nothing of the mask is left.
    """
    _check_same_shape(pixels, mask)
    chest_wall, frame = framing(mask, height / width)
    if isinstance(mask, Outline) and frame[0] >= height and frame[1] >= width:
        image, breast = _shrink(pixels, mask, chest_wall, frame, (height, width), keep_background)
    else:
        image, breast = _resize(pixels, mask, chest_wall, frame, (height, width))
    breast = mask_of(breast)
    if not breast.any():
        raise UnusableImage(f"no breast: its mask vanishes at {height}x{width}")
    breast = fill_holes(largest_component(breast))
    if not breast[:, 0].any():
        raise UnusableImage("no breast: its mask does not reach the chest wall")
    if not keep_background:
        image = image * breast
    return np.clip(image, 0, 1).astype(np.float32), breast


def framing(mask: np.ndarray | Outline, aspect: float) -> tuple[int, tuple[int, int]]:
    """Find the part of an oriented image that `standardise` keeps, and the frame that it is laid into.

    Args:
        mask: bool (height, width), the breast, or its outline.
        aspect: Height over width of the frame.

    Returns:
        The first column that is kept, and (height, width) of the smallest frame that holds what is kept; rows
        are added above and below alike.
    """
    chest_wall = _chest_wall_column(_heights(mask))
    height, width = mask.shape[0], mask.shape[1] - chest_wall
    return chest_wall, (max(height, round(width * aspect)), max(width, round(height / aspect)))


def _chest_wall_column(heights: np.ndarray) -> int:
    """Find the first column of the breast; a slanting edge is cut where it is half as tall as the breast."""
    if not heights.any():
        raise UnusableImage("no breast: its mask is empty")
    first = int(np.flatnonzero(heights)[0])
    tall = int(np.flatnonzero(heights >= heights.max() / 2)[0])
    return min(tall, first + len(heights) // 50)  # no more than 2 % of the image for straightness


def _resize(
    pixels: Image, mask: np.ndarray | Outline, left: int, frame: tuple[int, int], size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Lay an image and its mask, from column `left` on, into a frame of zeros and resize it to (height, width)."""
    pixels = pixels if isinstance(pixels, StoredImage) else np.asarray(pixels, np.float32)
    mask = np.asarray(mask.mask() if isinstance(mask, Outline) else mask, bool)
    above = (frame[0] - len(mask)) // 2
    layers = pixels[:, left:], StoredImage(mask.view(np.uint8), np.arange(256, dtype=np.float32))[:, left:]
    if frame[0] >= size[0] and frame[1] >= size[1]:
        image, breast = (averages(layer, size, frame, above) for layer in layers)
        return image, breast.round(6)  # so that half a pixel is half a pixel
    border = (above, frame[0] - len(mask) - above, 0, frame[1] - mask.shape[1] + left)  # above, below, left, right
    framed = (cv2.copyMakeBorder(pixels_of(layer), *border, cv2.BORDER_CONSTANT, value=0) for layer in layers)
    image, breast = (resized(layer, size) for layer in framed)
    return image, breast


def _shrink(
    pixels: Image, outline: Outline, left: int, frame: tuple[int, int], size: tuple[int, int], keep_background: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Do what `_resize` does with a large image, without the frame or the mask; the image only where it is kept."""
    above = (frame[0] - pixels.shape[0]) // 2
    pixel = (frame[0] / size[0], frame[1] / size[1])
    first, end, columns = 0, pixels.shape[0], size[1]
    if not keep_background:
        margin = int(pixel[0]) + 1  # a pixel at the breast's edge averages what lies beyond
        first, end = max(0, outline.rows.min() - margin), outline.rows.max() + margin
        columns = -(-(outline.columns.max() + 1 - left) * size[1] // frame[1])
    image = np.zeros(size, np.float32)
    image[:, :columns] = averages(pixels[first:end, left:], size, frame, above + first, columns)
    return image, outline.shares((-above, left), size, pixel)


def pyramid(image: np.ndarray, levels: Iterable[tuple[int, int]]) -> dict[tuple[int, int], np.ndarray]:
    """Reduce an image, or a mask as numbers, to several resolutions, by repeated averages of 2x2 pixels.

    Args:
        image: (height, width), the finest level or finer.
        levels: (height, width) pairs, each the image's size halved a whole number of times.

    Returns:
        float32 arrays by level. A mask's averages are the breast's share of a pixel's area: `mask_of` makes the mask.

    Raises:
        ValueError: Halving does not reach a level.
    """
    wanted = [(height, width) for height, width in levels]
    current = np.asarray(image, np.float32)
    found: dict[tuple[int, ...], np.ndarray] = {current.shape: current}
    while current.shape[0] % 2 == 0 and current.shape[1] % 2 == 0 and current.size:
        pairs = current[:, 0::2] + current[:, 1::2]
        current = (pairs[0::2] + pairs[1::2]) * np.float32(0.25)
        found[current.shape] = current
    missing = [level for level in wanted if level not in found]
    if missing:
        raise ValueError(f"halving {np.shape(image)} does not reach {missing}")
    return {level: found[level] for level in wanted}


def _check_same_shape(image: Image, mask: np.ndarray | Outline) -> None:
    if len(image.shape) != 2 or image.shape != mask.shape:
        shapes = f"{image.shape} and {mask.shape}"
        raise ValueError(f"image and mask must be (height, width) of one size, received {shapes}")
