"""Grey images of 8 or 16 bits from PNG, PGM, TIFF and JPEG files, by OpenCV."""

import struct
from collections.abc import Iterator

import cv2
import numpy as np

from preprocessing.images.bounds import pgm_numbers, tiff_tags
from preprocessing.images.image import UnusableImage, refuse_constant
from preprocessing.images.opencv import PNG, decode, png_chunks
from preprocessing.images.stored_image import StoredImage, bits_held

MAGIC = {
    PNG: "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"P5": "PGM",
    b"P2": "PGM",
}


def raster_kind(head: bytes) -> str | None:
    """Tell the kind of an image file from its first bytes: a value of `MAGIC`, or None."""
    return next((kind for magic, kind in MAGIC.items() if head.startswith(magic)), None)


def decode_raster(content: bytes, kind: str) -> tuple[StoredImage, list[str]]:
    """Decode one grey image of a kind of `MAGIC`.

    White is the greatest value that its type, or the header of a PGM, allows, or that of 8, 10, 12 or 14 bits where 16
    hold no greater value.

    Returns:
        The image, and what is doubtful about it.

    Raises:
        UnusableImage: It is damaged, in colour, of other values than 8 or 16 bits, of several pages or constant.
    """
    inverted = kind == "TIFF" and _tiff_min_is_white(content)
    # OpenCV returns the stored values and forgets the greatest one, which a 12-bit scan needs.
    white = next(iter(pgm_numbers(content)[2:]), None) if kind == "PGM" else None

    image, doubts = decode(content, cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR, kind)  # upright, as viewers show it
    image = _grey(image)
    if image.dtype not in (np.uint8, np.uint16):
        raise UnusableImage(f"{kind} of {image.dtype} values; only 8 and 16 bits can be read")
    # OpenCV inverts an 8-bit MinIsWhite TIFF itself, and leaves a 16-bit one as it is.
    inverted = inverted and image.dtype == np.uint16

    last = np.iinfo(image.dtype).max
    if image.dtype == np.uint16 and white is None and (bits := bits_held(int(image.max()), 16)) < 16:
        white = 2**bits - 1
        doubts.append(f"values of {bits} bits in 16: taken as {bits} bits")
    levels = np.clip(np.arange(last + 1, dtype=np.float32) / np.float32(white or last), 0, 1)
    refuse_constant(levels[[image.min(), image.max()]])
    return StoredImage.of(image, 1 - levels if inverted else levels, 0), doubts


def png_text(content: bytes) -> Iterator[tuple[str, str]]:
    """Read the text chunks of a PNG, (keyword, text), without the compressed ones."""
    for kind, start, end in png_chunks(content):
        if kind not in (b"tEXt", b"iTXt"):
            continue
        keyword, _, text = content[start : end - 4].partition(b"\0")
        if kind == b"tEXt":
            yield keyword.decode("latin-1"), text.decode("latin-1")
        elif text.startswith(b"\0"):
            yield keyword.decode("latin-1"), text.split(b"\0", 4)[-1].decode("utf-8", "replace")


def _grey(image: np.ndarray) -> np.ndarray:
    """Return the one channel of a grey image, which may be stored as RGB or RGBA with equal channels."""
    if image.ndim == 2:
        return image
    red, green, blue = (image[..., channel] for channel in range(3))
    if not (np.array_equal(red, green) and np.array_equal(green, blue)):
        raise UnusableImage("a colour image; only grey ones can be used")
    return np.ascontiguousarray(red)


def _tiff_min_is_white(content: bytes) -> bool:
    """Read PhotometricInterpretation (tag 262) of the only page."""
    try:
        tags, next_page = tiff_tags(content)
    except struct.error:
        tags, next_page = {}, b""
    if len(next_page) < 4:
        raise UnusableImage("TIFF cannot be decoded: damaged or cut short")
    if any(next_page):
        raise UnusableImage("a TIFF of several pages; only single images can be used")
    return tags.get(262) == 0
