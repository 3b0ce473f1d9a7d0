"""Many images of patients into one dataset of mammograms.

What leaves an image is its pixels, a keyed hash of the patient, laterality, view and density. The key, and the list of
which image became which item, lie **next to** the dataset, not in it, readable by their owner only: `<output>.key` and
`<output>.films.csv`. File names often hold a patient's number, so `rejected.csv`, which is in the dataset, names an
image by its number in that list (from 0, sorted by path), and so does the command.
"""

import filecmp
import os
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from preprocessing.contact_sheet.store import ThumbnailStore
from preprocessing.contact_sheet.thumbnail import thumbnail
from preprocessing.counted import counted
from preprocessing.errors import why
from preprocessing.images.image import MammogramImage, UnusableImage
from preprocessing.images.outline import Outline
from preprocessing.images.read import find_images, read_image
from preprocessing.images.stored_image import Image
from preprocessing.images.table_words import read_density
from preprocessing.images.views import read_laterality, read_view
from preprocessing.json_file import read_json
from preprocessing.mammograms.breast_mask import find_breast
from preprocessing.mammograms.given_masks import given_masks, read_mask
from preprocessing.mammograms.image_table import NO_ROW, Row, Rows, find_table, rows_of
from preprocessing.mammograms.item import mammogram_item
from preprocessing.mammograms.options import MammogramOptions
from preprocessing.mammograms.patients import patient_of, remarks_on, unique_names
from preprocessing.mammograms.plausibility import check_breast, check_grey_levels
from preprocessing.mammograms.standardise import orient, standardise, turned, turned_mask
from preprocessing.shards import DATASET_FILE, DataError
from preprocessing.shards.convert import Conversion, WorkList, build_dataset
from preprocessing.shards.format import Item
from preprocessing.shards.pseudonyms import Key, Origins, open_output
from preprocessing.shards.sources import Entry, Sources, read_log, size_of

SHARD_SIZE = 32  # images per shard, all in memory until it is written; more where that would give over 256 shards


@dataclass(frozen=True, slots=True)
class MammogramTask:
    """One image to prepare.

    Attributes:
        path: Path. The image's file.
        name: str. Its path below its input, unique among all images.
        mask: Path. File of its given mask, if any.
        row: (subject, laterality, view, density). Its row in the table, if any.
        unusable: str. Why it cannot be used, when that is known before it is read.
    """

    path: Path
    name: str
    mask: Path | None = None
    row: Row | None = None
    unusable: str = ""


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
    overwrite: bool = False,
    thumbnails: ThumbnailStore | None = None,
) -> Conversion:
    """Prepare many mammograms (Ren et al. 2019, section 6.1) and write them as one dataset, its patients split.

    A run that was killed continues after its last whole shard. A finished dataset is left as it is, unless images,
    masks or rows of the table are new or have changed: then these are converted. An image that cannot be used is
    rejected with its reason and the run continues.

    Args:
        inputs: Files, and folders searched with their subfolders.
        output: Folder of the dataset.
        options: How they are prepared. Defaults to `MammogramOptions()`.
        masks: Folder of breast masks, each named as its image (another ending is fine) and of its size; non-zero is
            breast. They are no images, even below an input. Defaults to None: found by the mask method.
        table: CSV file with the columns image, subject, and perhaps laterality, view, density, for images without a
            header; where a row gives no laterality or view, that of the header holds. Defaults to `films.csv` in an
            input folder or next to it, where there is one.
        validation_fraction: Share of the patients that are for validation, in [0, 1).
        key: File with the key of the subjects' hashes; made when absent. Defaults to `<output>.key`.
        shard_size: Images per shard. Defaults to `SHARD_SIZE`, or that of the dataset begun there.
        workers, scheduler, overwrite: As for `build_dataset`.
        thumbnails: Where to keep thumbnails for a contact sheet. Defaults to None: nowhere.

    Raises:
        DataError: One line: no images, unreadable table or key, output made with other settings or not writable.
    """
    options = options or MammogramOptions()
    output, places = Path(output).resolve(), [Path(path) for path in inputs]
    images = find_mammograms(places, output, None if masks is None else Path(masks))
    names = unique_names(images, places)
    table = table or find_table(places)
    rows = None if table is None else rows_of(table, names)
    given = None if masks is None else given_masks(Path(masks), names)
    secret = open_output(output, key)
    tasks = [_task(image, name, given, rows) for image, name in zip(images, names, strict=True)]
    if options.rules.intent == "any":
        tasks = _one_of_each_exposure(tasks)
    method = {} if given is None else {"mask_method": "given"}
    work = WorkList(
        tasks,
        partial(prepare_mammogram, key=secret, options=options, drawn=thumbnails is not None),
        {"by": "prepare_mammograms", **options.settings(), **method, "table": rows is not None},
        kind="mammogram",
        title="Mammograms",
        validation_fraction=validation_fraction,
        fingerprint=secret.fingerprint([[task.name, size_of(task.path)] for task in tasks]),
        origins=Origins(secret, "film", "file", images),
        sources=Sources(secret, [_entry(task) for task in tasks]),
        synthetic="synthetic" in options.rules.accept,
        shard_size=shard_size or _shard_size(output, len(tasks)),
    )
    keep = None if thumbnails is None else thumbnails.keep
    done = build_dataset(output, work, keep=keep, workers=workers, scheduler=scheduler, overwrite=overwrite)
    unused = [f"--table {table}: {counted(rows.unused, 'row')} of no image"] if rows and rows.unused else []
    remarks = [*done.remarks, *unused, *remarks_on(done.dataset)]
    notes = [*(rows.notes if rows else ()), *_copies(output, images, done.reasons)]
    return replace(done, remarks=remarks, notes=notes)


def _task(image: Path, name: str, given: Mapping[str, Path | str] | None, rows: Rows | None) -> MammogramTask:
    """Look up the mask and the row of an image, where there are masks and a table."""
    found = None if given is None else given[name]
    mask, unusable = (None, found) if isinstance(found, str) else (found, "")
    row = None if rows is None else rows.by_name.get(name)
    if rows is not None and row is None:
        unusable = unusable or "has no row in the table of images"
    return MammogramTask(image, name, mask, row, unusable)


def prepare_mammogram(task: MammogramTask, *, key: Key, options: MammogramOptions, drawn: bool) -> Item | str:
    """Make a dataset item of one image, or tell as a string why it cannot be used.

    Args:
        key: Of the patients' hashes.
        options: How the image is prepared.
        drawn: Whether a thumbnail is wanted.
    """
    if task.unusable:
        return task.unusable
    subject, laterality, view, density = task.row or NO_ROW
    try:
        found = read_image(task.path, window=options.window, rules=options.rules)
        patient, told_by = patient_of(found, task.name, options.patient_from, subject)
        check_grey_levels(found.grey_levels)
        pixels, mask, doubts = _breast(found, task, options.mask_method)
        more = {"thumbnail": thumbnail(pixels, mask)} if drawn else {}
        image, mask = standardise(pixels, mask, keep_background=options.keep_background)
    except UnusableImage as reason:
        return str(reason)
    except OSError as error:
        return f"cannot be read ({why(error)})"
    except Exception as error:  # one image must not end the run; its text could quote the header
        return f"cannot be decoded ({type(error).__name__})"
    item = mammogram_item(
        image,
        mask,
        subject=key.pseudonym(patient),
        laterality=read_laterality(laterality or found.laterality),
        view=read_view(view or found.view),
        density=read_density(density),
    )
    return {**item, **more, "doubtful": "\n".join(doubts), "told_by": told_by}


def _breast(
    found: MammogramImage, task: MammogramTask, mask_method: str
) -> tuple[Image, np.ndarray | Outline, list[str]]:
    """Return an image as it hangs, chest wall on the left, its breast, and what is doubtful about them.

    Raises:
        UnusableImage: It shows no breast.
    """
    view = read_view((task.row or NO_ROW)[2] or found.view)
    (pixels, mask, _), said = hang(found, task.mask, mask_method)
    doubts = [*found.doubts, *said]
    try:
        return pixels, mask, doubts + check_breast(pixels, mask, view)
    except UnusableImage as reason:
        if task.mask is None:
            raise
        return pixels, mask, [*doubts, str(reason)]  # the user's own mask: trusted, but worth a look


def hang(
    found: MammogramImage, mask: Path | None, mask_method: str
) -> tuple[tuple[Image, np.ndarray | Outline, bool], list[str]]:
    """Turn an image as it hangs, chest wall on the left, with its breast.

    Args:
        mask: File of its given mask. None: the breast is found by `mask_method`.

    Returns:
        Pixels, breast and whether they were mirrored, as of `orient`; and what is doubtful about a given mask.

    Raises:
        UnusableImage: It shows no breast, or its given mask cannot be used.
    """
    upright = turned(found.grey_levels, found.turn)
    if mask is None:
        return orient(upright, find_breast(upright, mask_method)), []
    given, said = read_mask(mask, found.grey_levels.shape)
    return orient(upright, turned_mask(given, found.turn)), said


def find_mammograms(inputs: Sequence[Path], output: Path, masks: Path | None = None) -> list[Path]:
    """List the images that a dataset is made of, in the order in which its private list numbers them.

    Args:
        output: Absolute path of the dataset's folder; what lies in it is left out.
        masks: Folder of breast masks; they are left out, too.

    Raises:
        DataError: There is none, or the output or the folder of masks is an input or holds one.
    """
    for path in map(_absolute, inputs):
        if output in (path, *path.parents):
            raise DataError(f"--output {output.name}: is or holds --input {path.name}; choose another folder")
    try:
        found = find_images(inputs)
    except FileNotFoundError as error:
        raise DataError(str(error)) from error
    left_out = {output}
    if masks is not None:
        folder = _absolute(masks)
        left_out.add(folder)
        if inside := [path.name for path in map(_absolute, inputs) if folder in (path, *path.parents)]:
            raise DataError(f"--masks {masks}: is or holds --input {inside[0]}; put masks into a folder of their own")
    images = [image for image in found if left_out.isdisjoint(_absolute(image).parents)]
    if not images:
        raise DataError(f"{', '.join(map(str, inputs))}: no images here; give DICOM, PNG, PGM, TIFF or JPEG")
    return images


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))


def _copies(output: Path, images: Sequence[Path], rejected: Container[int]) -> Iterator[tuple[str, str]]:
    """Name the images whose files are the same: they count more than others, and may be in both splits."""
    first: dict[str, int] = {}
    for number, made in sorted(read_log(output).items()):
        if number < len(images) and number not in rejected:
            one = first.setdefault(made.content, number)
            if one != number and filecmp.cmp(images[one], images[number], shallow=False):
                yield f"image {number}", f"the same file as image {one}; leave one out"


def _entry(task: MammogramTask) -> Entry:
    """Say what decides a task's item, for reruns."""
    mask = () if task.mask is None else (task.mask,)
    return Entry(task.name, (task.row, tuple(path.name for path in mask), task.unusable), (task.path, *mask))


def _one_of_each_exposure(tasks: Sequence[MammogramTask]) -> list[MammogramTask]:
    """Set aside the raw images whose processed ones are in the list too."""
    from preprocessing.images.exposures import raw_with_processed  # pydicom only where it is needed

    twins = raw_with_processed([task.path for task in tasks])
    reason = "a raw image, FOR PROCESSING, of which the processed one is here too"
    return [replace(task, unusable=task.unusable or reason) if task.path in twins else task for task in tasks]


def _shard_size(output: Path, images: int) -> int:
    """Return how many images a shard holds: as in the dataset that was begun in the folder, if any."""
    try:
        begun = int(read_json(output / DATASET_FILE)["work"]["shard_size"])
    except (OSError, ValueError, LookupError, TypeError):  # none there, or one that the writer refuses
        begun = 0
    return begun if begun > 0 else max(SHARD_SIZE, -(-images // 256))
