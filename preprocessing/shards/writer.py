"""Writing a dataset, shard by shard, so that a run that was killed can continue."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import h5py
import numpy as np
from numpy.typing import ArrayLike

from preprocessing.shards.format import (
    DATASET_FILE,
    FORMAT,
    KINDS,
    LEVELS,
    REMAKE,
    SPLITS,
    UNKNOWN,
    DataError,
    Item,
    Level,
    array_name,
    read_description,
    sha256,
)
from preprocessing.shards.reader import Dataset, Shard, open_dataset, open_shard
from preprocessing.shards.sparse_file import SparseFile

Summarise = Callable[[Mapping[str, np.ndarray], Sequence[tuple[int, str]]], Mapping]


class DatasetWriter:
    """Writes a dataset from a work list of known length, shard by shard, and continues a run that was killed.

    Args:
        folder: The dataset; created when absent. A dataset that was begun there with the same settings is continued;
            with others it is an error.
        kind: str. A name of `KINDS`.
        count: int. Length of the work list; its item n goes to shard n // shard_size, or is rejected.
        made: mapping. How the data is made, for `dataset.json`; must hold nothing about a patient.
        work: str. Fingerprint of the work list, to recognise it. Defaults to "".
        levels: sequence of (height, width). Defaults to `LEVELS`.
        classes: mapping. Names of the classes of each field that is an index. `split` is added.
        synthetic: bool. Whether the images show no patient. Defaults to False.
        generator: str. Fingerprint of the generator that made the images, where one did.
        shard_size: int. Items per shard. Defaults to 128, or more where that would give over 256 shards.

    Raises:
        DataError: The folder cannot be written, holds something else, or a dataset that was made otherwise.

    Example::

        writer = DatasetWriter(folder, "mammogram", count=1000, made={"by": "me"}, synthetic=True)
        for shard, numbers in writer.missing():
            writer.write(shard, [make_item(number) for number in numbers])
        dataset = writer.finish()
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        kind: str = "mammogram",
        *,
        count: int,
        made: Mapping,
        work: str = "",
        levels: Sequence[Level] = tuple(LEVELS),
        classes: Mapping[str, Sequence[str]] | None = None,
        synthetic: bool = False,
        generator: str | None = None,
        shard_size: int | None = None,
    ):
        self.folder = Path(folder)
        self.kind = kind
        self.count = count
        self.levels: list[Level] = [(height, width) for height, width in levels]
        self.shard_size = shard_size or max(128, -(-count // 256))
        self.shards = -(-count // self.shard_size)
        self._plan = {
            "format": FORMAT,
            "kind": kind,
            "levels": [list(level) for level in self.levels],
            "classes": {"split": list(SPLITS), **{k: list(v) for k, v in (classes or {}).items()}},
            "synthetic": synthetic,
            "generator": generator,
            "made": json.loads(json.dumps(made)),
            "work": {"count": count, "shard_size": self.shard_size, "fingerprint": work},
        }
        self._begin()

    @property
    def complete(self) -> bool:
        """Whether the dataset is finished and none of its shards is missing or damaged."""
        return bool(read_description(self.folder)["complete"]) and not self.missing()

    def path(self, shard: int) -> Path:
        """Return the final name of a shard."""
        return self.folder / f"shard-{shard:05d}-of-{self.shards:05d}.h5"

    def numbers(self, shard: int) -> range:
        """Return the numbers of the work list that a shard holds."""
        return range(shard * self.shard_size, min((shard + 1) * self.shard_size, self.count))

    def missing(self) -> list[tuple[int, range]]:
        """List the shards still to be written, each with its numbers in the work list."""
        return [(s, self.numbers(s)) for s in range(self.shards) if not self.path(s).exists()]

    def write(self, shard: int, items: Sequence[Item], rejected: Sequence[tuple[int, str]] = ()) -> None:
        """Write one shard: the items of its numbers in order, without the rejected ones.

        Raises:
            DataError: The shard cannot be written.
        """
        try:
            write_shard(
                self.path(shard),
                self.kind,
                self.levels,
                items,
                classes=self._plan["classes"],
                work=self._plan["work"]["fingerprint"],
                rejected=rejected,
            )
        except OSError as error:
            raise _unwritable(self.folder, error) from error

    def rejected(self) -> list[tuple[int, str]]:
        """List (number in the work list, reason) of everything rejected in the shards written so far."""
        whole = [self.path(s) for s in range(self.shards) if self.path(s).exists()]
        return [pair for path in whole for pair in self._shard(path).rejected]

    def finish(self, validation_fraction: float = 0.0, summarise: Summarise | None = None) -> Dataset:
        """Split the subjects, seal the shards with checksums, complete `dataset.json`, open the dataset.

        A dataset that is complete already is only opened.

        Args:
            validation_fraction: Share of the subjects that are for validation, in [0, 1).
            summarise: Function of (fields by name, rejected); its mapping is kept as `summary`.

        Raises:
            DataError: A shard is missing, damaged or of another dataset, or the disk is full.
        """
        if self.complete:
            return open_dataset(self.folder)
        shards = [self._shard(self.path(s)) for s in range(self.shards)]
        splits = split_subjects((name for shard in shards for name in _subjects(shard)), validation_fraction)
        try:
            entries = [self._seal(number, shard, splits) for number, shard in enumerate(shards)]
            counts = _counts([name for shard in shards for name in _subjects(shard)], splits)
            if summarise is not None:
                names = KINDS[self.kind].fields
                fields = {n: np.concatenate([s.fields[n] for s in shards]) for n in names if n != "split"}
                counts["summary"] = summarise(fields, self.rejected())
            _write_description(self.folder, {**self._plan, **counts, "complete": True, "shards": entries})
        except OSError as error:
            raise _unwritable(self.folder, error) from error
        return open_dataset(self.folder)

    def _seal(self, number: int, shard: Shard, splits: Mapping[str, str]) -> dict:
        """Fill in the splits of a shard; returns its entry in `dataset.json`."""
        path, names = self.path(number), _subjects(shard)
        _set_split(path, shard, [SPLITS.index(splits[name]) for name in names])
        digest = sha256(path)
        return {"file": path.name, "count": len(names), "bytes": path.stat().st_size, "sha256": digest}

    def _begin(self) -> None:
        """Create the folder and its plan, or check that what is there was made by the same plan."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not (self.folder / DATASET_FILE).exists():
                if any(path.suffix != ".part" for path in self.folder.iterdir()):
                    raise DataError(
                        f"{self.folder}: the folder is not empty and holds no dataset; choose another output folder"
                    )
                _write_description(self.folder, {**self._plan, "complete": False})
            there = read_description(self.folder)
            self._compare(there)
            self._drop_damaged(there)
        except OSError as error:
            raise _unwritable(self.folder, error) from error

    def _drop_damaged(self, there: Mapping) -> None:
        """Delete shards of a finished dataset that have changed, so that they are made again."""
        for entry in there.get("shards", ()):
            path = self.folder / entry["file"]
            if path.exists() and sha256(path) != entry["sha256"]:
                path.unlink()
        if there["complete"] and self.missing():
            _write_description(self.folder, {**self._plan, "complete": False})

    def _compare(self, there: Mapping) -> None:
        """Raise DataError, naming what differs, unless the dataset there has this plan."""
        other = "choose another output folder, or delete this one"
        for name in (*self._plan["made"], *there.get("made", {})):
            old, new = there.get("made", {}).get(name), self._plan["made"].get(name)
            if old != new:
                raise DataError(f"{self.folder}: this dataset was made with {name} {old}, not {new}; {other}")
        if there.get("work", {}).get("count") != self.count:
            raise DataError(
                f"{self.folder}: this dataset was made from a list of "
                f"{there.get('work', {}).get('count')}, not of {self.count}; {other}"
            )
        for name, value in self._plan.items():
            if there.get(name) != value:
                what = "from other input" if name == "work" else f"with another {name}"
                raise DataError(f"{self.folder}: this dataset was made {what}; {other}")

    def _shard(self, path: Path) -> Shard:
        shard = open_shard(path, self.kind, self.levels)
        if shard.work != self._plan["work"]["fingerprint"]:
            raise DataError(f"{path}: this shard belongs to another dataset; {REMAKE}")
        return shard


# ----------------------------------------------------------------------------------------- splits


def split_subjects(subjects: Iterable[str], validation_fraction: float) -> dict[str, str]:
    """Assign each subject to a split: patients are split, not images.

    Subjects are keyed hashes, so their sorted order is random but repeatable, and the first of them are for
    validation. With two subjects or more and a fraction above 0, neither split is empty.

    Returns:
        The name of the split by subject.
    """
    ordered = sorted(set(subjects))
    validation = round(validation_fraction * len(ordered))
    if validation_fraction > 0 and len(ordered) > 1:
        validation = min(max(validation, 1), len(ordered) - 1)
    return {s: SPLITS[1] if i < validation else SPLITS[0] for i, s in enumerate(ordered)}


def _subjects(shard: Shard) -> list[str]:
    return [subject.decode() for subject in shard.fields["subject"]]


def _counts(subjects: Sequence[str], splits: Mapping[str, str]) -> dict:
    """Count images and subjects per split; `subjects` has one entry per image."""
    images = {split: sum(splits[s] == split for s in subjects) for split in SPLITS}
    patients = {split: list(splits.values()).count(split) for split in SPLITS}
    return {"count": len(subjects), "images": images, "subjects": patients}


def _set_split(path: Path, shard: Shard, split: list[int]) -> None:
    """Fill in the splits in place: bytes of a contiguous array, so no kill can break the file."""
    with open(path, "rb+") as file:
        os.pwrite(file.fileno(), np.array(split, np.int8).tobytes(), shard.offsets["split"])
        os.fsync(file.fileno())


# ------------------------------------------------------------------------------------------ files


def write_shard(
    path: Path,
    kind: str,
    levels: Sequence[Level],
    items: Sequence[Item],
    *,
    classes: Mapping[str, Sequence[str]],
    work: str = "",
    rejected: Sequence[tuple[int, str]] = (),
) -> None:
    """Write one shard next to its final name and rename it when it is whole and on disk.

    Args:
        path: Final name.
        kind: A name of `KINDS`.
        levels: Levels of the pixel arrays, (height, width).
        items: One mapping per item: every pixel array at every level, and the fields (except `split`).
        classes: Names of the classes of fields that are indices.
        work: Fingerprint of the work list, compared before a rerun skips the shard.
        rejected: (number in the work list, reason) of what could not be used.

    Raises:
        OSError: The disk is full or the folder cannot be written; nothing half-written stays.
    """
    # HDF5 on a full disk ends in errors without a reason, or in a crash: it lays out the file and writes its small
    # fields in memory, and the pixels go straight from the items to their places.
    layout = SparseFile()
    places = {}
    with h5py.File(layout, "w") as file:
        file.attrs.update({"format": FORMAT, "kind": kind, "work": work})
        for pixels, dtype in KINDS[kind].pixels.items():
            for level in levels:
                name = array_name(pixels, level)
                array = file.create_dataset(name, (len(items), *level), dtype)
                if items:
                    array[0, 0, 0] = 0  # HDF5 gives an array its place when it is first written to
                    places[array.id.get_offset()] = (name, level, dtype)
        for name, dtype in KINDS[kind].fields.items():
            values = [item.get(name, UNKNOWN.get(name, -1)) if dtype == "|i1" else item[name] for item in items]
            field = file.create_dataset(name, data=_field(name, values, dtype))
            if name in classes:
                field.attrs["classes"] = list(classes[name])
        text = json.dumps([[int(n), reason] for n, reason in rejected]).encode()
        file.create_dataset("rejected", data=np.frombuffer(text, np.uint8))
    with _whole_file(path) as file:
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


@contextmanager
def _whole_file(path: Path) -> Iterator[BinaryIO]:
    """Write a file that, under its final name, is whole and on disk: a kill or a power cut leaves all or nothing."""
    unfinished = path.with_name(path.name + ".part")
    try:
        with open(unfinished, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _write_description(folder: Path, content: Mapping) -> None:
    with _whole_file(folder / DATASET_FILE) as file:
        file.write((json.dumps(content, indent=1) + "\n").encode())


def _unwritable(folder: Path, error: OSError) -> DataError:
    return DataError(
        f"{folder}: cannot be written ({error.strerror or type(error).__name__}); "
        "what is finished is kept, run the same command again when this is solved"
    )
