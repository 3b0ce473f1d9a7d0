"""One mammogram, whatever file it comes in: a DICOM object or an 8/16-bit PNG, PGM, TIFF or JPEG.

A file is judged by its first bytes, never by its name: archives export DICOM as `IM000001`, and a report saved as
`film.dcm` is still a text file.
"""

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from preprocessing.images.bounds import check_file, check_raster
from preprocessing.images.image import MammogramImage, UnusableImage, without_ending
from preprocessing.images.raster import decode_raster, png_text, raster_kind
from preprocessing.images.rules import Rules, refusal
from preprocessing.version import SOFTWARE

_ARCHIVES = frozenset([".zip", ".tar", ".tgz", ".gz", ".7z", ".rar"])
_SUFFIXES = _ARCHIVES | frozenset(".dcm .dicom .dic .ima .png .pgm .pnm .tif .tiff .jpg .jpeg .bmp .jp2 .webp".split())


def find_images(inputs: Sequence[Path]) -> list[Path]:
    """List the files to read under files and folders, sorted, each once.

    A file named directly is always kept. In a folder (walked recursively, hidden entries skipped) a file is kept for an
    image's suffix, or an archive's, so that a broken `.dcm` is later rejected with a reason, or, under any other name,
    for its first bytes.

    Raises:
        FileNotFoundError: An input does not exist.
    """
    found: set[Path] = set()
    for given in map(Path, inputs):
        if given.is_dir():
            found.update(_walk(given))
        elif given.exists() or given.is_symlink():
            found.add(given)
        else:
            raise FileNotFoundError(f"{given}: no such file or folder; check the path")
    return sorted(found)


def _walk(folder: Path) -> list[Path]:
    """List the files that may be images; linked folders are followed, each folder once.

    A folder that cannot be listed and a link to what is not there are in the list too, to be rejected with a reason.
    """
    kept: list[Path] = []
    closed: list[Path] = []
    seen: set[tuple[int, int]] = set()
    _is_new("", str(folder), seen)
    walk = os.walk(folder, followlinks=True, onerror=lambda error: closed.append(Path(error.filename)))
    for parent, folders, files in walk:
        folders[:] = [name for name in sorted(folders) if not name.startswith(".") and _is_new(parent, name, seen)]
        kept += [Path(parent) / name for name in files if not name.startswith(".")]
    return closed + [path for path in kept if _may_be_image(path)]


def _is_new(parent: str, name: str, seen: set[tuple[int, int]]) -> bool:
    """Tell whether a folder was not walked before: links may lead round in circles."""
    try:
        found = os.stat(os.path.join(parent, name))
    except OSError:
        return True  # os.walk says why
    here = found.st_dev, found.st_ino
    new = here not in seen
    seen.add(here)
    return new


def _may_be_image(path: Path) -> bool:
    if path.suffix.lower() in _SUFFIXES:
        return True
    try:
        if path.name.upper() == "DICOMDIR" or not stat.S_ISREG(path.stat().st_mode):
            return False
        return _kind(_first_bytes(path)) is not None
    except PermissionError:
        return True  # it may be one: rejected with its reason
    except OSError:
        return path.is_symlink()  # to what is not there


def read_image(path: Path, *, window: str | None = None, rules: Rules | None = None) -> MammogramImage:
    """Read one image of any supported kind.

    Args:
        path: A DICOM object (with or without preamble, any suffix) or an 8/16-bit grey PNG, PGM, TIFF or JPEG. For the
            latter the patient is the file's stem, and neither laterality nor view is known.
        window: Name of the VOI window to apply (DICOM only). Defaults to the header's first.
        rules: Which images are wanted as mammograms. Defaults to None: whatever image the file holds.

    Raises:
        UnusableImage: The file cannot be used, or is not wanted; the message is the reason.
    """
    path = Path(path)
    try:
        check_file(path)
        kind = _kind(_first_bytes(path))
        content = path.read_bytes() if kind not in (None, "DICOM") else b""
    except OSError as error:
        gone = path.is_symlink() and not path.exists()
        reason = "a link to a file that is not there" if gone else error.strerror
        raise UnusableImage(f"cannot be opened: {reason}") from None

    if kind is None:
        reason = "not a DICOM, PNG, PGM, TIFF or JPEG file" if path.stat().st_size else "empty file"
        if path.suffix.lower() in _ARCHIVES:
            reason = "an archive, which is not opened; unpack it"
        raise UnusableImage(reason)
    if kind == "DICOM":
        from preprocessing.images.dicom import read_dicom  # pydicom only where it is needed

        return read_dicom(path, window, rules)
    if kind == "PNG" and rules is not None and "synthetic" not in rules.accept:
        if any(key == "Software" and text.startswith(SOFTWARE) for key, text in png_text(content)):
            raise UnusableImage(refusal("synthetic"))
    check_raster(content, kind)
    image, doubts = decode_raster(content, kind)
    return MammogramImage(image, patient=without_ending(path).name, laterality=None, view=None, doubts=doubts)


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(132)


def _kind(head: bytes) -> str | None:
    """Tell the kind of a file from its first 132 bytes; None where it is no image."""
    # DICOM first: its preamble may hold a TIFF header, so that both kinds of reader open the file (PS3.10 section 7.1).
    if head[128:132] == b"DICM":
        return "DICOM"
    # Without preamble it starts with a tag of group 2 or 8, in either byte order.
    if head[:2] in (b"\x02\0", b"\x08\0", b"\0\x02", b"\0\x08"):
        return "DICOM"
    return raster_kind(head)
