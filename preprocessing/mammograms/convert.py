"""Many films, or phantoms, into one dataset of mammogram shards.

What leaves a film is its pixels, a keyed hash of the patient, laterality and view. The key, and the
list of which film became which item, lie **beside** the dataset, not in it, readable by their owner
only: `<output>.key` and `<output>.films.csv`. File names often hold a patient's number, so
`rejected.csv`, which is in the dataset, names a film by its number in that list (from 0, films
sorted by path); the command also prints the path and reason of what it rejects.
"""

import csv
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from preprocessing.images.read import UnusableFilm, find_films, read_film
from preprocessing.mammograms.breast_mask import find_breast, orient, pyramid, standardise
from preprocessing.shards import DATASET_FILE, LEVELS, DataError, Dataset, DatasetWriter, array_name
from preprocessing.shards.fill import fill
from preprocessing.shards.pseudonyms import keyed_fingerprint, keyed_hash, open_output, write_lists

if TYPE_CHECKING:
    from preprocessing.phantoms.mammogram import PhantomTask

MASK_METHODS = ("film", "otsu")
TABLE_FILE = "films.csv"
SHARD_SIZE = 32  # films in a shard, all in memory until it is written; more where that would give 256 shards
VIEWS = ("CC", "MLO", "ML", "LM", "LMO", "SIO", "FB", "ISO", "XCC", "XCCL", "XCCM")  # CID 4014


def mammogram_item(
    image: np.ndarray, mask: np.ndarray, *, subject: str, laterality: str = "", view: str = ""
) -> dict[str, np.ndarray | str]:
    """One item for `DatasetWriter`: the pyramid of an image and its mask, and the fields.

    image: float (height, width) in [0, 1], a size in `LEVELS`, chest wall on the left.
    mask: bool or float (height, width), the breast.
    subject: str. Keyed hash of whose breast it is, at most 16 characters.
    laterality, view: str. "L" or "R"; "CC", "MLO", …; empty when unknown.

    The pyramid is averaged in float and each level rounded once (uint16; mask: average ≥ 0.5).
    """
    levels = [level for level in LEVELS if level <= image.shape]
    images = pyramid(np.asarray(image, np.float32), levels)
    masks = pyramid(np.asarray(mask, np.float32), levels)
    item = {"subject": subject, "laterality": laterality, "view": view}
    for level in levels:
        pixels = np.round(np.clip(images[level], 0, 1) * 65535)
        item[array_name("image", level)] = pixels.astype(np.uint16)
        item[array_name("mask", level)] = (masks[level] >= 0.5).astype(np.uint8)
    return item


# --------------------------------------------------------------------------------------- phantoms


def make_phantoms(
    output: str | os.PathLike,
    count: int,
    *,
    seed: int = 0,
    validation_fraction: float = 0.1,
    workers: int | None = None,
) -> Dataset:
    """Write a dataset of mammogram phantoms; it depends on count and seed alone.

    What a killed call left is continued, and a finished dataset is only opened.

    Raises DataError when the output was made with other settings or cannot be written.
    """
    from preprocessing.phantoms.mammogram import phantom_tasks  # SciPy, which films do not need

    made = {"by": "make_phantoms", "seed": seed, "validation_fraction": validation_fraction}
    writer = DatasetWriter(output, "mammogram", count=count, made=made, synthetic=True)
    if not writer.complete:
        fill(writer, phantom_tasks(count, seed), prepare_phantom, title="Phantoms", workers=workers)
    return writer.finish(validation_fraction)


def prepare_phantom(task: "PhantomTask") -> dict[str, np.ndarray | str]:
    """Draw one phantom as a dataset item."""
    from preprocessing.phantoms.mammogram import mammogram_phantom

    image, mask, view = mammogram_phantom(task.seed)
    return mammogram_item(image, mask, subject=task.subject, view=view)


# ------------------------------------------------------------------------------------------ films


@dataclass(frozen=True)
class FilmTask:
    """One film to prepare, and how. `table` is its row (subject, laterality, view), if any."""

    path: Path
    key: bytes
    mask_method: str
    keep_background: bool
    window: str | None
    mask: Path | None = None
    table: tuple[str, str, str] | None = None
    unusable: str = ""  # why, when that is known before it is read


@dataclass(frozen=True)
class Conversion:
    """What became of the films: the dataset, (path, reason) of the rejected, and whether it was
    there already."""

    dataset: Dataset
    films: int
    rejected: Sequence[tuple[Path, str]]
    already_done: bool


def convert_mammograms(
    inputs: Sequence[str | os.PathLike],
    output: str | os.PathLike,
    *,
    masks: str | os.PathLike | None = None,
    table: str | os.PathLike | None = None,
    mask_method: str = "film",
    keep_background: bool = False,
    validation_fraction: float = 0.1,
    window: str | None = None,
    key: str | os.PathLike | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    shard_size: int | None = None,
) -> Conversion:
    """Prepare many films (design §5) and write them as one dataset, patients split whole.

    A run that was killed goes on after its last whole shard; a finished dataset is left as it is.
    A film that cannot be used is rejected with its reason and the run goes on.

    inputs: files, and folders searched with their subfolders.
    output: folder of the dataset.
    masks: folder of given breast masks, each named as its film (another ending is fine) and of its
        size; non-zero is breast. Defaults to None: found by `mask_method`, "film" or "otsu".
    table: CSV file with the columns image, subject, laterality, view for films without a header.
        Defaults to `films.csv` in an input folder or beside it, where there is one.
    keep_background: whether to keep what lies outside the breast.
    validation_fraction: share of the patients, in [0, 1).
    window: name of the DICOM window to apply. Defaults to the first.
    key: file with the key of the subjects' hashes; made when absent. Defaults to `<output>.key`.
    workers, scheduler: processes, or the address of a dask scheduler.
    shard_size: films in a shard. Defaults to `SHARD_SIZE`, or that of the dataset begun there.

    Raises DataError, one line: no films, unreadable table or key, output made with other settings,
    output not writable.
    """
    output = Path(output).resolve()
    inputs = [Path(path) for path in inputs]
    try:
        films = find_films(inputs)
    except FileNotFoundError as error:
        raise DataError(str(error)) from error
    if not films:
        raise DataError(f"{', '.join(map(str, inputs))}: no films here; give DICOM, PNG, PGM, TIFF or JPEG")
    rows = _read_table(table, inputs)
    key_file, secret = open_output(output, key)
    settings = {
        "mask_method": mask_method if masks is None else "given",
        "keep_background": keep_background,
        "window": window,
        "table": rows is not None,
        "validation_fraction": validation_fraction,
    }
    names = [_relative(film, inputs) for film in films]
    writer = DatasetWriter(
        output,
        "mammogram",
        count=len(films),
        made={"by": "prepare_mammograms", **settings},
        work=keyed_fingerprint(secret, [[name, film.stat().st_size] for name, film in zip(names, films, strict=True)]),
        shard_size=shard_size or _shard_size(output, len(films)),
    )
    already_done = writer.complete
    if not already_done:
        given = None if masks is None else _GivenMasks(Path(masks))
        tasks = [
            FilmTask(
                path=film,
                key=secret,
                mask_method=mask_method,
                keep_background=keep_background,
                window=window,
                mask=given.of(name) if given else None,
                table=rows.get(film.name) if rows is not None else None,
                unusable=_unusable(film, name, rows, given),
            )
            for film, name in zip(films, names, strict=True)
        ]
        fill(writer, tasks, prepare_film, title="Films", workers=workers, scheduler=scheduler)
    dataset = writer.finish(validation_fraction)
    rejected = dict(writer.rejected())
    if not already_done:
        write_lists(output, key_file, "film", "file", films, rejected)
    reasons = [(films[number], reason) for number, reason in sorted(rejected.items())]
    return Conversion(dataset, len(films), reasons, already_done)


def prepare_film(task: FilmTask) -> dict[str, np.ndarray | str] | str:
    """One film as a dataset item, or as a string why it cannot be used."""
    if task.unusable:
        return task.unusable
    try:
        film = read_film(task.path, window=task.window)
        if task.mask is None:
            mask = find_breast(film.image, task.mask_method)
        else:
            mask = read_mask(task.mask, film.image.shape)
        pixels, mask, _ = orient(film.image, mask)
        image, mask = standardise(pixels, mask, keep_background=task.keep_background)
    except UnusableFilm as reason:
        return str(reason)
    except OSError as error:
        return f"cannot be read ({error.strerror or type(error).__name__})"
    except Exception as error:  # one film must not end the run; its text could quote the header
        return f"cannot be decoded ({type(error).__name__})"
    patient, laterality, view = task.table or (film.patient, film.laterality, film.view)
    laterality = (laterality or "").strip().upper()[:1]
    view = (view or "").strip().upper()
    return mammogram_item(
        image,
        mask,
        subject=keyed_hash(task.key, patient),
        laterality=laterality if laterality in ("L", "R") else "",
        view=view if view in VIEWS else "",
    )


def read_mask(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """A given breast mask, bool (height, width): what is brighter than half of its brightest.

    Raises UnusableFilm when it cannot be read, is empty, or is not of the film's size.
    """
    mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH)
    if mask is None:
        raise UnusableFilm("its mask cannot be read as an image")
    if mask.shape != shape:
        sizes = [f"{height}x{width}" for height, width in (mask.shape, shape)]
        raise UnusableFilm(f"its mask is {sizes[0]} but the film is {sizes[1]} (height x width)")
    if not mask.any():
        raise UnusableFilm("its mask is empty")
    return mask > mask.max() / 2


class _GivenMasks:
    """Finds the mask of a film: same relative path, or else same name, whatever the ending."""

    def __init__(self, folder: Path):
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        self._by_path = {str(path.relative_to(folder).with_suffix("")): path for path in files}
        self._by_stem = {path.stem: path for path in files}

    def of(self, name: str) -> Path | None:
        return self._by_path.get(os.path.splitext(name)[0]) or self._by_stem.get(Path(name).stem)


def _unusable(film: Path, name: str, rows: Mapping | None, given: _GivenMasks | None) -> str:
    if given is not None and given.of(name) is None:
        return "no mask of its name in the folder of masks"
    if rows is not None and film.name not in rows:
        return "has no row in the table of films"
    return ""


def _shard_size(output: Path, films: int) -> int:
    """Films in a shard: as in the dataset that was begun in the folder, if any."""
    try:
        begun = int(json.loads((output / DATASET_FILE).read_text())["work"]["shard_size"])
    except (OSError, ValueError, LookupError, TypeError):  # none there, or one that the writer refuses
        begun = 0
    return begun if begun > 0 else max(SHARD_SIZE, -(-films // 256))


# ----------------------------------------------------------------------------------- table, names


def _read_table(table: str | os.PathLike | None, inputs: Sequence[Path]) -> dict[str, tuple[str, str, str]] | None:
    """Rows (subject, laterality, view) by file name; None without a table."""
    if table is None:
        folders = [path if path.is_dir() else path.parent for path in inputs]
        places = [place / TABLE_FILE for path in folders for place in (path, path.parent)]
        path = next((place for place in places if place.is_file()), None)
        if path is None:
            return None
    else:
        path = Path(table)
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"--table {path}: cannot be read as a CSV file") from error
    if not rows or not {"image", "subject"} <= rows[0].keys():
        raise DataError(f"--table {path}: needs the columns image, subject, laterality, view")
    found = {}
    for row in rows:
        if not row["image"] or not row["subject"]:
            raise DataError(f"--table {path}: a row lacks its image or its subject; fill it in")
        name = Path(row["image"]).name
        fields = (row["subject"], row.get("laterality") or "", row.get("view") or "")
        if found.setdefault(name, fields) != fields:
            raise DataError(f"--table {path}: two rows for {name} differ; leave one of them")
    return found


def _relative(film: Path, inputs: Sequence[Path]) -> str:
    """A film's path below the input it was found in."""
    for path in inputs:
        if path in film.parents:
            return str(film.relative_to(path))
    return film.name
