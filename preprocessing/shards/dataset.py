"""The dataset format: a folder with `dataset.json` and HDF5 shards, its writer and its reader.

A dataset is one of a few kinds (`KINDS`). Every kind holds, for each item,

- pixel arrays at one or more levels, named `<pixels>/<level>`: `image/512x256` uint16 with
  0…65535 standing for [0, 1], `mask/512x256` uint8 in {0, 1}, `image/64` for a square. The `lesion`
  of a mass is 1 where the lesion is in its window; it is unknown where it is 0 everywhere;
- small fields, one value an item: `subject` (a keyed hash), `split`, and what the kind adds.
  A field with classes holds int8 indices into the names in its attribute `classes`; −1 is unknown.
  What a stored 0 and 1 of a mass were on its film are `low` and `high`, so that the contrast, normalised
  for each mass, can be undone.

All arrays are contiguous and uncompressed, so that the reader asks HDF5 once, at opening, where
each array begins and then reads single images with `os.pread`. That needs no lock (h5py has one for
the whole process), works from many threads, and leaves nothing mapped: the memory a reader needs
does not depend on the size of the dataset.

A shard is written beside its final name and renamed when whole, so a shard that exists is whole and
a rerun can skip it. Only its `split` is filled in last, when all subjects are known.
"""

import hashlib
import json
import os
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import h5py
import numpy as np

from preprocessing.shards.sparse_file import SparseFile

FORMAT = 1
LEVELS = [(8, 4), (16, 8), (32, 16), (64, 32), (128, 64), (256, 128), (512, 256)]  # height, width
SPLITS = ("train", "validation")
DATASET_FILE = "dataset.json"

Level = tuple[int, int]
Item = Mapping[str, np.ndarray | str | int | float]
Summarise = Callable[[Mapping[str, np.ndarray], Sequence[tuple[int, str]]], Mapping]


class DataError(ValueError):
    """A dataset that cannot be read or written; its text is one line that says what to do."""


@dataclass(frozen=True)
class Kind:
    """What one item of a kind of dataset holds: names with their NumPy types on disk."""

    pixels: Mapping[str, str]
    fields: Mapping[str, str]


KINDS = {
    "mammogram": Kind(
        pixels={"image": "<u2", "mask": "|u1"},
        fields={"subject": "S16", "laterality": "S1", "view": "S4", "split": "|i1"},
    ),
    "mass": Kind(
        pixels={"image": "<u2", "lesion": "|u1"},
        fields={"subject": "S16", "shape": "|i1", "margin": "|i1", "low": "<f4", "high": "<f4", "split": "|i1"},
    ),
}


def array_name(pixels: str, level: Level) -> str:
    """Name of a pixel array in a shard: `image/512x256`, or `image/64` for a square."""
    height, width = level
    return f"{pixels}/{height}" if height == width else f"{pixels}/{height}x{width}"


def split_subjects(subjects: Iterable[str], validation_fraction: float) -> dict[str, str]:
    """Each subject's split, whole patients on one side (design: patients, not images, are split).

    Subjects are keyed hashes, so their sorted order is a random but repeatable one and the first of
    them are validation. With two subjects or more and a fraction above 0, neither side is empty.
    """
    ordered = sorted(set(subjects))
    validation = round(validation_fraction * len(ordered))
    if validation_fraction > 0 and len(ordered) > 1:
        validation = min(max(validation, 1), len(ordered) - 1)
    return {s: SPLITS[1] if i < validation else SPLITS[0] for i, s in enumerate(ordered)}


# ------------------------------------------------------------------------------------- one shard


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
    """Write one shard beside its final name and rename it when it is whole and on disk.

    items: one mapping an item: every pixel array at every level, and the fields (`split` apart).
    work: fingerprint of what the shard was made from, compared before a rerun skips it.
    rejected: (number in the work list, reason) of what could not be used.

    Raises OSError when the disk is full or the folder cannot be written; nothing half-written stays.
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
            values = [item.get(name, -1) if dtype == "|i1" else item[name] for item in items]
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
                file.write(_pixels(name, item[name], level, dtype))


def _pixels(name: str, pixels: np.ndarray, level: Level, dtype: str) -> np.ndarray:
    """One item's pixels as they are stored."""
    pixels = np.ascontiguousarray(pixels, dtype)
    if pixels.shape != tuple(level):
        raise ValueError(f"{name}: an item has pixels of shape {pixels.shape}")
    return pixels


def _write_whole(path: Path, content: bytes) -> None:
    with _whole_file(path) as file:
        file.write(content)


@contextmanager
def _whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file under its final name is whole and on disk: a kill or a power cut leaves all or nothing."""
    beside = path.with_name(path.name + ".part")
    try:
        with open(beside, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _field(name: str, values: list, dtype: str) -> np.ndarray:
    """Values of one field as stored; a text too long is an error, never cut."""
    if not dtype.startswith("S"):
        return np.array(values, dtype)
    texts = [value.encode("ascii") for value in values]
    longest = max(map(len, texts), default=0)
    if longest > np.dtype(dtype).itemsize:
        raise DataError(f"{name}: a value of {longest} characters does not fit ({dtype})")
    return np.array(texts, dtype)


@dataclass(frozen=True)
class _Shard:
    """What opening a shard tells: where its arrays begin (bytes), and its small fields."""

    offsets: Mapping[str, int]
    fields: Mapping[str, np.ndarray]
    rejected: Sequence[tuple[int, str]]
    work: str


def _open_shard(path: Path, kind: str, levels: Sequence[Level]) -> _Shard:
    try:
        with h5py.File(path, "r") as file:
            names = [array_name(p, level) for p in KINDS[kind].pixels for level in levels]
            names.append("split")
            return _Shard(
                offsets={name: file[name].id.get_offset() or 0 for name in names},
                fields={name: file[name][()] for name in KINDS[kind].fields},
                rejected=[tuple(pair) for pair in json.loads(file["rejected"][()].tobytes())],
                work=str(file.attrs["work"]),
            )
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise DataError(f"{path}: not a whole shard; {_REMAKE}") from error


_MAKE_AGAIN = "run the command that made the dataset again, it makes only what is missing"
_REMAKE = f"delete it and {_MAKE_AGAIN}"


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# ----------------------------------------------------------------------------------------- writer


class DatasetWriter:
    """Writes a dataset from a work list of known length, shard by shard, and continues a broken run.

    folder: pathlib.Path. The dataset; created when absent. A dataset that was begun there with the
        same settings is continued; with others it is an error.
    kind: str. A name of `KINDS`.
    count: int. Length of the work list; item n of it goes to shard n // shard_size, or is rejected.
    made: mapping. How the data is made, for `dataset.json`; must hold nothing about a patient.
    work: str. Fingerprint of the work list, for the same check. Defaults to "".
    levels: sequence of (height, width). Defaults to `LEVELS`.
    classes: mapping. Names of the classes of each field that is an index. `split` is added.
    synthetic, generator: whether a network made the images, and the fingerprint of which one.
    shard_size: int. Items a shard. Defaults to 128, or more where that would give 256 shards.

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
        self.levels = [tuple(level) for level in levels]
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
        self._checksums: dict[str, str] = {}
        self._begin()

    @property
    def complete(self) -> bool:
        """Whether the dataset is finished and none of its shards missing or damaged."""
        return bool(_read_json(self.folder)["complete"]) and not self.missing()

    def path(self, shard: int) -> Path:
        """Final name of a shard."""
        return self.folder / f"shard-{shard:05d}-of-{self.shards:05d}.h5"

    def numbers(self, shard: int) -> range:
        """The work list's numbers that a shard holds."""
        return range(shard * self.shard_size, min((shard + 1) * self.shard_size, self.count))

    def missing(self) -> list[tuple[int, range]]:
        """Shards still to be written, each with its numbers in the work list."""
        return [(s, self.numbers(s)) for s in range(self.shards) if not self.path(s).exists()]

    def write(self, shard: int, items: Sequence[Item], rejected: Sequence[tuple[int, str]] = ()) -> None:
        """Write one shard: the items of its numbers in order, less the rejected ones."""
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
        """(number in the work list, reason) of everything rejected in the shards written so far."""
        whole = [self.path(s) for s in range(self.shards) if self.path(s).exists()]
        return [pair for path in whole for pair in self._shard(path).rejected]

    def finish(self, validation_fraction: float = 0.0, summarise: Summarise | None = None) -> "Dataset":
        """Split the subjects, seal the shards with checksums, complete `dataset.json`, open it.

        summarise: function of (fields by name, rejected); its mapping is kept as `summary`.

        A dataset that is complete already is only opened.
        """
        if self.complete:
            return open_dataset(self.folder)
        shards = [self._shard(self.path(s)) for s in range(self.shards)]
        subjects = [s.decode() for shard in shards for s in shard.fields["subject"]]
        splits = split_subjects(subjects, validation_fraction)
        entries = []
        try:
            for number, shard in enumerate(shards):
                path, names = self.path(number), [s.decode() for s in shard.fields["subject"]]
                _set_split(path, shard, [SPLITS.index(splits[name]) for name in names])
                digest = _sha256(path)
                size = path.stat().st_size
                entries.append({"file": path.name, "count": len(names), "bytes": size, "sha256": digest})
            images = {split: sum(splits[s] == split for s in subjects) for split in SPLITS}
            patients = {split: list(splits.values()).count(split) for split in SPLITS}
            counts = {"count": len(subjects), "images": images, "subjects": patients}
            if summarise is not None:
                names = KINDS[self.kind].fields
                fields = {n: np.concatenate([s.fields[n] for s in shards]) for n in names if n != "split"}
                counts["summary"] = summarise(fields, self.rejected())
            _write_json(self.folder, {**self._plan, **counts, "complete": True, "shards": entries})
        except OSError as error:
            raise _unwritable(self.folder, error) from error
        return open_dataset(self.folder)

    def _begin(self) -> None:
        """Create the folder and its plan, or check that what is there was made by the same plan."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not (self.folder / DATASET_FILE).exists():
                if any(path.suffix != ".part" for path in self.folder.iterdir()):
                    raise DataError(
                        f"{self.folder}: the folder is not empty and holds no dataset; choose another output folder"
                    )
                _write_json(self.folder, {**self._plan, "complete": False})
            there = _read_json(self.folder)
            self._compare(there)
            self._drop_damaged(there)
        except OSError as error:
            raise _unwritable(self.folder, error) from error

    def _drop_damaged(self, there: Mapping) -> None:
        """Delete shards of a finished dataset that have changed, so that they are made again."""
        for entry in there.get("shards", ()):
            path = self.folder / entry["file"]
            if path.exists() and _sha256(path) != entry["sha256"]:
                path.unlink()
        if there["complete"] and self.missing():
            _write_json(self.folder, {**self._plan, "complete": False})

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

    def _shard(self, path: Path) -> _Shard:
        shard = _open_shard(path, self.kind, self.levels)
        if shard.work != self._plan["work"]["fingerprint"]:
            raise DataError(f"{path}: this shard belongs to another dataset; {_REMAKE}")
        return shard


def _set_split(path: Path, shard: _Shard, split: list[int]) -> None:
    """Fill in the splits in place: bytes of a contiguous array, so no kill can break the file."""
    with open(path, "rb+") as file:
        os.pwrite(file.fileno(), np.array(split, np.int8).tobytes(), shard.offsets["split"])
        os.fsync(file.fileno())


def _write_json(folder: Path, content: Mapping) -> None:
    _write_whole(folder / DATASET_FILE, (json.dumps(content, indent=1) + "\n").encode())


def _unwritable(folder: Path, error: OSError) -> DataError:
    return DataError(
        f"{folder}: cannot be written ({error.strerror or type(error).__name__}); "
        "what is finished is kept, run the same command again when this is solved"
    )


# ----------------------------------------------------------------------------------------- reader


class Dataset:
    """An opened dataset: its description, its small fields, and its pixels by index.

    kind: str. A name of `KINDS`.
    count: int. Items, over all shards.
    levels: list of (height, width), smallest first.
    meta: dict. The content of `dataset.json`.

    Safe to use from many threads. Fields are kept in memory (some 20 bytes an item), pixels never.
    """

    def __init__(self, folder: str | os.PathLike, *, kind: str | None = None):
        self.folder = Path(folder)
        self.meta = _read_json(self.folder)
        self.kind = self.meta["kind"]
        if kind is not None and self.kind != kind:
            raise DataError(f"{self.folder}: holds {self.kind} data, but {kind} data is needed here")
        if not self.meta["complete"]:
            raise DataError(
                f"{self.folder}: was not finished; run the command that makes it again, it goes on where it stopped"
            )
        self.count: int = self.meta["count"]
        self.levels: list[Level] = [tuple(level) for level in self.meta["levels"]]
        self._open_shards()

    def _open_shards(self) -> None:
        entries = self.meta["shards"]
        paths = [self.folder / entry["file"] for entry in entries]
        for path, entry in zip(paths, entries, strict=True):
            if not path.exists():
                raise DataError(f"{path}: this shard is missing; {_MAKE_AGAIN}")
            if path.stat().st_size != entry["bytes"]:
                raise DataError(f"{path}: this shard's size is wrong; {_REMAKE}")
        shards = [_open_shard(path, self.kind, self.levels) for path in paths]
        self._fields = {
            name: np.concatenate([shard.fields[name] for shard in shards] or [np.empty(0, dtype)])
            for name, dtype in KINDS[self.kind].fields.items()
        }
        self._starts = np.cumsum([0] + [entry["count"] for entry in entries])
        names = [array_name(p, level) for p in KINDS[self.kind].pixels for level in self.levels]
        self._offsets = {n: np.array([s.offsets[n] for s in shards], np.int64) for n in names}
        self._files = np.array([os.open(path, os.O_RDONLY) for path in paths], np.int64)
        weakref.finalize(self, _close, self._files.tolist())

    def verify(self) -> None:
        """Compare every shard with its checksum (about a second a gigabyte).

        Raises DataError, naming the shard, when a byte has changed since it was written.
        """
        for entry in self.meta["shards"]:
            path = self.folder / entry["file"]
            try:
                digest = _sha256(path)
            except OSError as error:
                raise DataError(f"{path}: this shard cannot be read; {_REMAKE}") from error
            if digest != entry["sha256"]:
                raise DataError(f"{path}: this shard is damaged (wrong checksum); {_REMAKE}")

    @property
    def fingerprint(self) -> str:
        """SHA-256 of which images these are, and in which order."""
        return hashlib.sha256("\n".join(entry["sha256"] for entry in self.meta["shards"]).encode()).hexdigest()

    def field(self, name: str) -> np.ndarray:
        """A field of all items: text, numbers, or int8 indices into `classes(name)` (−1: unknown)."""
        values = self._fields[name]
        return np.char.decode(values, "ascii") if values.dtype.kind == "S" else values

    def classes(self, name: str) -> list[str]:
        """Names of the classes of a field."""
        return self.meta["classes"][name]

    def indices(self, split: str | None = None) -> np.ndarray:
        """Indices (int64) of the items of a split ("train", "validation"), or of all (None)."""
        if split is None:
            return np.arange(self.count)
        if split not in SPLITS:
            raise DataError(f"split {split!r}: must be one of {', '.join(SPLITS)}")
        return np.flatnonzero(self._fields["split"] == SPLITS.index(split))

    def read(self, level: Level, indices: Sequence[int] | np.ndarray) -> tuple[np.ndarray, ...]:
        """Pixels of items at one level, in the order asked for.

        Returns one array (n, height, width) for each pixel array of the kind: for mammograms
        (images uint16 in 0…65535, masks uint8 in {0, 1}), for masses (images, lesions) alike.
        """
        return tuple(self.read_array(name, level, indices) for name in KINDS[self.kind].pixels)

    def read_array(self, pixels: str, level: Level, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """One pixel array ("image", "mask" or "lesion") of items at one level, (n, height, width)."""
        if level not in self.levels:
            there = ", ".join(f"{h}x{w}" for h, w in self.levels)
            raise DataError(f"{self.folder}: has no {level[0]}x{level[1]} images, only {there}")
        indices = np.asarray(indices, np.int64)
        if indices.size and not 0 <= indices.min() <= indices.max() < self.count:
            raise IndexError(f"index outside 0…{self.count - 1}")
        out = np.empty((len(indices), *level), KINDS[self.kind].pixels[pixels])
        size = out.dtype.itemsize * level[0] * level[1]
        shard = np.searchsorted(self._starts, indices, side="right") - 1
        position = self._offsets[array_name(pixels, level)][shard]
        position += (indices - self._starts[shard]) * size
        rows = memoryview(out.reshape(-1)).cast("B")
        begins = range(0, size * len(indices), size)
        for begin, file, at in zip(begins, self._files[shard].tolist(), position.tolist()):
            if os.preadv(file, [rows[begin : begin + size]], at) != size:
                raise DataError(f"{self.folder}: a shard was cut while being read; {_REMAKE}")
        return out


def open_dataset(folder: str | os.PathLike, *, kind: str | None = None, verify: bool = False) -> Dataset:
    """Open a dataset; every shard must be there and of its size, and with `verify` unchanged.

    Raises DataError, one line naming the file and what to do.
    """
    dataset = Dataset(folder, kind=kind)
    if verify:
        dataset.verify()
    return dataset


def _read_json(folder: Path) -> dict:
    path = folder / DATASET_FILE
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise DataError(f"{folder}: holds no dataset ({DATASET_FILE} is missing)") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read; {_REMAKE}") from error
    if not isinstance(content, dict) or content.get("kind") not in KINDS:
        raise DataError(f"{path}: is not a dataset description of this library")
    if content.get("format") != FORMAT:
        raise DataError(
            f"{path}: has format {content.get('format')}, this version reads {FORMAT}; make the dataset again"
        )
    return content


def _close(files: Iterable[int]) -> None:
    for file in files:
        os.close(file)
