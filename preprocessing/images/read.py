"""One film, whatever file it comes in: a DICOM object or an 8/16-bit PNG, PGM, TIFF or JPEG.

A file is judged by its first bytes, never by its name: archives export DICOM as `IM000001`,
and a report saved as `film.dcm` is still a text file.
"""

import os
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from preprocessing.images.large import Image, StoredImage, pixels_of


class UnusableFilm(ValueError):
    """A film that cannot be used; its text is a short reason, free of patient data and paths."""


@dataclass(frozen=True, eq=False)
class Film:
    """One decoded mammogram.

    Attributes:
        image: grey levels `(height, width)` in [0, 1], background dark (MONOCHROME1 is inverted), as
            float32 or as stored values that are looked up where they are needed.
        patient: str. Raw identity, only ever to enter a keyed hash; left out of `repr`.
        laterality: "L", "R" or None where unknown.
        view: "CC", "MLO", ... (PS3.3 C.8.11.7.1.1) or None where unknown.
    """

    image: Image = field(repr=False)
    patient: str = field(repr=False)
    laterality: str | None
    view: str | None

    @cached_property
    def pixels(self) -> np.ndarray:
        """The image as float32 `(height, width)`."""
        return pixels_of(self.image)


# --- finding ------------------------------------------------------------------------------------

_IMAGE_SUFFIXES = frozenset(
    [".dcm", ".dicom", ".dic", ".ima", ".png", ".pgm", ".pnm", ".tif", ".tiff", ".jpg", ".jpeg"]
)


def find_films(inputs: Sequence[Path]) -> list[Path]:
    """Lists the files to read under files and folders, sorted, each once.

    A file named directly is always kept. In a folder (walked recursively, hidden entries skipped)
    a file is kept for an image's suffix, so that a broken `.dcm` is later rejected with a reason,
    or, under any other name, for its first bytes.

    Args:
        inputs: Files and folders.

    Raises:
        FileNotFoundError: an input does not exist.
    """
    found: set[Path] = set()
    for given in map(Path, inputs):
        if given.is_dir():
            found.update(_walk(given))
        elif given.exists():
            found.add(given)
        else:
            raise FileNotFoundError(f"{given}: no such file or folder; check the path")
    return sorted(found)


def _walk(folder: Path) -> list[Path]:
    kept = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        kept += [Path(parent) / name for name in files if not name.startswith(".")]
    return [path for path in kept if _may_be_film(path)]


def _may_be_film(path: Path) -> bool:
    if path.suffix.lower() in _IMAGE_SUFFIXES:
        return True
    try:
        return path.name.upper() != "DICOMDIR" and _kind(_first_bytes(path)) is not None
    except OSError:
        return False


# --- reading ------------------------------------------------------------------------------------

_RASTER_MAGIC = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"P5": "PGM",
    b"P2": "PGM",
}


def read_film(path: Path, *, window: str | None = None) -> Film:
    """Reads one film of any supported kind.

    Args:
        path: A DICOM object (with or without preamble, any suffix) or an 8/16-bit grey PNG, PGM,
            TIFF or JPEG. For the latter the patient is the file's stem, and neither laterality
            nor view is known.
        window: Name of the VOI window to apply (DICOM only). Defaults to the header's first.

    Raises:
        UnusableFilm: the file cannot be used; the message is the reason.
    """
    path = Path(path)
    try:
        kind = _kind(_first_bytes(path))
        content = path.read_bytes() if kind not in (None, "DICOM") else b""
    except OSError as error:
        raise UnusableFilm(f"cannot be opened: {error.strerror}") from None

    if kind is None:
        reason = "not a DICOM, PNG, PGM, TIFF or JPEG file" if path.stat().st_size else "empty file"
        raise UnusableFilm(reason)
    if kind == "DICOM":
        from preprocessing.images.dicom import read_dicom  # pydicom only where it is needed

        return read_dicom(path, window)
    return Film(_read_raster(content, kind), patient=path.stem, laterality=None, view=None)


def refuse_constant(pixels: np.ndarray) -> None:
    """Raises `UnusableFilm` where all pixels are the same: black, white, or windowed away."""
    if pixels.min() == pixels.max():
        raise UnusableFilm("every pixel has the same value")


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(132)


def _kind(head: bytes) -> str | None:
    # DICOM first: its preamble may hold a TIFF header, so that both kinds of reader open the file
    # (PS3.10 section 7.1).
    if head[128:132] == b"DICM":
        return "DICOM"
    for magic, kind in _RASTER_MAGIC.items():
        if head.startswith(magic):
            return kind
    # Without preamble a DICOM file starts with a tag of group 2 or 8, in either byte order.
    if head[:2] in (b"\x02\0", b"\x08\0", b"\0\x02", b"\0\x08"):
        return "DICOM"
    return None


def _read_raster(content: bytes, kind: str) -> StoredImage:
    white, inverted = None, False
    if kind == "TIFF":
        inverted = _tiff_min_is_white(content)
    elif kind == "PGM":
        white = _pgm_white(content)

    image = _grey(_decode_raster(content, kind))
    if image.dtype not in (np.uint8, np.uint16):
        raise UnusableFilm(f"{kind} of {image.dtype} values; only 8 and 16 bits can be read")
    # OpenCV inverts an 8-bit MinIsWhite TIFF itself, and leaves a 16-bit one as it is.
    inverted = inverted and image.dtype == np.uint16

    last = np.iinfo(image.dtype).max
    levels = np.clip(np.arange(last + 1, dtype=np.float32) / np.float32(white or last), 0, 1)
    if levels[image.min()] == levels[image.max()]:
        raise UnusableFilm("every pixel has the same value")
    return StoredImage(image, 1 - levels if inverted else levels)


def _decode_raster(content: bytes, kind: str) -> np.ndarray:
    import cv2

    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        image = None
    finally:
        cv2.utils.logging.setLogLevel(level)
    if image is None:
        raise UnusableFilm(f"{kind} cannot be decoded: damaged or cut short")
    return image


def _grey(image: np.ndarray) -> np.ndarray:
    """The one channel of a grey image, which may be stored as RGB or RGBA with equal channels."""
    if image.ndim == 2:
        return image
    red, green, blue = (image[..., channel] for channel in range(3))
    if not (np.array_equal(red, green) and np.array_equal(green, blue)):
        raise UnusableFilm("a colour image; only grey ones can be used")
    return np.ascontiguousarray(red)


def _pgm_white(content: bytes) -> int | None:
    # OpenCV returns the stored values and forgets the greatest one, which a 12-bit scan needs.
    header = re.match(rb"P[25](?:\s+(?:#[^\n]*\n\s*)*(\d+))(?:\s+(?:#[^\n]*\n\s*)*(\d+)){2}", content)
    return int(header.group(2)) if header else None


def _tiff_min_is_white(content: bytes) -> bool:
    """Reads PhotometricInterpretation (tag 262) of the only page (TIFF 6.0 section 2)."""
    order = "<" if content.startswith(b"II") else ">"
    try:
        (start,) = struct.unpack_from(order + "I", content, 4)
        (count,) = struct.unpack_from(order + "H", content, start)
        entries = [struct.unpack_from(order + "HHIH", content, start + 2 + 12 * i) for i in range(count)]
        (next_page,) = struct.unpack_from(order + "I", content, start + 2 + 12 * count)
    except struct.error:
        raise UnusableFilm("TIFF cannot be decoded: damaged or cut short") from None
    if next_page:
        raise UnusableFilm("a TIFF of several pages; only single images can be used")
    return any(tag == 262 and value == 0 for tag, _, _, value in entries)
