"""The dataset format: a folder with `dataset.json` and HDF5 shards.

A dataset is of one of a few kinds (`KINDS`). Every kind holds, for each item,

- pixel arrays at one or more levels, named `<pixels>/<level>`: `image/512x256` uint16, where 0…65535 stands for [0, 1],
  `mask/512x256` uint8 in {0, 1}, `image/64` for a square. The `lesion` of a mass is 1 where the lesion is in its
  window; it is unknown where it is 0 everywhere;
- small fields, one value per item: `subject` (a keyed hash), `split`, and what the kind adds. A field with classes
  holds int8 indices into the names in its attribute `classes`; −1 is unknown. `density` of a mammogram is 1 to 4 for
  BI-RADS a to d; 0 is unknown. `low` and `high` of a mass are the original grey levels of a stored 0 and 1: contrast
  is normalised per mass, and this undoes it. `size` is the longest side of a mass in pixels of a mammogram 512 pixels
  high, NaN where unknown; a shard has it only where that of any of its masses is known.

All arrays are contiguous and uncompressed, so that the reader asks HDF5 once, at opening, where each array begins and
then reads single images with `os.pread`. That needs no lock (h5py has one for the whole process), works from many
threads, and leaves nothing mapped: the memory of a reader does not depend on the size of the dataset.

A shard is written next to its final name and renamed when it is whole, so a shard that exists is whole and a rerun can
skip it. Only its `split` is filled in last, when all subjects are known.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from preprocessing.errors import UserError

FORMAT = 1
LEVELS = [(8, 4), (16, 8), (32, 16), (64, 32), (128, 64), (256, 128), (512, 256)]  # height, width
SPLITS = ("train", "validation")
DATASET_FILE = "dataset.json"
REJECTED_FILE = "rejected.csv"
DOUBTFUL_FILE = "doubtful.csv"
LESIONS_FILE = "lesions.json"
WORK_FILE = "work.jsonl"
PREVIOUS = ".previous"  # what an update has set aside
BELONGING = (REJECTED_FILE, DOUBTFUL_FILE, LESIONS_FILE, WORK_FILE)
WHITE = 65535  # the stored value that stands for 1
DRAWN_OR_GENERATED = ("make_phantoms", "generate_mammograms", "generate_masses")  # commands whose images show nobody

Level = tuple[int, int]
Item = Mapping[str, np.ndarray | str | int | float]


class DataError(UserError):
    """A dataset that cannot be read or written; its text is one line that says what to do."""


@dataclass(frozen=True)
class Kind:
    """What one item of a kind of dataset holds: names with their NumPy types on disk."""

    pixels: Mapping[str, str]
    fields: Mapping[str, str]


KINDS = {
    "mammogram": Kind(
        pixels={"image": "<u2", "mask": "|u1"},
        fields={"subject": "S16", "laterality": "S1", "view": "S4", "density": "|i1", "split": "|i1"},
    ),
    "mass": Kind(
        pixels={"image": "<u2", "lesion": "|u1"},
        fields={
            **{"subject": "S16", "shape": "|i1", "margin": "|i1", "low": "<f4", "high": "<f4", "split": "|i1"},
            "size": "<f4",
        },
    ),
}
UNKNOWN = {"density": 0, "size": float("nan")}  # what an item without the field gets; of every other int8 field −1
ADDED = ("density", "size")  # fields that a shard may lack: there every item is unknown
SPARSE = ("size",)  # of these, fields that are not written where every item is unknown


def array_name(pixels: str, level: Level) -> str:
    """Name a pixel array in a shard: `image/512x256`, or `image/64` for a square."""
    height, width = level
    return f"{pixels}/{height}" if height == width else f"{pixels}/{height}x{width}"


def pixel_arrays(kind: str, levels: Iterable[Level]) -> dict[str, tuple[Level, str]]:
    """Return the level and the type of each pixel array of a shard, by its name."""
    pixels = KINDS[kind].pixels.items()
    return {array_name(name, level): (level, dtype) for name, dtype in pixels for level in levels}


def as_stored(image: np.ndarray) -> np.ndarray:
    """Convert an image to the values that are stored.

    Args:
        image: float, any shape; values outside [0, 1] are clipped.

    Returns:
        uint16 of the same shape, 0…65535, rounded.
    """
    return np.round(np.clip(image, 0, 1) * WHITE).astype(np.uint16)


def shows_patients(meta: Mapping[str, Any]) -> bool:
    """Tell whether images may show patients, so that a page with them has to say so.

    `synthetic` does not say it: it is true of inserted lesions in mammograms of patients, and of all images that were
    prepared with `--accept synthetic`.

    Args:
        meta: Of their dataset.
    """
    made = meta["made"]
    if made.get("by") == "insert_lesions":
        return bool(made.get("shows_patients", True))
    return made.get("by") not in DRAWN_OR_GENERATED


def sha256(path: Path) -> str:
    """Compute the SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
