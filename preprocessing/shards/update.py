"""Update a dataset whose input has changed: what is unchanged is taken over, the rest is converted.

The former dataset is set aside in a hidden folder within its own, by renaming; the new one is built in its place, and
takes items over one by one; then the former one is removed. A run that was killed at any moment is continued, or
undone, by the next one. The result is what a conversion from scratch gives with the same key.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from preprocessing.counted import counted, plural
from preprocessing.errors import system_errors_as
from preprocessing.shards.format import DATASET_FILE, PREVIOUS, DataError, Item, pixel_arrays, sha256
from preprocessing.shards.reader import Shard, open_shard
from preprocessing.shards.schema import read_description, shard_name
from preprocessing.shards.sources import Made, Sources, append_to_log, read_log
from preprocessing.shards.writer import discard, files_of_dataset, is_empty


@dataclass(frozen=True)
class Review:
    """What a rerun finds.

    Attributes:
        reuse: What is taken over from the former dataset; None where there is none.
        remarks: Lines for the user.
    """

    reuse: "Former | None" = None
    remarks: tuple[str, ...] = ()


class Former:
    """The former dataset, from which items are taken over.

    Args:
        folder: Where it was set aside.
        numbers: Number in it of each number in the new work list that is unchanged.
    """

    def __init__(self, folder: Path, numbers: Mapping[int, int]):
        self._folder, self._numbers = folder, numbers
        self._meta, self._log = read_description(folder), read_log(folder)
        self._levels = [tuple(level) for level in self._meta["levels"]]
        self._open = lru_cache(4)(self._opened)

    def __contains__(self, number: int) -> bool:
        """Tell whether the item of a number in the new work list is taken over."""
        return number in self._numbers

    def result(self, number: int) -> tuple[Made, Item | str]:
        """Return what a number in the new work list was made from, and its item or why it was rejected."""
        former = self._numbers[number]
        size = self._meta["work"]["shard_size"]
        path, shard, rejected = self._open(former // size)
        if former in rejected:
            return self._log[former], rejected[former]
        first = former // size * size
        index = former - first - sum(first <= other < former for other in rejected)
        doubts = [reason for other, reason in shard.doubtful if other == former]
        return self._log[former], {**self._item(path, shard, index), "doubtful": "\n".join(doubts)}

    def _opened(self, number: int) -> tuple[Path, Shard, Mapping[int, str]]:
        path = self._folder / _name(self._meta, number)
        shard = open_shard(path, self._meta["kind"], self._levels, self._meta["classes"])
        return path, shard, dict(shard.rejected)

    def _item(self, path: Path, shard: Shard, index: int) -> Item:
        item: dict[str, np.ndarray | str | int | float] = {}
        item |= {name: _plain(values[index]) for name, values in shard.fields.items() if name != "split"}
        with open(path, "rb") as file:
            for name, ((height, width), dtype) in pixel_arrays(self._meta["kind"], self._levels).items():
                size = height * width * np.dtype(dtype).itemsize
                content = os.pread(file.fileno(), size, shard.offsets[name] + index * size)
                item[name] = np.frombuffer(content, dtype).reshape(height, width)
        return item


def _plain(value: np.generic) -> str | int | float:
    return value.decode("ascii") if isinstance(value, bytes) else value.item()


def review(folder: Path, sources: Sources, made: Mapping, work: Mapping, *, noun: str) -> Review:
    """Compare a dataset with its work list as it is now; set it aside where something has changed.

    Args:
        folder: The dataset, locked; it may be absent, or not finished.
        made: How it is to be made.
        work: Its count, shard size and fingerprint.
        noun: What an entry is: "film".

    Raises:
        DataError: Entries are gone; or something cannot be read or moved.
    """
    with system_errors_as(DataError, folder, "cannot be updated"):
        _recover(folder)
        if not (folder / DATASET_FILE).exists():
            return Review()
        there = read_description(folder)
        former = {n: entry for n, entry in read_log(folder).items() if _has(folder, there, n)}
        if there["made"] != made or is_empty(folder, there) and not (folder / PREVIOUS).exists():
            return Review()
        if not former and not (folder / PREVIOUS).exists():
            return _untracked(folder, there, work)
        return _compared(folder, there, former, sources, work, noun)


def _untracked(folder: Path, there: Mapping, work: Mapping) -> Review:
    if there["work"] != work or not there["complete"]:
        return Review()
    remark = "was made by an older version: corrections of the same size are not seen; --overwrite makes it anew"
    return Review(remarks=(f"{folder}: {remark}",))


def _compared(
    folder: Path, there: Mapping, former: Mapping[int, Made], sources: Sources, work: Mapping, noun: str
) -> Review:
    numbers = {entry.name: number for number, entry in former.items()}
    now = {made.name: number for number, made in enumerate(sources.made)}
    gone = len(numbers.keys() - now.keys())
    if gone:
        raise DataError(
            f"{folder}: this dataset was made from other input, and of its {counted(len(numbers), noun)} this one "
            f"lacks {gone}; give all of it, choose another output folder, or give --overwrite to make it again"
        )
    here = {now[name]: number for name, number in numbers.items()}
    same = sources.unchanged({new: former[old] for new, old in here.items()})
    whole = {n for n in range(work["count"]) if _has(folder, there, n)}
    if there["work"] == work and whole <= same:
        _note_touched(folder, there, former, sources)
        return Review(_from_previous(folder, sources))
    counts = {"changed": len(here) - len(same), "new": work["count"] - len(here)}
    if (folder / PREVIOUS).exists():
        discard(folder)  # begun for a list that has changed again: the former dataset is still set aside
        counts = {}
    else:
        _set_aside(folder)
    what = " and ".join(counted(count, f"{kind} {noun}") for kind, count in counts.items() if count)
    what = what or f"changed {plural(noun)}"
    remark = f"{folder}: {what}: only this is converted, the rest is kept"
    return Review(_from_previous(folder, sources), (remark,))


def _note_touched(folder: Path, there: Mapping, former: Mapping[int, Made], sources: Sources) -> None:
    """Note the present times of files that look touched but are not changed, so that they are not read every time."""
    size = there["work"]["shard_size"]
    touched = {number // size for number, made in former.items() if made.stamp != sources.made[number].stamp}
    for shard in sorted(touched):
        numbers = [n for n in range(shard * size, (shard + 1) * size) if n in former]
        if len(numbers) == min(size, there["work"]["count"] - shard * size):
            append_to_log(folder, numbers[0], [replace(former[n], stamp=sources.made[n].stamp) for n in numbers])


def _from_previous(folder: Path, sources: Sources) -> Former | None:
    """Return what can be taken over from the dataset that was set aside, if there is one."""
    previous = folder / PREVIOUS
    if not previous.exists():
        return None
    there, now = read_description(previous), {made.name: number for number, made in enumerate(sources.made)}
    former = {
        now[made.name]: (number, made)
        for number, made in read_log(previous).items()
        if made.name in now and _has(previous, there, number)
    }
    same = sources.unchanged({new: made for new, (_, made) in former.items()})
    damaged = {n for n, entry in enumerate(there.get("shards", ())) if _is_damaged(previous / _name(there, n), entry)}
    size = there["work"]["shard_size"]
    return Former(previous, {new: former[new][0] for new in same if former[new][0] // size not in damaged})


def _is_damaged(shard: Path, entry: Mapping) -> bool:
    return not shard.is_file() or sha256(shard) != entry["sha256"]


def _name(there: Mapping, shard: int) -> str:
    work = there["work"]
    return shard_name(shard, -(-work["count"] // work["shard_size"]))


def _has(folder: Path, there: Mapping, number: int) -> bool:
    path = folder / _name(there, number // there["work"]["shard_size"])
    return number < there["work"]["count"] and path.is_file() and not path.is_symlink()


# ----------------------------------------------------------------------------------- moving files


def _set_aside(folder: Path) -> None:
    """Move a dataset into its hidden folder, its description last."""
    previous = folder / PREVIOUS
    previous.mkdir()
    for path in files_of_dataset(folder):
        os.rename(path, previous / path.name)
    os.rename(folder / DATASET_FILE, previous / DATASET_FILE)


def _recover(folder: Path) -> None:
    """Finish or undo what a killed run left half done."""
    previous = folder / PREVIOUS
    if previous.is_symlink() or (previous.exists() and not previous.is_dir()):
        raise DataError(f"{previous}: is not a folder of this library; remove it")
    if not previous.is_dir():
        return
    begun, aside = ((place / DATASET_FILE).exists() for place in (folder, previous))
    if begun and aside:
        if read_description(folder)["complete"]:
            remove_former(folder)
        return
    for path in files_of_dataset(previous):  # not all was set aside, or nothing was begun in its place: put it back
        if not (folder / path.name).exists():
            os.rename(path, folder / path.name)
    if aside:
        os.rename(previous / DATASET_FILE, folder / DATASET_FILE)
    remove_former(folder)


def remove_former(folder: Path) -> None:
    """Remove the dataset that was set aside, by exact names, its description last."""
    previous = folder / PREVIOUS
    if previous.is_symlink() or not previous.is_dir():
        return
    discard(previous)
    (previous / DATASET_FILE).unlink(missing_ok=True)
    try:
        previous.rmdir()
    except OSError:  # somebody put a file there
        return
