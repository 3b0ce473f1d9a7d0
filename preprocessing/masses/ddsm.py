"""Masses of DDSM: cases of an `.ics` file, `.OVERLAY` outlines and `.LJPEG` films (Heath et al., IWDM 2000).

What the archive is like, and this reader answers: names mix "-" and "_"; a digitizer may have a second word; a film's
lossless JPEG header may have its height and width exchanged, where the `.ics` is right; an outline may leave the film.
"""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from preprocessing.images.bounds import check_file, check_size
from preprocessing.images.codecs import decode_jpeg
from preprocessing.images.image import MammogramImage, UnusableImage, refuse_constant
from preprocessing.images.stored_image import StoredImage
from preprocessing.masses.lesion import Box, Lesion, Located, box_of
from preprocessing.masses.options import DIGITIZERS
from preprocessing.shards import DataError

FILMS = ("LEFT_CC", "LEFT_MLO", "RIGHT_CC", "RIGHT_MLO")
DARKEST = 4.0  # optical density that becomes 0; what the scanners tell apart ends a little before (ours)

# Chain codes 0 = N, 1 = NE, … 7 = NW, as steps in (x, y).
STEPS = np.array([(0, -1), (1, -1), (1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1)])


# ------------------------------------------------------------------------------------------- .ics


@dataclass(frozen=True)
class Case:
    """What an `.ics` file says.

    Attributes:
        name: str. Of the case.
        digitizer: str. First word of its digitizer, one of `DIGITIZERS`.
        films: (height, width) by name of the film.
        overlays: Names of the films that have an overlay.
    """

    name: str
    digitizer: str
    films: dict[str, tuple[int, int]]
    overlays: tuple[str, ...]

    @property
    def site(self) -> str:
        """Letter of the hospital: A Massachusetts General, D Washington (ISMD), ..."""
        return self.name[:1].upper()

    @property
    def patient(self) -> str:
        """The name without its last number, which counts the volumes of a case."""
        return "_".join(re.split("[-_]", self.name)[:2])


def read_ics(path: str | os.PathLike) -> Case:
    """Parse an `.ics` file.

    Raises:
        UnusableImage: The name, the digitizer or the films are not there.
    """
    name, digitizer, films, overlays = "", "", {}, []
    for line in _text(path).splitlines():
        words = line.split()
        match [word.upper() for word in words[:2]]:
            case ["FILENAME", _]:
                name = words[1]
            case ["DIGITIZER", token]:
                digitizer = token  # "LUMISYS LASER": the first word is the make
            case [view, "LINES"] if view in FILMS:
                films[view] = _film_size(words)
                if words[-1].upper() == "OVERLAY":
                    overlays.append(view)
    lacking = [what for what, there in (("filename", name), ("DIGITIZER", digitizer), ("film", films)) if not there]
    if lacking:
        raise UnusableImage(f".ics file without {lacking[0]}")
    return Case(name, digitizer, films, tuple(overlays))


def _film_size(words: Sequence[str]) -> tuple[int, int]:
    values = dict(zip(words[1::2], words[2::2], strict=False))
    try:
        height, width = int(values["LINES"]), int(values["PIXELS_PER_LINE"])
    except (KeyError, ValueError):
        raise UnusableImage(".ics file with a film without LINES and PIXELS_PER_LINE") from None
    if not (0 < height < 2**16 and 0 < width < 2**16):  # as a JPEG's header has them
        raise UnusableImage(".ics file with a film of impossible size")
    return height, width


# --------------------------------------------------------------------------------------- .OVERLAY


@dataclass(frozen=True)
class Abnormality:
    """One abnormality of an overlay.

    Attributes:
        number: int. In the overlay.
        kind: str. "MASS", "CALCIFICATION", ... of each `LESION_TYPE` line, joined by "-".
        shape, margin: str. Words of its MASS lines, joined by "-", as written; "" for none.
        boundary: int (n, 2), pixels (x, y) from 0 along the outline, the first one again last; or None.
        problem: str. Why its outline cannot be read.
    """

    number: int
    kind: str
    shape: str
    margin: str
    boundary: np.ndarray | None
    problem: str = ""


def read_overlay(path: str | os.PathLike) -> list[Abnormality]:
    """Parse an `.OVERLAY` file: each abnormality with its labels and its (first) boundary.

    An outline that cannot be read is stated in the abnormality's `problem`; the others are not lost.
    """
    parts = re.split(r"^\s*ABNORMALITY\s+(\d+)", _text(path), flags=re.MULTILINE | re.IGNORECASE)
    numbers, texts = parts[1::2], parts[2::2]
    return [_abnormality(int(number), text) for number, text in zip(numbers, texts, strict=True)]


def _abnormality(number: int, text: str) -> Abnormality:
    types = re.findall(r"^\s*LESION_TYPE\s+(\S+)(.*)$", text, flags=re.MULTILINE | re.IGNORECASE)
    masses = [rest for kind, rest in types if kind.upper() == "MASS"]
    words = {
        field: "-".join(dict.fromkeys(found[1] for rest in masses if (found := re.search(rf"{field}\s+(\S+)", rest))))
        for field in ("SHAPE", "MARGINS")
    }
    boundary, problem = None, ""
    chain = re.search(r"^\s*BOUNDARY\s+([^#]*)#", text, flags=re.MULTILINE | re.IGNORECASE)
    try:
        boundary = follow_chain(chain[1].split() if chain else [])
    except UnusableImage as reason:
        problem = str(reason)
    kind = "-".join(dict.fromkeys(kind.upper() for kind, _ in types))
    return Abnormality(number, kind, words["SHAPE"], words["MARGINS"], boundary, problem)


def follow_chain(words: Sequence[str]) -> np.ndarray:
    """Follow the chain of an outline, "column row code code ...", counted from 1.

    Returns:
        int (steps + 1, 2), pixels (x, y) from 0.

    Raises:
        UnusableImage: There is no word, or one that is no chain code.
    """
    if not words:
        raise UnusableImage("overlay without an outline")
    try:
        start, codes = np.array(words[:2], np.int32), np.array(words[2:], np.int32)
    except (ValueError, OverflowError):
        raise UnusableImage("overlay with a broken outline: a word in it is not a number") from None
    if len(start) < 2 or not codes.size or codes.min() < 0 or codes.max() > 7:
        raise UnusableImage("overlay with a broken outline: its chain codes must be 0 to 7")
    # 1-based: seen by laying the outline over a lesion mask that the archive's own tools made.
    return np.concatenate([start[None], start + np.cumsum(STEPS[codes], axis=0)]) - 1


def fill_outline(boundary: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Fill an outline, clipped to the film: bool (height, width), the outline itself included."""
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [boundary.astype(np.int32)], 1)
    return mask.astype(bool)


# ---------------------------------------------------------------------------------------- .LJPEG


def read_ljpeg(path: str | os.PathLike, height: int, width: int) -> np.ndarray:
    """Read the stored values, uint16 (height, width), of a lossless JPEG film whose size is known from the `.ics`.

    Raises:
        UnusableImage: It cannot be decoded, has another number of pixels, or too many.
    """
    check_file(Path(path))
    check_size(width, height)
    source = Path(path).read_bytes()
    marker = source.find(b"\xff\xc3")  # SOF3: length, precision, height, width (ITU-T T.81 B.2.2)
    if marker < 0:
        raise UnusableImage("LJPEG film is not lossless JPEG")
    header = tuple(int.from_bytes(source[marker + at : marker + at + 2]) for at in (5, 7))
    readings = [source]
    if header != (height, width):
        if header != (width, height):
            raise UnusableImage("LJPEG film is not of the size in its .ics file")
        # Exchanged in the header only, or by the encoder, which then predicted along other lines: in the wrong reading
        # of the two, neighbours have nothing in common.
        size = height.to_bytes(2) + width.to_bytes(2)
        readings.insert(0, source[: marker + 5] + size + source[marker + 9 :])
    decoded = [film for reading in readings if (film := _try_decode(reading)) is not None]
    films = [film.reshape(height, width) for film in decoded if film.size == height * width]
    if not films:
        raise UnusableImage("LJPEG film cannot be decoded")
    return min(films, key=_roughness) if len(films) > 1 else films[0]


def _try_decode(source: bytes) -> np.ndarray | None:
    try:
        pixels = decode_jpeg(source)
    except Exception:  # imagecodecs raises its own kinds
        return None
    return None if pixels.ndim != 2 else pixels.astype(np.uint16)


def _roughness(pixels: np.ndarray) -> float:
    across = np.diff(pixels[::8].astype(np.int32), axis=1)
    down = np.diff(pixels[:, ::8].astype(np.int32), axis=0)
    return float(np.abs(across).mean() + np.abs(down).mean())


def optical_density(grey: np.ndarray, digitizer: str, site: str) -> np.ndarray:
    """Compute the optical density, float32, of stored values by the calibration of each digitizer (DDSM's own pages).

    Raises:
        UnusableImage: There is none for this digitizer and site.
    """
    grey = grey.astype(np.float32)
    match digitizer.upper(), site.upper():
        case "DBA", _:
            return (np.log10(np.maximum(grey, 1)) - 4.80662) / -1.07553
        case "LUMISYS", _:
            return (grey - 4096.99) / -1009.01
        case "HOWTEK", "A":
            return 3.789 - 0.00094568 * grey
        case "HOWTEK", "D":
            return 3.96604096 - 0.00099055807612 * grey
    raise UnusableImage("no optical density is known: none of the digitizers DBA, LUMISYS, and HOWTEK at site A or D")


# ------------------------------------------------------------------------------------------ cases


@dataclass(frozen=True)
class DdsmMass:
    """The outline of one mass on one film; its `repr` is in the fingerprints of datasets.

    Attributes:
        path, overlay: Path. Files of the film and of the outline.
        size: (height, width) of the film.
        digitizer, site: str. See `Case`.
        box: Box. Of the part of the outline that is on the film.
        boundary: int (n, 2). See `Abnormality`.
    """

    path: Path
    overlay: Path
    size: tuple[int, int]
    digitizer: str
    site: str
    box: Box
    boundary: np.ndarray = field(repr=False, compare=False)

    def files(self) -> Sequence[Path]:
        """List film and overlay."""
        return (self.path, self.overlay)

    def locate(self) -> Located:
        """Read the film as 1 − optical density / `DARKEST` in [0, 1] (tissue is bright), and fill the outline."""
        grey = read_ljpeg(self.path, *self.size)
        refuse_constant(grey)
        density = optical_density(np.arange(2**16), self.digitizer, self.site)
        levels = np.clip(1 - density / np.float32(DARKEST), 0, 1)
        film = MammogramImage(StoredImage(grey, levels), patient="", laterality=None, view=None)
        return Located(film, self.box, fill_outline(self.boundary, self.size), whole=True)


def read_ddsm(folder: str | os.PathLike, digitizer: str | None = None) -> list[Lesion]:
    """Read the lesions of all cases in a folder and its subfolders; calcifications are left out.

    Args:
        digitizer: One of `DIGITIZERS`, compared with the first word in the `.ics`. Defaults to None: all.

    Raises:
        DataError: There is no case, or none of this digitizer.
    """
    paths = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() == ".ics")
    if not paths:
        raise DataError(f"--ddsm {folder}: no .ics files here; give the folder of the DDSM cases")
    lesions, digitizers = [], set()
    for path in paths:
        try:
            case = read_ics(path)
        except UnusableImage as reason:
            lesions.append(Lesion("", "", "", str(path), None, unusable=str(reason)))
            continue
        digitizers.add(case.digitizer.upper())
        if digitizer is None or case.digitizer.upper() == digitizer.upper():
            lesions.extend(_case_lesions(path, case))
    if digitizer is not None and digitizer.upper() not in digitizers:
        there = ", ".join(sorted(digitizers & set(DIGITIZERS))) or "none that is known"
        raise DataError(f"--digitizer {digitizer}: no case in {folder} was made by it; there: {there}")
    if not lesions:
        raise DataError(f"--ddsm {folder}: its cases have no mass")
    return lesions


def _case_lesions(ics: Path, case: Case) -> Iterator[Lesion]:
    files = _case_files(ics)
    for view in case.overlays:
        overlay, film = files.get(f"{view}.OVERLAY"), files.get(f"{view}.LJPEG")
        place = f"{ics} {view}"
        if overlay is None:
            yield Lesion("", "", case.patient, place, None, unusable="overlay missing")
            continue
        abnormalities = read_overlay(overlay)
        if not abnormalities:
            yield Lesion("", "", case.patient, place, None, unusable="overlay without an abnormality")
        for found in abnormalities:
            if "MASS" in found.kind.split("-"):
                yield _lesion(found, case, view, film, overlay)


def _lesion(found: Abnormality, case: Case, view: str, film: Path | None, overlay: Path) -> Lesion:
    unusable, note, source = found.problem, "", None
    if film is None:
        unusable = unusable or "film missing: no .LJPEG file next to the overlay"
    elif not unusable and found.boundary is not None:
        try:
            box, outside = clip_outline(found.boundary, case.films[view])
            source = DdsmMass(film, overlay, case.films[view], case.digitizer, case.site, box, found.boundary)
            note = f"outline leaves the film for {outside} of {len(found.boundary) - 1} steps; clipped" * bool(outside)
        except UnusableImage as reason:
            unusable = str(reason)
    place = f"{overlay} abnormality {found.number}"
    return Lesion(found.shape, found.margin, case.patient, place, source, unusable, note)


def clip_outline(boundary: np.ndarray, size: tuple[int, int]) -> tuple[Box, int]:
    """Find the box of the part of an outline's inside that is on the film, and how many steps of it are off.

    Raises:
        UnusableImage: Nothing of it is on the film.
    """
    off = np.any((boundary < 0) | (boundary >= (size[1], size[0])), axis=1)[1:]
    if not off.any():
        (x, y), (right, bottom) = boundary.min(axis=0).tolist(), boundary.max(axis=0).tolist()
        return Box(x, y, right - x + 1, bottom - y + 1), 0
    mask = fill_outline(boundary, size)
    if not mask.any():
        raise UnusableImage("overlay off the film: the whole outline lies outside it")
    return box_of(mask), int(off.sum())


def _case_files(ics: Path) -> dict[str, Path]:
    """Find the files of a case by "<film>.<kind>"; the case's own name may use "-" or "_"."""
    stem = ics.stem.replace("-", "_").upper()
    files = {}
    for path in sorted(ics.parent.iterdir()):
        case, _, rest = path.name.upper().partition(".")
        if case.replace("-", "_") == stem:
            files[rest] = path
    return files


def _text(path: str | os.PathLike) -> str:
    return Path(path).read_text(encoding="ascii", errors="replace")
