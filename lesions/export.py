"""Writing mammograms with lesions: a dataset, PNG, DICOM, COCO or YOLO, chunk by chunk.

What is known of a chunk's lesions is kept in `lesions.part/` until the end, so that a killed call continues with the
first chunk that is not whole. Every format ends in `manifest.csv`: a row per lesion, what it is and where it comes
from.
"""

import csv
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np

from lesions.annotations import annotation, row_of, write_annotations
from lesions.inserter import Composite, Inserter
from lesions.outline import area, mask_of
from lesions.page import write_page
from preprocessing.atomic import remove_left_over, whole_file, write_whole
from preprocessing.errors import system_errors_as
from preprocessing.images.png import write_image
from preprocessing.images.table_words import read_density
from preprocessing.json_file import parse_json, read_json
from preprocessing.mammograms.item import mammogram_item
from preprocessing.progress import progress
from preprocessing.shards import DataError, DatasetWriter, lock_folder, shows_patients
from preprocessing.version import __version__

CHUNK = 32  # images
FORMATS = ("h5", "png", "dicom", "coco", "yolo")
PARTS = "lesions.part"
MADE_FILE = "insert_lesions.json"
MANIFEST = "manifest.csv"
COCO_FILE = "annotations.json"
MANIFEST_COLUMNS = (
    "image", "x", "y", "width", "height", "shape", "margin", "synthetic_lesion", "mass", "masses", "masses_synthetic",
    "masses_generator", "mammogram", "mammograms", "mammogram_synthetic", "mammogram_generator", "subject",
    "laterality", "view", "density", "split", "method", "seed", "version",
)  # fmt: skip
CATEGORY = "mass"


@dataclass(frozen=True)
class Record:
    """What is kept of an image once it is written."""

    number: int
    item: int
    annotations: Sequence[dict]
    masses: Sequence[str]
    fields: dict[str, str]
    height: int
    width: int

    @classmethod
    def of(cls, one: Composite) -> "Record":
        rows = [row_of(found) for found in one.annotations]
        fields = {name: one.fields[name] for name in ("subject", "laterality", "view", "density", "split")}
        return cls(one.number, one.item, rows, list(one.masses), fields, *one.image.shape)


def write(inserter: Inserter, output: str | os.PathLike, count: int | None, file_format: str) -> int:
    """Write `count` images, None for one per mammogram; see `lesions.generate.insert_lesions`.

    Returns:
        How many lesions were inserted.

    Raises:
        DataError: an unknown format, or the folder cannot be written or holds something else.
    """
    if file_format not in FORMATS:
        raise DataError(f"--format {file_format}: must be one of {', '.join(FORMATS)}")
    folder, count = Path(output), len(inserter.items) if count is None else count
    made = _made(inserter)
    lock = lock_folder(folder)
    try:
        with system_errors_as(DataError, f"--output {folder}"):
            if file_format == "h5":
                inserted = _write_dataset(inserter, folder, count, made)
            else:
                inserted = _write_files(inserter, folder, count, made, file_format)
            shutil.rmtree(folder / PARTS)
    finally:
        lock.release()
    return inserted


def _made(inserter: Inserter) -> dict:
    """How the images are made, for whoever looks and for the check before a call is continued."""
    settings = {name: value for name, value in asdict(inserter.settings).items() if value not in (None, "")}
    patients = any(shows_patients(one.meta) for one in (inserter.mammograms, inserter.masses))
    return {"by": "insert_lesions", **settings, "shows_patients": patients, "version": __version__}


# ---------------------------------------------------------------------------------------- chunks


def _part(folder: Path, chunk: int) -> Path:
    return folder / PARTS / f"{chunk:06d}.json"


def _make(
    inserter: Inserter, numbers: range, part: Path, save: Callable[[Composite], None], tick: Callable[[], None]
) -> None:
    """Make and save the images of a chunk, then keep what is known of their lesions."""
    records = []
    for number in numbers:
        one = inserter.image(number)
        save(one)
        records.append(vars(Record.of(one)))
        tick()
    write_whole(part, json.dumps(records))


def _kept(folder: Path, chunks: int) -> Iterator[Record]:
    """The records of all chunks, in order."""
    for chunk in range(chunks):
        part = _part(folder, chunk)
        try:
            yield from [Record(**row) for row in parse_json(part.read_bytes())]
        except (OSError, ValueError, TypeError) as error:
            raise DataError(f"{part}: is damaged; delete it and run the same command again") from error


# --------------------------------------------------------------------------------------- dataset


def _write_dataset(inserter: Inserter, folder: Path, count: int, made: dict) -> int:
    writer = DatasetWriter(
        folder,
        count=count,
        made=made,
        work=inserter.fingerprint,
        levels=inserter.mammograms.levels,
        synthetic=True,
        generator=inserter.mammograms.meta["generator"],
        shard_size=max(CHUNK, -(-count // 256)),
    )
    (folder / PARTS).mkdir(exist_ok=True)  # after the writer, which begins in an empty folder
    if writer.complete and (folder / MANIFEST).exists():
        return _counted(folder)
    missing = writer.missing()
    items: list[dict] = []  # of a shard
    keep = lambda one: items.append(_item(one))
    with progress("Lesions", sum(len(numbers) for _, numbers in missing)) as tick:
        for shard in range(writer.shards):
            # A part is written before its shard; without it, a shard's lesions are worked out again.
            if (shard, writer.numbers(shard)) in missing or not _part(folder, shard).exists():
                _make(inserter, writer.numbers(shard), _part(folder, shard), keep, tick)
                if (shard, writer.numbers(shard)) in missing:
                    writer.write(shard, items)
                items.clear()
    dataset = writer.finish(splits=inserter.splits)
    write_annotations(dataset, (annotation(row) for one in _kept(folder, writer.shards) for row in one.annotations))
    _write_manifest(inserter, folder, _kept(folder, writer.shards), lambda one: f"item {one.number}")
    return _counted(folder)


def _item(one: Composite) -> dict:
    fields = {name: one.fields[name] for name in ("subject", "laterality", "view")}
    return mammogram_item(one.image, one.mask, **fields, density=read_density(one.fields["density"]))


# ----------------------------------------------------------------------------------------- files


def _write_files(inserter: Inserter, folder: Path, count: int, made: dict, file_format: str) -> int:
    made = {**made, "format": file_format, "count": count, "inputs": inserter.fingerprint}
    begun = _begun(folder, made)
    (folder / PARTS).mkdir(exist_ok=True)  # after the check, which refuses a folder of something else
    remove_left_over(folder, below=True)
    if (folder / MANIFEST).exists():
        return _counted(folder)
    place = _places(file_format)
    save_dicom = partial(_save_dicom, inserter=inserter, begun=begun)
    savers: dict[str, Callable[[Path, Composite], None]] = {"png": _save_png, "dicom": save_dicom}
    save = savers.get(file_format, _save_grey)
    chunks = -(-count // CHUNK)
    missing = [chunk for chunk in range(chunks) if not _part(folder, chunk).exists()]
    with progress("Lesions", sum(min(CHUNK, count - chunk * CHUNK) for chunk in missing)) as tick:
        for chunk in missing:
            numbers = range(chunk * CHUNK, min((chunk + 1) * CHUNK, count))
            _make(inserter, numbers, _part(folder, chunk), lambda one: save(folder / place(one), one), tick)
    if file_format == "coco":
        content = _write_coco(folder, _kept(folder, chunks), made)
        write_page(folder, content, not made["shows_patients"])
    if file_format == "yolo":
        _write_yolo(folder, _kept(folder, chunks))
    every = _kept(folder, chunks)
    _write_manifest(inserter, folder, map(_displayed, every) if file_format == "dicom" else every, place)
    return _counted(folder)


def _places(file_format: str) -> Callable[[Composite | Record], str]:
    """The path of an image in the output."""
    if file_format == "yolo":
        return lambda one: f"images/{one.fields['split']}/{one.number:06d}.png"
    if file_format == "coco":
        return lambda one: f"images/{one.number:06d}.png"
    ending = "dcm" if file_format == "dicom" else "png"
    return lambda one: f"{one.number:06d}.{ending}"


def _begun(folder: Path, made: dict) -> datetime:
    """Record how images are made in a folder, and of DICOM since when; returns since when.

    Raises:
        DataError: the folder was begun with other settings, or holds something else.
    """
    path, now = folder / MADE_FILE, datetime.now(UTC)
    wanted = json.loads(json.dumps(made))
    try:
        there = read_json(path)
        begun = datetime.fromisoformat(there.pop("begun", now.isoformat()))
    except FileNotFoundError:
        if any(not file.name.startswith(".") for file in folder.iterdir()):
            raise DataError(
                f"--output {folder}: is not empty and holds no images of this command; choose another folder"
            ) from None
        there, begun = wanted, now
    except (ValueError, TypeError, AttributeError):
        there, begun = {}, now
    for name in (*wanted, *there):
        if there.get(name) != wanted.get(name):
            raise DataError(
                f"--output {folder}: was made with {name} {there.get(name)}, not {wanted.get(name)}; "
                "choose another folder, or delete this one"
            )
    since = {"begun": begun.isoformat(timespec="seconds")} if made["format"] == "dicom" else {}
    write_whole(path, json.dumps({**wanted, **since}, indent=1) + "\n")
    return begun


def _save_png(path: Path, one: Composite) -> None:
    """16 bits, with the breast in `masks/` and the lesions, numbered from 1 as in the manifest, in `lesions/`."""
    for kind, pixels in (("", one.image), ("masks", one.mask), ("lesions", label_map(one))):
        write_image(path.parent / kind / path.name, pixels)


def label_map(one: Composite) -> np.ndarray:
    """Draw uint8 (height, width): 0, or the number of the lesion, from 1; a lesion without outline fills its box."""
    labels = np.zeros(one.image.shape, np.uint8)
    for number, found in enumerate(one.annotations, start=1):
        labels[mask_of(found.polygon, one.image.shape)] = number
    return labels


def _save_grey(path: Path, one: Composite) -> None:
    """8 bits: readers of COCO and YOLO expect no more."""
    write_image(path, np.round(one.image * 255).astype(np.uint8))


def _displayed(one: Record) -> Record:
    """Place the boxes as in the DICOM image, in which a right breast is mirrored."""
    if one.fields["laterality"] != "R":
        return one
    boxes = [(x, y, width, height) for x, y, width, height in (row["box"] for row in one.annotations)]
    mirrored = [[round(one.width - x - width, 2), y, width, height] for x, y, width, height in boxes]
    return replace(one, annotations=[{**row, "box": box} for row, box in zip(one.annotations, mirrored)])


def _save_dicom(path: Path, one: Composite, inserter: Inserter, begun: datetime) -> None:
    from lesions.dicom import write_dicom

    write_dicom(path, one, inserter, begun)


# ---------------------------------------------------------------------------- COCO, YOLO, manifest


def _write_coco(folder: Path, records: Iterator[Record], made: dict) -> dict:
    """One category; shape, margin and whether a lesion is synthetic are further keys of its annotation."""
    images: list[dict] = []
    annotations: list[dict] = []
    for one in records:
        name = Path(_places("coco")(one)).name
        size = {"height": one.height, "width": one.width}
        images.append({"id": one.number + 1, "file_name": name, **size, **one.fields, "mammogram": one.item})
        for row, mass in zip(one.annotations, one.masses):
            points = annotation(row).polygon
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": one.number + 1,
                    "category_id": 1,
                    "bbox": row["box"],
                    "segmentation": [[value for point in points for value in point]],
                    "area": round(area(points), 2),
                    "iscrowd": 0,
                    **{name: row[name] for name in ("shape", "margin", "synthetic")},
                    "mass": mass,
                }
            )
    categories = [{"id": 1, "name": CATEGORY, "supercategory": "lesion"}]
    content = {"info": {"description": "Mammograms with inserted masses", **made}, "licenses": []}
    content |= {"images": images, "annotations": annotations, "categories": categories}
    write_whole(folder / COCO_FILE, json.dumps(content))
    return content


def _write_yolo(folder: Path, records: Iterator[Record]) -> None:
    """A text file per image with class, centre and sides as fractions of the image, and `data.yaml`."""
    splits = set()
    for one in records:
        lines = []
        for row in one.annotations:
            x, y, width, height = row["box"]
            values = (x + width / 2) / one.width, (y + height / 2) / one.height, width / one.width, height / one.height
            lines.append("0 " + " ".join(f"{value:.6f}" for value in values) + "\n")
        write_whole(folder / "labels" / one.fields["split"] / f"{one.number:06d}.txt", "".join(lines))
        splits.add(one.fields["split"])
    train, val = (split if split in splits else min(splits) for split in ("train", "validation"))
    # Without `path`, the folders are looked for where the file is.
    text = f"train: images/{train}\nval: images/{val}\nnames:\n  0: {CATEGORY}\n"
    if train == val:
        text = (
            "# val has the images of train; insert-lesions --split all makes a validation set of other patients\n"
            + text
        )
    write_whole(folder / "data.yaml", text)


def _write_manifest(
    inserter: Inserter, folder: Path, records: Iterable[Record], place: Callable[[Record], str]
) -> None:
    """A row per lesion, and one with empty fields for an image in which none found room."""
    masses, mammograms = inserter.masses, inserter.mammograms
    generators = [made.meta["generator"] or "" for made in (masses, mammograms)]
    with whole_file(folder / MANIFEST) as beside, open(beside, "w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(MANIFEST_COLUMNS)
        for one in records:
            image = place(one)
            host = (f"item {one.item}", mammograms.fingerprint, mammograms.meta["synthetic"], generators[1])
            common = (*host, *one.fields.values(), inserter.settings.method, inserter.settings.seed, __version__)
            if not one.annotations:
                table.writerow((image, *[""] * 11, *common))
            for row, mass in zip(one.annotations, one.masses):
                origin = (mass, masses.fingerprint, masses.synthetic, generators[0]) if mass else ("", "", "", "")
                labels = row["shape"], row["margin"], row["synthetic"]
                table.writerow((image, *row["box"], *labels, *origin, *common))


def _counted(folder: Path) -> int:
    """Lesions in a manifest that came with a mass; the others were in the mammograms before."""
    with open(folder / MANIFEST, newline="") as file:
        return sum(bool(row["mass"]) for row in csv.DictReader(file))
