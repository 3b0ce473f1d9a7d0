"""Where the lesions of a dataset of mammograms are: the file `lesions.json` next to its shards.

`lesions.json` names the dataset that it belongs to by its fingerprint, holds a checksum of its own content, and lists

- `item`: the mammogram's index in the dataset;
- `box`: x, y, width, height in pixels of the finest level, the origin at the outer corner of the top left pixel;
- `outline`: a polygon of [x, y] in the same pixels, or null where it is unknown;
- `shape`, `margin`: words of BI-RADS, empty where unknown;
- `synthetic`: whether the lesion was inserted.

Lesions whose box lies outside the image are left out; an item without an entry has no known lesion.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from preprocessing.atomic import write_whole
from preprocessing.counted import there_are
from preprocessing.errors import system_errors_as
from preprocessing.json_file import read_json
from preprocessing.shards import DataError, Dataset
from preprocessing.shards.format import LESIONS_FILE

FORMAT = 1

Box = tuple[float, float, float, float]  # x, y, width, height


@dataclass(frozen=True)
class Annotation:
    """One lesion in one mammogram.

    Attributes:
        item: index of the mammogram in its dataset.
        box: x, y, width, height in pixels, the image's outer corner at 0, 0.
        shape, margin: words of BI-RADS; "" where unknown.
        outline: polygon of (x, y) in pixels; None where unknown.
        synthetic: whether it was inserted.
    """

    item: int
    box: Box
    shape: str = ""
    margin: str = ""
    outline: tuple[tuple[float, float], ...] | None = None
    synthetic: bool = False

    @property
    def centre(self) -> tuple[float, float]:
        """x, y of the box's centre."""
        x, y, width, height = self.box
        return x + width / 2, y + height / 2

    @property
    def longest_side(self) -> float:
        """The longer of the box's sides, pixels."""
        return max(self.box[2:])

    @property
    def polygon(self) -> tuple[tuple[float, float], ...]:
        """The outline, or the corners of the box where it is unknown."""
        x, y, width, height = self.box
        return self.outline or ((x, y), (x + width, y), (x + width, y + height), (x, y + height))


def write_annotations(dataset: Dataset, annotations: Iterable[Annotation]) -> Path:
    """Write `lesions.json` of a finished dataset; an older one is replaced whole.

    Raises:
        DataError: the folder cannot be written, or a lesion is of no item of the dataset.
    """
    rows = [row_of(one) for one in sorted(annotations, key=lambda one: (one.item, one.box))]
    for row in rows:
        if not 0 <= row["item"] < dataset.count:
            raise DataError(f"{dataset.folder}: a lesion is of item {row['item']}, but {there_are(dataset.count)}")
    content = {
        "format": FORMAT,
        "dataset": dataset.fingerprint,
        "level": list(dataset.levels[-1]),
        "sha256": _digest(rows),
        "lesions": rows,
    }
    path = Path(dataset.folder) / LESIONS_FILE
    with system_errors_as(DataError, path):
        write_whole(path, _text(content))
    return path


def read_annotations(dataset: Dataset) -> list[Annotation]:
    """Read the lesions of a dataset, in the order of its items.

    Raises:
        DataError: there is no `lesions.json`, it is damaged, or it belongs to other images.
    """
    path = Path(dataset.folder) / LESIONS_FILE
    try:
        content = read_json(path)
        rows, expected = content["lesions"], content["sha256"]
    except FileNotFoundError:
        raise DataError(f"{dataset.folder}: no lesions are known ({LESIONS_FILE} is missing)") from None
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(f"{path}: cannot be read; make it again") from error
    if content.get("format") != FORMAT or _digest(rows) != expected:
        raise DataError(f"{path}: is damaged or of another version; make it again")
    if content.get("dataset") != dataset.fingerprint:
        raise DataError(f"{path}: belongs to other images than those of {dataset.folder}; make it again")
    return [annotation(row) for row in rows]


def has_annotations(dataset: Dataset) -> bool:
    """Return whether a dataset has a `lesions.json`."""
    return (Path(dataset.folder) / LESIONS_FILE).exists()


def by_item(annotations: Sequence[Annotation], count: int) -> list[list[Annotation]]:
    """Group annotations by item: a list for each of `count` items."""
    found: list[list[Annotation]] = [[] for _ in range(count)]
    for one in annotations:
        found[one.item].append(one)
    return found


def row_of(one: Annotation) -> dict:
    """Return an annotation as JSON; `annotation` reads it."""
    row = {**vars(one), "box": [round(float(value), 2) for value in one.box]}
    if one.outline is not None:
        row["outline"] = np.round(np.asarray(one.outline, float), 2).tolist()
    return row


def annotation(row: dict) -> Annotation:
    """Make an annotation from its JSON row."""
    outline = row["outline"]
    x, y, width, height = (float(value) for value in row["box"])
    return Annotation(
        int(row["item"]),
        (x, y, width, height),
        str(row["shape"]),
        str(row["margin"]),
        None if outline is None else tuple((float(across), float(down)) for across, down in outline),
        bool(row["synthetic"]),
    )


def _text(content: dict) -> str:
    """JSON with one lesion per line, so that the file can be looked at."""
    rows = ",\n".join(json.dumps(row) for row in content["lesions"])
    head = json.dumps({name: value for name, value in content.items() if name != "lesions"}, indent=1)
    return f'{head[:-2]},\n "lesions": [\n{rows}\n]}}\n'


def _digest(rows: list) -> str:
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()
