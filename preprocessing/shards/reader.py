"""Reading a dataset: its description, its small fields, and its pixels by index."""

import hashlib
import os
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import h5py
import numpy as np

from preprocessing.errors import why
from preprocessing.shards.format import (
    ADDED,
    DATASET_FILE,
    KINDS,
    SPLITS,
    UNKNOWN,
    WHITE,
    DataError,
    Level,
    array_name,
    pixel_arrays,
    sha256,
)
from preprocessing.shards.schema import (
    MAKE_AGAIN,
    REMAKE,
    NotAShard,
    check_fields,
    check_shard,
    read_description,
    reasons_of,
)


@dataclass(frozen=True)
class Shard:
    """What opening a shard tells.

    Attributes:
        offsets: Where each array begins, in bytes, by name.
        fields: The small fields by name, one value per item.
        rejected: (number in the work list, reason) of what could not be used.
        work: Fingerprint of the work list that the shard was made from.
        doubtful: (number in the work list, reason) of images that were used but should be looked at.
    """

    offsets: Mapping[str, int]
    fields: Mapping[str, np.ndarray]
    rejected: Sequence[tuple[int, str]]
    work: str
    doubtful: Sequence[tuple[int, str]] = ()


def open_shard(
    path: Path, kind: str, levels: Sequence[Level], classes: Mapping[str, Sequence[str]] | None = None
) -> Shard:
    """Read everything of a shard but its pixels.

    It is opened as a plain file: HDF5 would lock it, which many network file systems cannot do, and would follow what
    it says about other files.

    Args:
        path: The shard; a link is refused.
        kind, levels: What it must hold.
        classes: Names of the classes of fields that are indices.

    Raises:
        DataError: The file cannot be read, or is not a whole shard of this kind with these levels.
    """
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise DataError(f"{path}: is a link or not a file; put the shard itself there")
    try:
        with open(path, "rb") as plain:
            return _read_shard(plain, kind, levels, classes or {})
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, OverflowError, MemoryError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise DataError(f"{path}: this shard cannot be read ({why(error)})") from error
        reason = f" ({error})" if isinstance(error, NotAShard) else ""
        raise DataError(f"{path}: not a whole shard{reason}; {REMAKE}") from error


def _read_shard(plain: BinaryIO, kind: str, levels: Sequence[Level], classes: Mapping[str, Sequence[str]]) -> Shard:
    with h5py.File(plain, "r") as file:
        check_shard(file, kind, levels, os.fstat(plain.fileno()).st_size)
        names = [*pixel_arrays(kind, levels), "split"]
        shard = Shard(
            offsets={name: file[name].id.get_offset() or 0 for name in names},
            fields={name: _values(file, name, dtype) for name, dtype in KINDS[kind].fields.items()},
            rejected=reasons_of(file["rejected"][()].tobytes()),
            work=str(file.attrs["work"]),
            doubtful=reasons_of(file["doubtful"][()].tobytes()) if "doubtful" in file else (),
        )
    check_fields(shard.fields, classes)
    return shard


def _values(file: h5py.File, name: str, dtype: str) -> np.ndarray:
    """Read a small field; one that the shard lacks is unknown of every item."""
    if name in ADDED and name not in file:
        return np.full(len(file["subject"]), UNKNOWN[name], dtype)
    return file[name][()]


class Dataset:
    """An opened dataset: its description, its small fields, and its pixels by index.

    Safe to use from many threads. Fields are kept in memory (about 20 bytes per item), pixels never.

    Attributes:
        kind: str. A name of `KINDS`.
        count: int. Number of items over all shards.
        levels: list of (height, width), smallest first.
        meta: dict. The content of `dataset.json`.

    Example::

        dataset = open_dataset("data/mine")
        training = dataset.indices("train")
        images = dataset.images((512, 256), training[:8])  # float32 (8, 512, 256) in [0, 1]
        masks = dataset.masks((512, 256), training[:8])  # bool (8, 512, 256)
    """

    def __init__(self, folder: str | os.PathLike, *, kind: str | None = None):
        self.folder = Path(folder)
        self.meta = read_description(self.folder)
        self.kind = self.meta["kind"]
        if kind is not None and self.kind != kind:
            raise DataError(f"{self.folder}: holds {self.kind} data, but {kind} data is needed here")
        if not self.meta["complete"]:
            raise DataError(
                f"{self.folder}: is not complete; run the command that made it again, and it continues where it stopped"
            )
        self.count: int = self.meta["count"]
        self.levels: list[Level] = [tuple(level) for level in self.meta["levels"]]
        self._open_shards()

    def _open_shards(self) -> None:
        entries = self.meta["shards"]
        paths = [self.folder / entry["file"] for entry in entries]
        for path, entry in zip(paths, entries, strict=True):
            if not path.exists():
                raise DataError(f"{path}: this shard is missing; {MAKE_AGAIN}")
            if path.stat().st_size != entry["bytes"]:
                raise DataError(f"{path}: this shard's size is wrong; {REMAKE}")
        shards = [open_shard(path, self.kind, self.levels, self.meta["classes"]) for path in paths]
        for path, entry, shard in zip(paths, entries, shards, strict=True):
            if len(shard.fields["subject"]) != entry["count"]:
                raise DataError(f"{path}: holds another number of items than {DATASET_FILE} says; {REMAKE}")
        self._fields = {
            name: np.concatenate([shard.fields[name] for shard in shards] or [np.empty(0, dtype)])
            for name, dtype in KINDS[self.kind].fields.items()
        }
        self._starts = np.cumsum([0] + [entry["count"] for entry in entries])
        names = pixel_arrays(self.kind, self.levels)
        self._offsets = {n: np.array([s.offsets[n] for s in shards], np.int64) for n in names}
        self._files = np.array([os.open(path, os.O_RDONLY) for path in paths], np.int64)
        for file in self._files.tolist():
            weakref.finalize(self, os.close, file)

    def verify(self) -> None:
        """Compare every shard with its checksum (about one second per gigabyte).

        Raises:
            DataError: A byte has changed since the shard was written; the message names the shard.
        """
        for entry in self.meta["shards"]:
            path = self.folder / entry["file"]
            try:
                digest = sha256(path)
            except OSError as error:
                raise DataError(f"{path}: this shard cannot be read; {REMAKE}") from error
            if digest != entry["sha256"]:
                raise DataError(f"{path}: this shard is damaged (wrong checksum); {REMAKE}")

    @property
    def fingerprint(self) -> str:
        """SHA-256 that identifies these images and their order."""
        return hashlib.sha256("\n".join(entry["sha256"] for entry in self.meta["shards"]).encode()).hexdigest()

    def field(self, name: str) -> np.ndarray:
        """Return a field of all items: text, numbers, or int8 indices into `classes(name)` (−1: unknown)."""
        values = self._fields[name]
        return np.char.decode(values, "ascii") if values.dtype.kind == "S" else values

    def classes(self, name: str) -> list[str]:
        """Return the names of the classes of a field."""
        return self.meta["classes"][name]

    def indices(self, split: str | None = None) -> np.ndarray:
        """Return the indices (int64) of the items of a split ("train", "validation"), or of all (None)."""
        if split is None:
            return np.arange(self.count)
        if split not in SPLITS:
            raise DataError(f"split {split!r}: must be one of {', '.join(SPLITS)}")
        return np.flatnonzero(self._fields["split"] == SPLITS.index(split))

    def images(self, level: Level, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Read images at one level, float32 (n, height, width) in [0, 1], in the order asked for.

        Raises:
            DataError: The level is not in the dataset.
            IndexError: An index is outside 0…count − 1.
        """
        images = self.read_array("image", level, indices).astype(np.float32)
        images /= WHITE
        return images

    def masks(self, level: Level, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Read the breast masks of mammograms at one level, bool (n, height, width); raises as `images`."""
        return self.read_array("mask", level, indices).astype(bool)

    def lesions(self, level: Level, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Read where the lesions of masses are, bool (n, height, width); raises as `images`.

        A lesion whose outline is unknown is False everywhere.
        """
        return self.read_array("lesion", level, indices).astype(bool)

    def read(self, level: Level, indices: Sequence[int] | np.ndarray) -> tuple[np.ndarray, ...]:
        """Read all pixel arrays as they are stored, for those who convert many of them themselves.

        Returns:
            One array (n, height, width) for each pixel array of the kind: for mammograms images uint16 in 0…65535 and
            masks uint8 in {0, 1}, for masses images and lesions alike.
        """
        return tuple(self.read_array(name, level, indices) for name in KINDS[self.kind].pixels)

    def check_level(self, level: Level) -> None:
        """Raise DataError, naming those there are, if there are no images (height, width) of a level."""
        if level not in self.levels:
            there = ", ".join(f"{h}x{w}" for h, w in self.levels)
            raise DataError(f"{self.folder}: has no {level[0]}x{level[1]} images, only {there}")

    def read_array(self, pixels: str, level: Level, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Read one pixel array ("image", "mask" or "lesion") as it is stored, (n, height, width)."""
        if pixels not in KINDS[self.kind].pixels:
            raise DataError(f"{self.folder}: holds {self.kind} data, which has no array {pixels!r}")
        self.check_level(level)
        indices = np.asarray(indices, np.int64)
        if indices.size and not 0 <= indices.min() <= indices.max() < self.count:
            raise IndexError(f"index outside 0…{self.count - 1}")
        out = np.empty((len(indices), *level), KINDS[self.kind].pixels[pixels])
        size = out.dtype.itemsize * level[0] * level[1]
        shard = np.searchsorted(self._starts, indices, side="right") - 1
        position = self._offsets[array_name(pixels, level)][shard]
        position += (indices - self._starts[shard]) * size
        rows = out.reshape(-1).data.cast("B")
        begins = range(0, size * len(indices), size)
        for begin, file, at in zip(begins, self._files[shard].tolist(), position.tolist()):
            if os.preadv(file, [rows[begin : begin + size]], at) != size:
                raise DataError(f"{self.folder}: a shard was truncated while it was read; {REMAKE}")
        return out


def open_dataset(folder: str | os.PathLike, *, kind: str | None = None, verify: bool = False) -> Dataset:
    """Open a dataset; every shard must be there and have its size.

    Args:
        kind: Kind that is needed. Defaults to any.
        verify: Whether to compare every shard with its checksum as well. Defaults to False.

    Raises:
        DataError: One line that names the file and says what to do.
    """
    dataset = Dataset(folder, kind=kind)
    if verify:
        dataset.verify()
    return dataset
