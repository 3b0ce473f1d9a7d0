"""What `dataset.json` and a shard may hold: both are checked before anything in them is used.

Files are named by exact rules, so that no description can name a file outside its folder; every number has a range;
pixels lie inside the shard, as plain contiguous arrays.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from preprocessing.errors import why
from preprocessing.json_file import parse_json, read_json
from preprocessing.shards.format import ADDED, DATASET_FILE, FORMAT, KINDS, SPLITS, DataError, Level, pixel_arrays

SHARD_NAME = re.compile(r"shard-(\d{5,9})-of-(\d{5,9})\.h5")
_MOST = 2**40  # items or bytes of one shard
_LONGEST_SIDE = 2**16
_SHA256 = re.compile(r"[0-9a-f]{64}")

MAKE_AGAIN = "run the command that made the dataset again, it makes only what is missing"
REMAKE = f"delete it and {MAKE_AGAIN}"


def shard_name(shard: int, shards: int) -> str:
    """Name a shard of several."""
    return f"shard-{shard:05d}-of-{shards:05d}.h5"


def read_description(folder: Path) -> dict:
    """Read `dataset.json` and check all of it that the software uses.

    Raises:
        DataError: It is missing, damaged, of another format, or holds impossible values.
    """
    path = folder / DATASET_FILE
    if not path.is_file():
        raise DataError(f"{folder}: holds no dataset ({DATASET_FILE} is missing)")
    try:
        content = read_json(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({why(error)})") from error
    except ValueError as error:
        raise DataError(f"{path}: is damaged; {REMAKE}") from error
    if content.get("kind") not in tuple(KINDS):
        raise DataError(f"{path}: is not a dataset description of this library")
    if content.get("format") != FORMAT:
        raise DataError(
            f"{path}: has format {content.get('format')!r:.20}, this version reads {FORMAT}; make the dataset again"
        )
    wrong = _wrong_entry(content)
    if wrong:
        raise DataError(f"{path}: {wrong} is not as this library writes it; {REMAKE}")
    return content


def _wrong_entry(content: Mapping[str, Any]) -> str:
    """Name the first entry of a description that is not as it must be; "" where all are."""
    checks: dict[str, Callable[[Any], bool]] = {
        "levels": lambda levels: _is_list(levels, _is_level) and len(levels) > 0,
        "classes": _are_classes,
        "synthetic": lambda value: isinstance(value, bool),
        "generator": lambda value: value is None or isinstance(value, str),
        "made": lambda value: isinstance(value, dict),
        "work": _is_work,
        "complete": lambda value: isinstance(value, bool),
    }
    if content.get("complete") is True:
        checks |= {
            "count": _is_count,
            "images": _are_split_counts,
            "subjects": _are_split_counts,
            "shards": _are_shards,
        }
    wrong = next((name for name, right in checks.items() if name not in content or not right(content[name])), "")
    if wrong or not content["complete"]:
        return wrong
    total = sum(entry["count"] for entry in content["shards"])
    return "" if content["count"] == total == sum(content["images"].values()) else "count"


def _is_count(value: Any, least: int = 0, most: int = _MOST) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_list(value: Any, right: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and all(map(right, value))


def _is_level(value: Any) -> bool:
    return _is_list(value, lambda side: _is_count(side, 1, _LONGEST_SIDE)) and len(value) == 2


def _are_classes(value: Any) -> bool:
    if not isinstance(value, dict) or value.get("split") != list(SPLITS):
        return False
    return all(_is_list(names, lambda name: isinstance(name, str)) for names in value.values())


def _is_work(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and _is_count(value.get("count"))
        and _is_count(value.get("shard_size"), 1)
        and isinstance(value.get("fingerprint"), str)
    )


def _are_split_counts(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == set(SPLITS) and all(map(_is_count, value.values()))


def _are_shards(value: Any) -> bool:
    return isinstance(value, list) and all(_is_shard(entry, n, len(value)) for n, entry in enumerate(value))


def _is_shard(entry: Any, shard: int, shards: int) -> bool:
    return (
        isinstance(entry, dict)
        and entry.get("file") == shard_name(shard, shards)
        and _is_count(entry.get("count"))
        and _is_count(entry.get("bytes"), 1)
        and isinstance(entry.get("sha256"), str)
        and _SHA256.fullmatch(entry["sha256"]) is not None
    )


# --------------------------------------------------------------------------------------------- shards


class NotAShard(ValueError):
    """A file that is no whole shard of its dataset; its text says what is wrong."""


def check_shard(file: h5py.File, kind: str, levels: Sequence[Level], size: int) -> None:
    """Check an opened shard: every array plain, inside the file, of the right type and shape.

    Args:
        size: Bytes of the file.

    Raises:
        NotAShard: Something is not as it must be.
    """
    arrays: dict[str, tuple[tuple[int, ...], str]] = {**pixel_arrays(kind, levels)}
    fields = {name: dtype for name, dtype in KINDS[kind].fields.items() if name not in ADDED or name in file}
    arrays |= {name: ((), dtype) for name, dtype in fields.items()}
    counts = set()
    for name, (shape, dtype) in arrays.items():
        array = _plain_array(file, name, size)
        if array.dtype != np.dtype(dtype) or array.ndim != 1 + len(shape) or array.shape[1:] != tuple(shape):
            raise NotAShard(f"{name} has another type or shape")
        counts.add(array.shape[0])
    if len(counts) != 1:
        raise NotAShard("its arrays differ in length")
    for name in ("rejected", *({"doubtful"} & {*file})):
        reasons = _plain_array(file, name, size)
        if reasons.dtype != np.uint8 or reasons.ndim != 1:
            raise NotAShard(f"its list of {name} entries has another type")


def _plain_array(file: h5py.File, name: str, size: int) -> h5py.Dataset:
    """Return an array that lies in the file itself, in one piece, as it is."""
    group = file
    for part in name.split("/"):
        if not isinstance(group, h5py.Group) or not isinstance(group.get(part, getlink=True), h5py.HardLink):
            raise NotAShard(f"{name} is missing or is a link")
        group = group[part]
    if not isinstance(group, h5py.Dataset):
        raise NotAShard(f"{name} is not an array")
    plan = group.id.get_create_plist()
    if plan.get_layout() not in (h5py.h5d.CONTIGUOUS, h5py.h5d.COMPACT):
        raise NotAShard(f"{name} is not stored in one piece")
    if plan.get_external_count() or plan.get_nfilters():
        raise NotAShard(f"{name} is stored outside the file or compressed")
    length = int(np.prod(group.shape, dtype=object)) * group.dtype.itemsize
    start = group.id.get_offset() or 0
    if length > size or start + length > size:
        raise NotAShard(f"{name} reaches beyond the end of the file")
    return group


def reasons_of(text: bytes) -> list[tuple[int, str]]:
    """Read the list of rejected, or of doubtful, entries of a shard.

    Raises:
        NotAShard: It is no list of numbers and reasons.
    """
    try:
        pairs = parse_json(text)
    except ValueError:
        raise NotAShard("a list of reasons is damaged") from None
    right = isinstance(pairs, list) and all(
        isinstance(pair, list) and len(pair) == 2 and _is_count(pair[0]) and isinstance(pair[1], str) for pair in pairs
    )
    if not right:
        raise NotAShard("a list of reasons is damaged")
    return [(number, reason) for number, reason in pairs]


def check_fields(fields: Mapping[str, np.ndarray], classes: Mapping[str, Sequence[str]]) -> None:
    """Check the values of a shard's small fields, by name; those that are named in `classes` are indices into them.

    Raises:
        NotAShard: A text is not ASCII, an index beyond its classes, a number not finite, or a size not above 0.
    """
    for name, values in fields.items():
        if values.dtype.kind == "S" and any(not text.isascii() for text in values.tolist()):
            raise NotAShard(f"{name} holds values that are not text")
        known = values[~np.isnan(values)] if name == "size" else values
        if values.dtype.kind == "f" and not np.isfinite(known).all():
            raise NotAShard(f"{name} holds values that are not numbers")
        if name == "size" and not (known > 0).all():
            raise NotAShard("size holds values that are not above 0")
        if name == "density" and not np.isin(values, range(5)).all():
            raise NotAShard("density holds an unknown class")
        if name in classes and values.size and not -1 <= values.min() <= values.max() < len(classes[name]):
            raise NotAShard(f"{name} holds an unknown class")
