"""Lesions with their BI-RADS shape and margin, cut from films into one dataset of mass shards [B §4.1].

Where a lesion is, is its `Source`'s business: a box on any film (`--rois`, here), a CBIS-DDSM row
(`preprocessing.masses.cbis_ddsm`) or a DDSM overlay (`preprocessing.masses.ddsm`). From there all go one way:

1. The window is a square around the box, `context` times the box's longest side, no more than the film has to give.
   One that would leave the film is moved inside; what is longer than the film is filled with its mirror image.
2. It is resized to 64×64 (area average; linear where it must grow), and stays as it hangs on the film: mirrored
   masses are an augmentation of training, not of the data.
3. Its contrast is stretched to use the whole range, and what 0 and 1 were is kept, so that it can be undone: masses
   differ far more in contrast than in kind, and what is faint weighs nothing in a mean of absolute differences.
4. Its outline, where the source has one, goes the same way; a box has none.
5. Its labels are the words of the radiologist, as `read_label` reads them.
"""

import csv
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from preprocessing.images.read import Film, UnusableFilm, read_film, refuse_constant
from preprocessing.shards import DataError, Dataset, DatasetWriter, array_name
from preprocessing.shards.fill import fill
from preprocessing.shards.pseudonyms import keyed_fingerprint, keyed_hash, open_output, write_lists

SIZE = 64  # pixels of a side
CONTEXT = 1.5  # window over the lesion's longest side (ours; [B] does not say)
LABEL_POLICIES = ("single", "first")
CONTRASTS = ("normalised", "original")
CLIPPED = 0.4  # percent of a window's pixels that may become 0, and that may become 1: bright specks, dark specks
ROI_COLUMNS = ("image", "x", "y", "width", "height", "shape", "margin", "subject")

# In the order of design §7. DDSM and CBIS-DDSM use these words, and for shapes some that are no shape of a mass.
CLASSES = {
    "shape": ("round", "oval", "lobulated", "irregular"),
    "margin": ("circumscribed", "microlobulated", "obscured", "ill-defined", "spiculated"),
}
OTHER_WORDS = {
    "shape": (
        "architectural_distortion",
        "asymmetric_breast_tissue",
        "focal_asymmetric_density",
        "lymph_node",
        "tubular",
    ),
    "margin": (),
}
_BLANKS = ("", "n/a", "na", "nan", "none")


# ----------------------------------------------------------------------------------------- labels


def read_label(text: str, field: str, policy: str = "single") -> int | None:
    """Index of a label's class in `CLASSES[field]`, or None where the label is blank.

    text: str. Words joined by "-" in any order and case, as in DDSM: `IRREGULAR`,
        `OBSCURED-ILL_DEFINED`.
    field: str. "shape" or "margin".
    policy: str. "single" takes a label of exactly one word, which must be a class. "first" takes the
        first word that is a class. Defaults to "single".

    Raises UnusableFilm when a word is unknown or the policy finds no class.
    """
    # The hyphen of "ill-defined" joins one word, all others join two.
    text = text.strip().lower().replace("ill-defined", "ill_defined").replace("ill defined", "ill_defined")
    if text in _BLANKS:
        return None
    names = [name.replace("-", "_") for name in CLASSES[field]]
    words = [word.strip().replace(" ", "_") for word in text.split("-")]
    for word in words:
        if word not in names and word not in OTHER_WORDS[field]:
            raise UnusableFilm(f"unknown {field} word: {word[:32]!r} is none of {', '.join(CLASSES[field])}")
    if policy == "single" and len(words) > 1:
        raise UnusableFilm(f"several {field} words")
    word = next((word for word in words if word in names), None)
    if word is None:
        raise UnusableFilm(f"{field} of no class: {words[0].replace('_', ' ')}")
    return names.index(word)


# ---------------------------------------------------------------------------------------- windows


@dataclass(frozen=True)
class Box:
    """A lesion's box in pixels; x and y are its top left corner, counted from 0."""

    x: int
    y: int
    width: int
    height: int


def box_of(mask: np.ndarray) -> Box:
    """The box of what is not 0 in a (height, width) array. Raises UnusableFilm when that is nothing."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        raise UnusableFilm("empty lesion mask")
    y, x = int(rows[0]), int(columns[0])
    return Box(x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1)


def cut_window(pixels: np.ndarray, box: Box, context: float = CONTEXT, size: int = SIZE) -> np.ndarray:
    """The square around a box, float32 (size, size) in the range of the pixels.

    pixels: float32 or uint8 (height, width).
    context: float. Side of the square over the box's longest side, at least 1; the square is not
        made longer than the film's short side unless the box is.

    Raises UnusableFilm when the box is empty or reaches outside the image.
    """
    height, width = pixels.shape
    if box.width < 1 or box.height < 1:
        raise UnusableFilm(f"empty box: {box.width} x {box.height} pixels")
    if box.x < 0 or box.y < 0 or box.x + box.width > width or box.y + box.height > height:
        span = f"x {box.x} to {box.x + box.width}, y {box.y} to {box.y + box.height}"
        raise UnusableFilm(f"box outside the image: {span}, but the image is {width} x {height}")
    longest = max(box.width, box.height)
    side = min(max(round(context * longest), longest), max(longest, min(height, width)))
    top, bottom = _span(box.y + box.height / 2, side, height)
    left, right = _span(box.x + box.width / 2, side, width)
    window = pixels[max(top, 0) : bottom, max(left, 0) : right]
    if window.shape != (side, side):
        edges = (max(-top, 0), max(bottom - height, 0), max(-left, 0), max(right - width, 0))
        window = cv2.copyMakeBorder(window, *edges, cv2.BORDER_REFLECT)
    how = cv2.INTER_AREA if side >= size else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(window, np.float32), (size, size), interpolation=how)


def _span(centre: float, side: int, length: int) -> tuple[int, int]:
    """Where a side around a centre begins and ends, moved into 0…length when it fits there."""
    begin = round(centre - side / 2)
    begin = min(max(begin, 0), length - side) if side <= length else (length - side) // 2
    return begin, begin + side


# --------------------------------------------------------------------------------------- contrast


def normalise_contrast(window: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Stretch a window that is not constant to the whole of [0, 1], but for a few specks.

    Returns (stored, low, high): stored = clip((window − low) / (high − low), 0, 1), float32 of the window's shape;
    low and high are the percentiles `CLIPPED` and 100 − `CLIPPED`, rounded to float32 as they will be kept.
    """
    low, high = (float(np.float32(value)) for value in np.percentile(window, (CLIPPED, 100 - CLIPPED)))
    if low >= high:  # all but a few pixels are the same
        low, high = float(window.min()), float(window.max())
    return np.clip((window - np.float32(low)) / np.float32(high - low), 0, 1), low, high


def undo_contrast(stored: np.ndarray, low: np.ndarray | float, high: np.ndarray | float) -> np.ndarray:
    """Brightness on the film of stored images, float32 of their shape; specks that were clipped stay so.

    stored: float (..., 64, 64) or (n, 64, 64, 1) in [0, 1].
    low, high: the fields of the same names: a number, or (n,) for n images.
    """
    low, high = (
        np.reshape(np.asarray(value, np.float32), np.shape(value) + (1,) * (np.ndim(stored) - np.ndim(value)))
        for value in (low, high)
    )
    return low + (high - low) * np.asarray(stored, np.float32)


# ---------------------------------------------------------------------------------------- lesions


@dataclass(frozen=True, eq=False)
class Located:
    """A lesion on its film.

    region: bool (height, width), what of the film is lesion. Defaults to None, unknown.
    """

    film: Film
    box: Box
    region: np.ndarray | None = None


class Source(Protocol):
    """Where a lesion's pixels are. Must be picklable."""

    def locate(self) -> Located:
        """Read the film and find the lesion. Raises UnusableFilm with a reason."""

    def files(self) -> Sequence[Path]:
        """The files that `locate` reads."""


@dataclass(frozen=True)
class Lesion:
    """One lesion: its labels as written, its patient, where it is.

    shape, margin: str. As written, read by `read_label`.
    subject: str. Identity of the patient, only ever hashed; empty: the film's.
    place: str. How messages name it: a file and a row.
    unusable: str. Why it cannot be used, when that is known before its film is read.
    note: str. What the user should know about it though it is used.
    """

    shape: str
    margin: str
    subject: str
    place: str
    source: Source | None
    unusable: str = ""
    note: str = ""


@dataclass(frozen=True)
class RoiOnFilm:
    """A box on a film in one file."""

    path: Path
    box: Box

    def locate(self) -> Located:
        return Located(read_film(self.path), self.box)

    def files(self) -> Sequence[Path]:
        return (self.path,)


def read_rois(table: str | os.PathLike, images: str | os.PathLike) -> list[Lesion]:
    """Lesions of a CSV file with the columns `ROI_COLUMNS`, boxes in pixels from the top left corner.

    images: folder that the column `image` is relative to.

    Raises DataError when the file cannot be read or lacks a column.
    """
    rows = read_table(table, "--rois", ROI_COLUMNS)
    return [_roi(row, f"{table} row {number}", Path(images)) for number, row in enumerate(rows, start=1)]


def read_table(table: str | os.PathLike, flag: str, columns: Sequence[str]) -> list[dict[str, str]]:
    """Rows of a CSV file, blanks around names and values stripped, missing values "".

    Raises DataError, naming the flag, when it cannot be read, has no rows or lacks a column.
    """
    try:
        with open(table, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            names = [name.strip() for name in reader.fieldnames or ()]
            rows = [{(k or "").strip(): v.strip() for k, v in row.items() if isinstance(v, str)} for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{flag} {table}: cannot be read as a CSV file") from error
    lacking = [column for column in columns if column not in names]
    if lacking:
        raise DataError(f"{flag} {table}: has no column {', '.join(lacking)}; it needs {', '.join(columns)}")
    if not rows:
        raise DataError(f"{flag} {table}: has no rows")
    return [{name: row.get(name, "") for name in names} for row in rows]


def _roi(row: Mapping[str, str], place: str, images: Path) -> Lesion:
    path, box, unusable = images / row["image"], Box(0, 0, 0, 0), ""
    try:
        box = Box(*(round(float(row[name])) for name in ("x", "y", "width", "height")))
    except (ValueError, OverflowError):
        unusable = "box without numbers: x, y, width and height must be numbers of pixels"
    if not row["image"] or not path.is_file():
        unusable = "film missing: no such file in --images"
    return Lesion(row["shape"], row["margin"], row["subject"], place, RoiOnFilm(path, box), unusable)


# ------------------------------------------------------------------------------------- conversion


@dataclass(frozen=True)
class LesionTask:
    """One lesion to cut out, and how."""

    lesion: Lesion
    key: bytes
    label_policy: str
    keep_unlabelled: bool
    context: float
    contrast: str


@dataclass(frozen=True)
class MassConversion:
    """What became of the lesions: the dataset, (place, reason) of the rejected, (place, note) of what
    was used with a remark, and whether it was there already."""

    dataset: Dataset
    lesions: int
    rejected: Sequence[tuple[str, str]]
    notes: Sequence[tuple[str, str]]
    already_done: bool


def convert_masses(
    lesions: Sequence[Lesion],
    output: str | os.PathLike,
    *,
    label_policy: str = "single",
    keep_unlabelled: bool = False,
    context: float = CONTEXT,
    contrast: str = "normalised",
    validation_fraction: float = 0.1,
    key: str | os.PathLike | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    shard_size: int | None = None,
) -> MassConversion:
    """Cut lesions out of their films and write them as one dataset, patients split whole.

    A run that was killed goes on after its last whole shard; a finished dataset is left as it is.
    A lesion that cannot be used is rejected with its reason and the run goes on. `dataset.json` gets
    a `summary`: how many of each shape and margin, and how many were rejected for which reason.

    output: folder of the dataset.
    label_policy: "single" or "first", see `read_label`.
    keep_unlabelled: whether to keep lesions without shape or margin, as unknown (−1).
    context: side of the window over the lesion's longest side.
    contrast: "normalised" (see `normalise_contrast`) or "original", as on the film.
    validation_fraction: share of the patients, in [0, 1).
    key: file with the key of the subjects' hashes; made when absent. Defaults to `<output>.key`.
    workers, scheduler, shard_size: as for `convert_mammograms`.

    Raises DataError, one line: no lesions, output made with other settings or not writable.
    """
    if not lesions:
        raise DataError("there is no mass to convert")
    output = Path(output).resolve()
    key_file, secret = open_output(output, key)
    settings = {
        "label_policy": label_policy,
        "keep_unlabelled": keep_unlabelled,
        "context": context,
        "contrast": contrast,
        "validation_fraction": validation_fraction,
    }
    writer = DatasetWriter(
        output,
        "mass",
        count=len(lesions),
        made={"by": "prepare_masses", **settings},
        work=keyed_fingerprint(secret, [_known(lesion) for lesion in lesions]),
        levels=[(SIZE, SIZE)],
        classes=CLASSES,
        shard_size=shard_size,
    )
    already_done = writer.complete
    if not already_done:
        tasks = [LesionTask(lesion, secret, label_policy, keep_unlabelled, context, contrast) for lesion in lesions]
        fill(writer, tasks, prepare_lesion, title="Masses", workers=workers, scheduler=scheduler)
    dataset = writer.finish(validation_fraction, summarise)
    rejected = dict(writer.rejected())
    if not already_done:
        write_lists(output, key_file, "lesion", "place", [lesion.place for lesion in lesions], rejected)
    reasons = [(lesions[number].place, reason) for number, reason in sorted(rejected.items())]
    used = [lesion for number, lesion in enumerate(lesions) if number not in rejected]
    notes = [(lesion.place, lesion.note) for lesion in used if lesion.note]
    return MassConversion(dataset, len(lesions), reasons, notes, already_done)


def prepare_lesion(task: LesionTask) -> dict[str, np.ndarray | str | int] | str:
    """One lesion as a dataset item, or as a string why it cannot be used."""
    lesion = task.lesion
    try:
        # Labels first: that a lesion is no mass of a class is told even where its film is missing.
        if lesion.unusable and not lesion.shape and not lesion.margin:
            return lesion.unusable
        labels = {field: _label(task, field) for field in CLASSES}
        if lesion.unusable:
            return lesion.unusable
        found = lesion.source.locate()
        window = cut_window(found.film.pixels, found.box, task.context)
        refuse_constant(window)
        region = _cut_region(found, task.context)
    except UnusableFilm as reason:
        return str(reason)
    except OSError as error:
        return f"film cannot be read: {error.strerror or type(error).__name__}"
    except Exception as error:  # one lesion must not end the run; its text could quote the header
        return f"film cannot be decoded: {type(error).__name__}"
    subject = keyed_hash(task.key, lesion.subject or found.film.patient)
    return mass_item(window, region, subject=subject, contrast=task.contrast, **labels)


def _cut_region(found: Located, context: float) -> np.ndarray | None:
    if found.region is None:
        return None
    return cut_window(found.region.view(np.uint8), found.box, context) >= 0.5


def mass_item(
    window: np.ndarray,
    region: np.ndarray | None = None,
    *,
    subject: str,
    shape: int = -1,
    margin: int = -1,
    contrast: str = "original",
) -> dict[str, np.ndarray | str | int | float]:
    """One item for `DatasetWriter`.

    window: float (64, 64) in [0, 1]; not constant where its contrast is to be normalised.
    region: bool (64, 64), the lesion in the window. Defaults to None, unknown, stored as all 0.
    subject: str. Keyed hash of the patient, at most 16 characters.
    shape, margin: int. Indices into `CLASSES`. Defaults to −1, unknown.
    contrast: str. "normalised" (see `normalise_contrast`), or "original": stored as it is, low 0 and high 1.
    """
    low, high = 0.0, 1.0
    if contrast == "normalised":
        window, low, high = normalise_contrast(window)
    image = np.round(np.clip(window, 0, 1) * 65535).astype(np.uint16)
    lesion = np.zeros_like(window, np.uint8) if region is None else region.astype(np.uint8)
    pixels = {array_name("image", (SIZE, SIZE)): image, array_name("lesion", (SIZE, SIZE)): lesion}
    return {**pixels, "subject": subject, "shape": shape, "margin": margin, "low": low, "high": high}


def _label(task: LesionTask, field: str) -> int:
    index = read_label(getattr(task.lesion, field), field, task.label_policy)
    if index is None and not task.keep_unlabelled:
        raise UnusableFilm(f"no {field}")
    return -1 if index is None else index


def _known(lesion: Lesion) -> list:
    """What a rerun compares of a lesion: all that is known before its film is read, and the sizes of its files."""
    files = lesion.source.files() if lesion.source else ()
    sizes = [path.stat().st_size if path.is_file() else -1 for path in files]
    return [lesion.shape, lesion.margin, lesion.subject, repr(lesion.source), lesion.unusable, sizes]


# ---------------------------------------------------------------------------------------- summary


def summarise(fields: Mapping[str, np.ndarray], rejected: Sequence[tuple[int, str]]) -> dict:
    """Counts by shape and margin, and of the rejected by the first words of their reason."""
    pairs = Counter(zip(fields["shape"].tolist(), fields["margin"].tolist(), strict=True))
    names = {field: [*classes, "unknown"] for field, classes in CLASSES.items()}  # index -1 is the last
    table = {shape: dict.fromkeys(names["margin"], 0) for shape in names["shape"]}
    for (shape, margin), count in pairs.items():
        table[names["shape"][shape]][names["margin"][margin]] = count
    reasons = Counter(reason.split(":")[0] for _, reason in rejected)
    return {"shape x margin": table, "rejected": dict(sorted(reasons.items()))}


def summary_lines(summary: Mapping) -> list[str]:
    """The summary as the lines of a text table; unknown labels only where there are some."""
    table = summary["shape x margin"]
    margins = [m for m in table["round"] if m != "unknown" or any(row[m] for row in table.values())]
    shapes = [s for s in table if s != "unknown" or any(table[s].values())]
    lines = [" " * 12 + "".join(f"{name:>16}" for name in [*margins, "all"])]
    for shape in shapes:
        row = [table[shape][margin] for margin in margins]
        lines.append(f"{shape:<12}" + "".join(f"{count:>16}" for count in [*row, sum(row)]))
    columns = [sum(table[shape][margin] for shape in shapes) for margin in margins]
    lines.append(f"{'all':<12}" + "".join(f"{count:>16}" for count in [*columns, sum(columns)]))
    lines += [f"rejected, {reason}: {count}" for reason, count in summary["rejected"].items()]
    return lines


def rarest_first(rejected: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """(place, reason), rare kinds of reason first: hundreds of unusable labels must not hide one missing film."""
    kinds = Counter(reason.split(":")[0] for _, reason in rejected)
    return sorted(rejected, key=lambda pair: kinds[pair[1].split(":")[0]])


def count_labels(lesions: Sequence[Lesion], policy: str = "single") -> dict:
    """The summary that the labels alone give, for a look at a table whose films are not there."""
    found, rejected = {field: [] for field in CLASSES}, []
    for number, lesion in enumerate(lesions):
        try:
            labels = {field: read_label(getattr(lesion, field), field, policy) for field in CLASSES}
        except UnusableFilm as reason:
            rejected.append((number, str(reason)))
            continue
        blank = next((field for field in CLASSES if labels[field] is None), None)
        if blank:
            rejected.append((number, f"no {blank}"))
            continue
        for field, label in labels.items():
            found[field].append(label)
    return summarise({field: np.array(values, np.int8) for field, values in found.items()}, rejected)
