"""One shard as a file: laid out by HDF5 in memory, then written in one piece."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import ArrayLike

from preprocessing.atomic import whole_file
from preprocessing.shards.format import FORMAT, KINDS, SPARSE, UNKNOWN, DataError, Item, Level, pixel_arrays
from preprocessing.shards.reader import Shard
from preprocessing.shards.sparse_file import SparseFile


def write_shard(
    path: Path,
    kind: str,
    levels: Sequence[Level],
    items: Sequence[Item],
    *,
    classes: Mapping[str, Sequence[str]],
    work: str = "",
    rejected: Sequence[tuple[int, str]] = (),
    doubtful: Sequence[tuple[int, str]] = (),
) -> None:
    """Write one shard next to its final name and rename it when it is whole and on disk.

    Args:
        kind: A name of `KINDS`.
        levels: Levels of the pixel arrays, (height, width).
        items: One mapping per item: every pixel array at every level, and the fields (except `split`).
        classes: Names of the classes of fields that are indices.
        work: Fingerprint of the work list, compared before a rerun skips the shard.
        rejected: (number in the work list, reason) of what could not be used.
        doubtful: (number in the work list, reason) of images that were used but should be looked at.

    Raises:
        OSError: The disk is full or the folder cannot be written; nothing half-written stays.
    """
    # HDF5 on a full disk ends in errors without a reason, or in a crash: it lays out the file and writes its small
    # fields in memory, and the pixels go straight from the items to their places.
    layout = SparseFile()
    places = {}
    with h5py.File(layout, "w") as file:
        file.attrs.update({"format": FORMAT, "kind": kind, "work": work})
        for name, (level, dtype) in pixel_arrays(kind, levels).items():
            array = file.create_dataset(name, (len(items), *level), dtype)
            if items:
                array[0, 0, 0] = 0  # HDF5 gives an array its place when it is first written to
                places[array.id.get_offset()] = (name, level, dtype)
        for name, dtype in KINDS[kind].fields.items():
            may_lack = name in UNKNOWN or dtype == "|i1"
            values = [item.get(name, UNKNOWN.get(name, -1)) if may_lack else item[name] for item in items]
            stored = _field(name, values, dtype)
            if name in SPARSE and np.isnan(stored).all():
                continue
            field = file.create_dataset(name, data=stored)
            if name in classes:
                field.attrs["classes"] = list(classes[name])
        for name, reasons in (("rejected", rejected), ("doubtful", doubtful)):
            if reasons or name == "rejected":
                text = json.dumps([[int(n), reason] for n, reason in reasons]).encode()
                file.create_dataset(name, data=np.frombuffer(text, np.uint8))
    with whole_file(path) as partial, open(partial, "wb") as file:
        layout.copy_to(file)
        for place, (name, level, dtype) in places.items():
            file.seek(place)
            for item in items:
                file.write(_pixels(name, item[name], level, dtype).data)


def _pixels(name: str, given: ArrayLike, level: Level, dtype: str) -> np.ndarray:
    """Return one item's pixels as they are stored."""
    pixels = np.ascontiguousarray(given, dtype)
    if pixels.shape != tuple(level):
        raise ValueError(f"{name}: an item has pixels of shape {pixels.shape}")
    return pixels


def _field(name: str, values: list, dtype: str) -> np.ndarray:
    """Return the values of one field as they are stored; a text too long is an error, never cut."""
    if not dtype.startswith("S"):
        return np.array(values, dtype)
    texts = [value.encode("ascii") for value in values]
    longest = max(map(len, texts), default=0)
    if longest > np.dtype(dtype).itemsize:
        raise DataError(f"{name}: a value of {longest} characters does not fit ({dtype})")
    return np.array(texts, dtype)


def set_split(path: Path, shard: Shard, split: list[int]) -> None:
    """Fill in the splits of a shard in place: bytes of a contiguous array, so no kill can break the file."""
    with open(path, "rb+") as file:
        os.pwrite(file.fileno(), np.array(split, np.int8).tobytes(), shard.offsets["split"])
        os.fsync(file.fileno())
