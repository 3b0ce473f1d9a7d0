"""Writing a dataset, shard by shard, so that a run that was killed can continue."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from preprocessing.atomic import is_left_over, remove_left_over, write_whole
from preprocessing.errors import system_errors_as
from preprocessing.lock import LOCK_FILE, FolderLock, LockError
from preprocessing.shards.format import (
    BELONGING,
    DATASET_FILE,
    FORMAT,
    KINDS,
    LEVELS,
    PREVIOUS,
    SPLITS,
    WORK_FILE,
    DataError,
    Item,
    Level,
    sha256,
)
from preprocessing.shards.reader import Dataset, Shard, open_dataset, open_shard
from preprocessing.shards.schema import REMAKE, SHARD_NAME, read_description, shard_name
from preprocessing.shards.shard_file import set_split, write_shard
from preprocessing.shards.sources import Made, append_to_log

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
        remedy: str. What errors advise where the folder holds a dataset that was made otherwise.

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
        remedy: str = "choose another output folder, or delete this one",
    ):
        self._remedy = remedy
        self.folder = Path(folder)
        self.kind = kind
        self.count = count
        self.levels: list[Level] = [(height, width) for height, width in levels]
        self.shard_size = shard_size or default_shard_size(count)
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
        return self.folder / shard_name(shard, self.shards)

    def numbers(self, shard: int) -> range:
        """Return the numbers of the work list that a shard holds."""
        return range(shard * self.shard_size, min((shard + 1) * self.shard_size, self.count))

    def missing(self) -> list[tuple[int, range]]:
        """List the shards still to be written, each with its numbers in the work list."""
        return [(s, self.numbers(s)) for s in range(self.shards) if not self._has(s)]

    def _has(self, shard: int) -> bool:
        path = self.path(shard)
        return path.is_file() and not path.is_symlink()

    def write(
        self,
        shard: int,
        items: Sequence[Item],
        rejected: Sequence[tuple[int, str]] = (),
        doubtful: Sequence[tuple[int, str]] = (),
    ) -> None:
        """Write one shard: the items of its numbers in order, without the rejected ones.

        Raises:
            DataError: The shard cannot be written.
        """
        with writing_to(self.folder):
            self._lock.check()
            write_shard(
                self.path(shard),
                self.kind,
                self.levels,
                items,
                classes=self._plan["classes"],
                work=self._plan["work"]["fingerprint"],
                rejected=rejected,
                doubtful=doubtful,
            )

    def note(self, first: int, made: Sequence[Made]) -> None:
        """Note what the entries of a shard were made from, from a number of the work list on, before it is written.

        Raises:
            DataError: It cannot be written.
        """
        with writing_to(self.folder):
            append_to_log(self.folder, first, made)

    def opened(self) -> list[Shard]:
        """Open the shards written so far: what was rejected, and what is doubtful, is in them.

        Raises:
            DataError: A shard is damaged or of another dataset.
        """
        return [self._shard(self.path(s)) for s in range(self.shards) if self._has(s)]

    def finish(
        self,
        validation_fraction: float = 0.0,
        summarise: Summarise | None = None,
        *,
        shards: Sequence[Shard] | None = None,
        described: Mapping | None = None,
        splits: Mapping[str, str] | None = None,
    ) -> Dataset:
        """Split the subjects, seal the shards with checksums, complete `dataset.json`, open the dataset.

        A dataset that is complete already is only opened. The folder is free for other commands afterwards.

        Args:
            validation_fraction: Share of the subjects that are for validation, in [0, 1).
            summarise: Function of (fields by name, rejected); its mapping is kept as `summary`.
            shards: All of them, where `opened` gave them. Defaults to None: they are opened here.
            described: More entries of `dataset.json`; nothing about a patient.
            splits: The split of each subject, where it is given. Defaults to None: they are split here.

        Raises:
            DataError: A shard is missing, damaged or of another dataset, or the disk is full.
        """
        if self.complete:
            self._lock.release()
            return open_dataset(self.folder)
        if shards is None or len(shards) < self.shards:
            shards = [self._shard(self.path(s)) for s in range(self.shards)]
        subjects = [name for shard in shards for name in _subjects(shard)]
        given = splits if splits is not None else split_subjects(subjects, validation_fraction)
        splits = {name: given[name] for name in subjects}
        with writing_to(self.folder):
            entries = [self._seal(number, shard, splits) for number, shard in enumerate(shards)]
            counts = _counts(subjects, splits)
            if summarise is not None:
                names = KINDS[self.kind].fields
                fields = {n: np.concatenate([s.fields[n] for s in shards]) for n in names if n != "split"}
                counts["summary"] = summarise(fields, [pair for shard in shards for pair in shard.rejected])
            done = {**self._plan, **counts, **(described or {}), "complete": True, "shards": entries}
            self._lock.check()
            _write_description(self.folder, done)
        self._lock.release()
        return open_dataset(self.folder)

    def _seal(self, number: int, shard: Shard, splits: Mapping[str, str]) -> dict:
        """Fill in the splits of a shard; returns its entry in `dataset.json`."""
        path, names = self.path(number), _subjects(shard)
        set_split(path, shard, [SPLITS.index(splits[name]) for name in names])
        digest = sha256(path)
        return {"file": path.name, "count": len(names), "bytes": path.stat().st_size, "sha256": digest}

    def _begin(self) -> None:
        """Create the folder and its plan, or check that what is there was made by the same plan."""
        self._lock = lock_folder(self.folder)
        with writing_to(self.folder):
            begun = (self.folder / DATASET_FILE).exists()
            if not begun and any(_is_foreign(path) for path in self.folder.iterdir()):
                raise DataError(
                    f"{self.folder}: the folder is not empty and holds no dataset; choose another output folder"
                )
            there = read_description(self.folder) if begun else {}
            if not begun or is_empty(self.folder, there):  # not begun, or by mistake: nothing is lost
                discard(self.folder)
                _write_description(self.folder, {**self._plan, "complete": False})
                return
            self._compare(there)
            self._drop_damaged(there)

    def _drop_damaged(self, there: Mapping) -> None:
        """Delete shards of a finished dataset that have changed, so that they are made again."""
        for number, entry in enumerate(there.get("shards", ())):
            path = self.path(number)  # the one name that the entry may have
            if self._has(number) and sha256(path) != entry["sha256"]:
                path.unlink()
        if there["complete"] and self.missing():
            _write_description(self.folder, {**self._plan, "complete": False})

    def _compare(self, there: Mapping) -> None:
        """Raise DataError, naming what differs, unless the dataset there has this plan."""
        if differences := _differences(there["made"], self._plan["made"]):
            raise DataError(f"{self.folder}: this dataset was made {differences}; {self._remedy}")
        if there["work"]["count"] != self.count:
            raise DataError(
                f"{self.folder}: this dataset was made from a list of "
                f"{there['work']['count']}, not of {self.count}; {self._remedy}"
            )
        for name, value in self._plan.items():
            if there.get(name) != value:
                what = "from other input" if name == "work" else f"with another {name}"
                raise DataError(f"{self.folder}: this dataset was made {what}; {self._remedy}")

    def _shard(self, path: Path) -> Shard:
        shard = open_shard(path, self.kind, self.levels, self._plan["classes"])
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


# ------------------------------------------------------------------------------------------ files


def default_shard_size(count: int) -> int:
    """Return how many items a shard holds: 128, or more where that would give over 256 shards."""
    return max(128, -(-count // 256))


def files_of_dataset(folder: Path) -> list[Path]:
    """List what has the name of a dataset's file, without the description."""
    return [path for path in folder.iterdir() if SHARD_NAME.fullmatch(path.name) or path.name in BELONGING]


def discard(folder: Path) -> None:
    """Remove the files of a dataset by their exact names; its description stays until another is written.

    Raises:
        OSError: A file cannot be removed.
    """
    for path in files_of_dataset(folder):
        if path.is_symlink() or not path.is_dir():
            path.unlink(missing_ok=True)


def is_empty(folder: Path, there: Mapping) -> bool:
    """Tell whether a dataset holds nothing that is worth keeping: no image, or not one whole shard."""
    if there["complete"] and there["count"] == 0:
        return True
    return not any(SHARD_NAME.fullmatch(path.name) for path in folder.iterdir())


def _is_foreign(path: Path) -> bool:
    """Tell whether something in a folder without a description is not of a dataset that is being begun."""
    return path.name not in (LOCK_FILE, PREVIOUS, WORK_FILE) and path.suffix != ".part" and not is_left_over(path)


def lock_folder(folder: Path) -> FolderLock:
    """Create the folder of a dataset and take the right to write to it.

    Raises:
        DataError: Another command writes to it, or it cannot be written.
    """
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FolderLock(folder)
        remove_left_over(folder)
    return lock


def _write_description(folder: Path, content: Mapping) -> None:
    write_whole(folder / DATASET_FILE, json.dumps(content, indent=1) + "\n")


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Turn a refusal of the system, or a lock that another command holds, into a `DataError`."""
    cure = "finished work is kept: solve this, then run the same command again"
    try:
        with system_errors_as(DataError, folder, cure=cure):
            yield
    except LockError as error:
        raise DataError(str(error)) from error


def _differences(old: Mapping, new: Mapping) -> str:
    """List the settings that differ, as the command line spells them."""
    found = [_difference(name, old.get(name), new.get(name)) for name in dict.fromkeys((*old, *new))]
    return ", ".join(text for text in found if text)


def _difference(name: str, old: object, new: object) -> str:
    flag = f"--{name.replace('_', '-')}"
    if old == new:
        return ""
    if isinstance(old, bool | None) and isinstance(new, bool | None):
        return f"{'with' if old else 'without'} {flag}, not {'with' if new else 'without'}"
    values = ["its default" if value is None else value for value in (old, new)]
    return f"with {flag} {values[0]}, not {values[1]}"
