"""One thumbnail: a small grey image and the outline of its mask, as an HTML fragment."""

import base64

import cv2
import numpy as np

from preprocessing.images.outline import Outline
from preprocessing.images.stored_image import Image, pixels_of

HEIGHT = 256  # pixels at most: enough to judge a mask, too few to read writing on a film
FINER = 1.25  # samples per pixel and direction that are averaged, at least
QUALITY = 75  # of JPEG
TOLERANCE = 0.6  # pixels by which the drawn outline may leave the mask's


def thumbnail(pixels: Image, mask: np.ndarray | Outline) -> str:
    """Draw a thumbnail of an image and the outline of its mask.

    A large image is sampled, not averaged as a whole: this costs a few milliseconds for a film of 13 million pixels.

    Args:
        pixels: float or stored (height, width) in [0, 1].
        mask: bool (height, width), or its outline.

    Returns:
        An `svg` element with the image in it; it names nothing outside of itself.
    """
    height, width = pixels.shape
    size = (min(HEIGHT, height), max(1, round(width * min(1, HEIGHT / height))))
    image = np.round(np.clip(_sampled(pixels, size), 0, 1) * 255).astype(np.uint8)
    _, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    source = base64.b64encode(jpeg.tobytes()).decode("ascii")
    box = f'width="{size[1]}" height="{size[0]}"'
    shown = 2 if size[0] <= HEIGHT // 3 else 1
    return (
        f'<svg viewBox="0 0 {size[1]} {size[0]}" width="{shown * size[1]}" height="{shown * size[0]}">'
        f'<image {box} href="data:image/jpeg;base64,{source}"/>'
        f'<path d="{_path(_small_mask(mask, size))}"/></svg>'
    )


def _sampled(pixels: Image, size: tuple[int, int]) -> np.ndarray:
    """Shrink an image by taking some of its pixels and averaging these, float32 of `size`."""
    step = max(1, int(pixels.shape[0] / (FINER * size[0])))
    some = pixels_of(pixels[::step, ::step])
    return cv2.resize(np.ascontiguousarray(some, np.float32), size[::-1], interpolation=cv2.INTER_AREA)


def _small_mask(mask: np.ndarray | Outline, size: tuple[int, int]) -> np.ndarray:
    if isinstance(mask, Outline):
        return mask.sampled(size)
    return cv2.resize(np.ascontiguousarray(mask, np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST) > 0


def _path(mask: np.ndarray) -> str:
    """Describe the outline of a mask as the path of an SVG, one closed line per part."""
    framed = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    outlines, _ = cv2.findContours(framed, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    lines = [cv2.approxPolyDP(outline, TOLERANCE, True)[:, 0] - 1 for outline in outlines]
    # The middle of the mask's outermost pixels, in coordinates whose whole numbers are the edges of pixels.
    return "".join("M" + "L".join(f"{x}.5 {y}.5" for x, y in line.tolist()) + "Z" for line in lines)
