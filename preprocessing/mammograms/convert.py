"""Many images of patients into one dataset of mammograms.

What leaves an image is its pixels, a keyed hash of the patient, laterality, view and density. The key, and the list of
which image became which item, lie **next to** the dataset, not in it, readable by their owner only: `<output>.key` and
`<output>.films.csv`. File names often hold a patient's number, so `rejected.csv`, which is in the dataset, names an
image by its number in that list (from 0, sorted by path), and so does the command.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from preprocessing.contact_sheet.store import ThumbnailStore
from preprocessing.contact_sheet.thumbnail import thumbnail
from preprocessing.csv_table import read_table
from preprocessing.images.image import MammogramImage, UnusableImage
from preprocessing.images.large import Image
from preprocessing.images.read import find_images, read_image
from preprocessing.images.views import read_laterality, read_view
from preprocessing.images.words import KNOWN, read_density, unknown_words
from preprocessing.mammograms.breast_mask import find_breast
from preprocessing.mammograms.given_masks import GivenMasks, read_mask
from preprocessing.mammograms.item import mammogram_item
from preprocessing.mammograms.options import MammogramOptions
from preprocessing.mammograms.outline import Outline
from preprocessing.mammograms.plausibility import check_breast, check_grey_levels
from preprocessing.mammograms.standardise import orient, standardise, turned
from preprocessing.shards import DATASET_FILE, Conversion, DataError, Key, Origins, build_dataset, open_output

TABLE_FILE = "films.csv"
SHARD_SIZE = 32  # images per shard, all in memory until it is written; more where that would give over 256 shards

Row = tuple[str, str, str, str]  # subject, laterality, view, density
Rows = Mapping[str, Row]  # by file name


@dataclass(frozen=True)
class MammogramTask:
    """One image to prepare, and how.

    Attributes:
        path: Path. The image's file.
        key: Key. Of the patients' hashes.
        options: MammogramOptions. How it is prepared.
        mask: Path. File of its given mask, if any.
        row: (subject, laterality, view, density). Its row in the table, if any.
        unusable: str. Why it cannot be used, when that is known before it is read.
        drawn: bool. Whether a thumbnail is wanted.
    """

    path: Path
    key: Key
    options: MammogramOptions
    mask: Path | None = None
    row: Row | None = None
    unusable: str = ""
    drawn: bool = False


def convert_mammograms(
    inputs: Sequence[str | os.PathLike],
    output: str | os.PathLike,
    options: MammogramOptions | None = None,
    *,
    masks: str | os.PathLike | None = None,
    table: str | os.PathLike | None = None,
    validation_fraction: float = 0.1,
    key: str | os.PathLike | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    shard_size: int | None = None,
    thumbnails: ThumbnailStore | None = None,
) -> Conversion:
    """Prepare many mammograms (Ren et al. 2019, section 6.1) and write them as one dataset, its patients split.

    A run that was killed continues after its last whole shard; a finished dataset is left as it is. An image that
    cannot be used is rejected with its reason and the run continues.

    Args:
        inputs: Files, and folders searched with their subfolders.
        output: Folder of the dataset.
        options: How they are prepared. Defaults to `MammogramOptions()`.
        masks: Folder of given breast masks, each named as its image (another ending is fine) and of its size; non-zero
            is breast. Defaults to None: found by the mask method.
        table: CSV file with the columns image, subject, laterality, view, density, for images without a header; the
            last three may be missing. Defaults to `films.csv` in an input folder or next to it, where there is one.
        validation_fraction: Share of the patients that are for validation, in [0, 1).
        key: File with the key of the subjects' hashes; made when absent. Defaults to `<output>.key`.
        workers, scheduler: Number of processes, or the address of a dask scheduler.
        shard_size: Images per shard. Defaults to `SHARD_SIZE`, or that of the dataset begun there.
        thumbnails: Where to keep thumbnails for a contact sheet. Defaults to None: nowhere.

    Raises:
        DataError: One line: no images, unreadable table or key, output made with other settings or not writable.
    """
    options = options or MammogramOptions()
    output = Path(output).resolve()
    places = [Path(path) for path in inputs]
    images = _find(places)
    rows, notes = _read_rows(table, places)
    secret = open_output(output, key)
    names = [_relative(image, places) for image in images]
    given = None if masks is None else GivenMasks(Path(masks))
    drawn = thumbnails is not None
    tasks = [_task(image, name, secret, options, rows, given, drawn) for image, name in zip(images, names, strict=True)]
    if options.rules.intent == "any":
        tasks = _one_of_each_exposure(tasks)
    method = {} if given is None else {"mask_method": "given"}
    settings = {"by": "prepare_mammograms", **options.settings(), **method, "table": rows is not None}
    done = build_dataset(
        output,
        tasks,
        prepare_mammogram,
        settings,
        kind="mammogram",
        title="Mammograms",
        validation_fraction=validation_fraction,
        synthetic="synthetic" in options.rules.accept,
        work=secret.fingerprint([[name, image.stat().st_size] for name, image in zip(names, images, strict=True)]),
        origins=Origins(secret, "film", "file", images),
        shard_size=shard_size or _shard_size(output, len(images)),
        keep=None if thumbnails is None else thumbnails.keep,
        workers=workers,
        scheduler=scheduler,
    )
    return replace(done, notes=notes)


def prepare_mammogram(task: MammogramTask) -> dict[str, np.ndarray | str | int] | str:
    """Make a dataset item of one image, or tell as a string why it cannot be used."""
    if task.unusable:
        return task.unusable
    try:
        found = read_image(task.path, window=task.options.window, rules=task.options.rules)
        check_grey_levels(found.grey_levels)
        pixels, mask, doubts = _breast(found, task)
        drawn = {"thumbnail": thumbnail(pixels, mask)} if task.drawn else {}
        image, mask = standardise(pixels, mask, keep_background=task.options.keep_background)
    except UnusableImage as reason:
        return str(reason)
    except OSError as error:
        return f"cannot be read ({error.strerror or type(error).__name__})"
    except Exception as error:  # one image must not end the run; its text could quote the header
        return f"cannot be decoded ({type(error).__name__})"
    patient, laterality, view, density = task.row or (found.patient, found.laterality, found.view, "")
    item = mammogram_item(
        image,
        mask,
        subject=task.key.pseudonym(patient),
        laterality=read_laterality(laterality),
        view=read_view(view),
        density=read_density(density),
    )
    return {**item, **drawn, "doubtful": doubts}


def _breast(found: MammogramImage, task: MammogramTask) -> tuple[Image, np.ndarray | Outline, list[str]]:
    """Return an image as it hangs, chest wall on the left, its breast, and what is doubtful about them.

    Raises:
        UnusableImage: It shows no breast.
    """
    view = read_view(task.row[2]) if task.row else found.view
    doubts = list(found.doubts)
    if task.mask is not None:
        given, said = read_mask(task.mask, found.grey_levels.shape)
        pixels, mask, _ = orient(*(turned(part, found.turn) for part in (found.grey_levels, given)))
        try:
            return pixels, mask, doubts + said + check_breast(pixels, mask, view)
        except UnusableImage as reason:  # the user's own mask: trusted, but worth a look
            return pixels, mask, [*doubts, *said, str(reason)]
    upright = turned(found.grey_levels, found.turn)
    pixels, mask, _ = orient(upright, find_breast(upright, task.options.mask_method))
    return pixels, mask, doubts + check_breast(pixels, mask, view)


def _find(inputs: Sequence[Path]) -> list[Path]:
    try:
        images = find_images(inputs)
    except FileNotFoundError as error:
        raise DataError(str(error)) from error
    if not images:
        raise DataError(f"{', '.join(map(str, inputs))}: no images here; give DICOM, PNG, PGM, TIFF or JPEG")
    return images


def _relative(image: Path, inputs: Sequence[Path]) -> str:
    """Return an image's path below the input it was found in."""
    for path in inputs:
        if path in image.parents:
            return str(image.relative_to(path))
    return image.name


def _task(
    image: Path,
    name: str,
    key: Key,
    options: MammogramOptions,
    rows: Rows | None,
    given: GivenMasks | None,
    drawn: bool = False,
) -> MammogramTask:
    """Look up the mask and the row of an image, where there are masks and a table."""
    mask = None if given is None else given.of(name)
    row = None if rows is None else rows.get(image.name)
    unusable = ""
    if given is not None and mask is None:
        unusable = "no mask of its name in the folder of masks"
    elif rows is not None and row is None:
        unusable = "has no row in the table of images"
    return MammogramTask(image, key, options, mask, row, unusable, drawn)


def _one_of_each_exposure(tasks: Sequence[MammogramTask]) -> list[MammogramTask]:
    """Set aside the raw images whose processed ones are in the list too."""
    from preprocessing.images.twins import raw_with_processed  # pydicom only where it is needed

    twins = raw_with_processed([task.path for task in tasks])
    reason = "a raw image, FOR PROCESSING, of which the processed one is here too"
    return [replace(task, unusable=task.unusable or reason) if task.path in twins else task for task in tasks]


def _shard_size(output: Path, images: int) -> int:
    """Return how many images a shard holds: as in the dataset that was begun in the folder, if any."""
    try:
        begun = int(json.loads((output / DATASET_FILE).read_text())["work"]["shard_size"])
    except (OSError, ValueError, LookupError, TypeError):  # none there, or one that the writer refuses
        begun = 0
    return begun if begun > 0 else max(SHARD_SIZE, -(-images // 256))


def _read_rows(
    table: str | os.PathLike | None, inputs: Sequence[Path]
) -> tuple[Rows | None, Sequence[tuple[str, str]]]:
    """Read the table of images; None without one. Also (place, note) of words that mean nothing here."""
    if table is None:
        folders = [path if path.is_dir() else path.parent for path in inputs]
        places = [place / TABLE_FILE for path in folders for place in (path, path.parent)]
        table = next((place for place in places if place.is_file()), None)
        if table is None:
            return None, ()
    found: dict[str, Row] = {}
    notes, first = [], {}
    for number, row in enumerate(read_table(table, "--table", ("image", "subject")), start=1):
        if not row["image"] or not row["subject"]:
            raise DataError(f"--table {table}: row {number} lacks its image or its subject; fill it in")
        name = Path(row["image"]).name
        fields = (row["subject"], row.get("laterality", ""), row.get("view", ""), row.get("density", ""))
        if found.setdefault(name, fields) != fields:
            raise DataError(f"--table {table}: rows {first[name]} and {number} for one image differ; leave one of them")
        first.setdefault(name, number)
        for column in unknown_words(row):
            notes.append((f"{table} row {number}", f"unknown word in {column}, taken as unknown; give {KNOWN[column]}"))
    return found, notes
