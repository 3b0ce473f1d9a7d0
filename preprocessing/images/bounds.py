"""Bounds on an image file, checked before anything is decoded: a few bytes must not ask for gigabytes.

Only headers are read: sizes of PNG, TIFF, PGM and JPEG, and the frame headers of JPEG, JPEG-LS and JPEG 2000 streams
inside DICOM objects.
"""

import re
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

from preprocessing.images.image import UnusableImage

MOST_PIXELS = 2**27  # a film of 24 x 30 cm at 23 micrometres; detectors and film scanners give less
MOST_SAMPLES = 2**28  # of all channels: grey images are also stored as RGB and RGBA
MOST_BYTES = 2**29  # of a file, which is read whole
LONG = 4096  # pixels of a side from which on the shape is judged
LONGEST_TO_SHORTEST = 16
_GAP = rb"\s+(?:#[^\n]*\n\s*)*"  # between the numbers in a PGM's header: blanks and comments
_PGM = re.compile(rb"P[25]%b(\d{1,9})%b(\d{1,9})(?=\s)(?:%b(\d+))?" % (_GAP, _GAP, _GAP))
_JPEG2000 = (b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP")  # how a codestream and a file begin


def check_file(path: Path) -> None:
    """Check that a path is a file of a sane size; opening a pipe would block.

    Raises:
        UnusableImage: It is not.
        OSError: There is nothing, or it may not be asked for.
    """
    found = path.stat()
    if stat.S_ISDIR(found.st_mode):
        raise UnusableImage("a folder that cannot be listed; check its permissions")
    if not stat.S_ISREG(found.st_mode):
        raise UnusableImage("not a regular file (a pipe, socket or device)")
    if found.st_size > MOST_BYTES:
        raise UnusableImage(f"a file of {found.st_size / 2**30:.1f} GiB; no mammogram is that large")


def check_size(width: int, height: int, channels: int = 1) -> None:
    """Check the size that a header tells.

    Raises:
        UnusableImage: It is empty, too large or too narrow for a mammogram.
    """
    if not 1 <= width * height <= MOST_PIXELS or width * height * channels > MOST_SAMPLES:
        size = f"{height} x {width} pixels" + f" of {channels} channels" * (channels > 1)
        raise UnusableImage(f"the image is {size}: no mammogram is of that size")
    longest, shortest = max(width, height), min(width, height)
    if longest > max(LONG, LONGEST_TO_SHORTEST * shortest):
        raise UnusableImage(f"the image is {height} x {width} pixels: no mammogram has such a shape")


def check_raster(content: bytes, kind: str) -> None:
    """Check the size in the header of a PNG, TIFF, PGM or JPEG file; a header that is damaged is left to the decoder.

    Raises:
        UnusableImage: See `check_size`.
    """
    readers = {"PNG": _png_size, "TIFF": _tiff_size, "PGM": lambda pgm: pgm_numbers(pgm)[:2], "JPEG": _jpeg_size}
    try:
        size = readers[kind](content)
    except (struct.error, ValueError, IndexError):
        return
    if size:
        check_size(*size)


def check_stream(stream: bytes, rows: int, columns: int) -> None:
    """Check that a compressed stream in a DICOM object has the size that the object's header tells.

    Args:
        stream: The first frame: JPEG, JPEG-LS or JPEG 2000.
        rows, columns: Of the header.

    Raises:
        UnusableImage: It is of another size.
    """
    try:
        size = _jpeg2000_size(stream) if stream.startswith(_JPEG2000) else _jpeg_size(stream)
    except (struct.error, IndexError):
        return
    if size is not None and size != (columns, rows):
        raise UnusableImage("the pixel data cannot be decoded: the stream is not of the size that the header tells")


def _png_size(content: bytes) -> tuple[int, int, int]:
    width, height, _, colour = struct.unpack_from(">IIBB", content, 16)
    return width, height, {2: 3, 4: 2, 6: 4}.get(colour, 1)


def pgm_numbers(content: bytes) -> tuple[int, ...]:
    """Read width, height and, where it is given, white from the header of a PGM; none where they are not there."""
    header = _PGM.match(content)
    return tuple(map(int, filter(None, header.groups()))) if header else ()


def _tiff_size(content: bytes) -> tuple[int, int, int] | None:
    tags, _ = tiff_tags(content)
    return (tags[256], tags[257], tags.get(277, 1)) if {256, 257} <= set(tags) else None


def tiff_tags(content: bytes) -> tuple[dict[int, int], bytes]:
    """Read the tags of the first page of a TIFF, as of one number each (TIFF 6.0 section 2).

    Returns:
        The numbers by tag, and the bytes that say where the next page is, 0 for nowhere; fewer than 4 of a cut file.

    Raises:
        struct.error: The tags are cut short.
    """
    order = "<" if content.startswith(b"II") else ">"
    (start,) = struct.unpack_from(order + "I", content, 4)
    (count,) = struct.unpack_from(order + "H", content, start)
    end = start + 2 + 12 * count
    tags = {}
    for at in range(start + 2, end, 12):
        tag, form = struct.unpack_from(order + "HH", content, at)
        (tags[tag],) = struct.unpack_from(order + ("H" if form == 3 else "I"), content, at + 8)
    return tags, content[end : end + 4]


def _jpeg_size(content: bytes) -> tuple[int, int] | None:
    """Read the first frame header (SOF, of JPEG-LS SOF55)."""
    for marker, begin, _ in jpeg_segments(content):
        if (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)) or marker == 0xF7:
            height, width = struct.unpack_from(">HH", content, begin + 3)
            return (width, height) if height else None
    return None


def jpeg_segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield the marker of each segment of a JPEG stream before the first scan, and where it begins and ends."""
    at = 2
    while content[at : at + 1] == b"\xff" and at + 4 <= len(content):
        marker = content[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        begin, at = at + 2, at + 2 + max(int.from_bytes(content[at + 2 : at + 4]), 2)
        yield marker, begin, at


def _jpeg2000_size(stream: bytes) -> tuple[int, int] | None:
    at = stream.find(b"\xff\x4f\xff\x51", 0, 4096)
    if at < 0:
        return None
    right, bottom, left, top = struct.unpack_from(">IIII", stream, at + 8)
    return right - left, bottom - top
