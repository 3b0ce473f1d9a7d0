"""The table that says whose image a file is, of which side and view, for images without a header.

A row names its image by the path below `--input`, by more or less of that path's end, or by the name alone where no two
images share it. A row never serves an image of another folder.
"""

import os
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from preprocessing.csv_table import read_table
from preprocessing.images.table_words import KNOWN, is_blank, unknown_words
from preprocessing.shards import DataError

TABLE_FILE = "films.csv"

Row = tuple[str, str, str, str]  # subject, laterality, view, density
NO_ROW: Row = ("", "", "", "")


@dataclass(frozen=True)
class Rows:
    """What a table says of the images.

    Attributes:
        by_name: Rows by name of the image.
        unused: How many rows are of no image.
        notes: (table and row, note) of words that mean nothing here.
    """

    by_name: Mapping[str, Row]
    unused: int
    notes: Sequence[tuple[str, str]]


def find_table(inputs: Sequence[Path]) -> Path | None:
    """Find `films.csv` in an input folder or next to it."""
    folders = [path if path.is_dir() else path.parent for path in inputs]
    places = [place / TABLE_FILE for path in folders for place in (path, path.parent)]
    return next((place for place in places if place.is_file()), None)


def rows_of(table: str | os.PathLike, names: Sequence[str]) -> Rows:
    """Read which row is of which image.

    Args:
        table: CSV file with the columns image and subject, and perhaps laterality, view and density.
        names: Of the images: their paths below the inputs.

    Raises:
        DataError: The table cannot be read, a row fits several images or is not filled in, or two rows differ.
    """
    by_last_part = by_base_name(names)
    found: dict[str, Row] = {}
    unused, notes = 0, []
    rows = read_table(table, "--table", ("image", "subject"), ("density",))
    for number, row in enumerate(rows, start=1):
        if not row["image"] or is_blank(row["subject"]):
            raise DataError(f"--table {table}: row {number} lacks its image or its subject; fill it in")
        fitting = matches(row["image"], by_last_part)
        if len(fitting) > 1:
            raise DataError(
                f"--table {table}: row {number} fits {len(fitting)} images of one name; "
                "write each image's path below --input"
            )
        if not fitting:
            unused += 1
            continue
        fields = (row["subject"], row.get("laterality", ""), row.get("view", ""), row.get("density", ""))
        if found.setdefault(fitting[0], fields) != fields:
            raise DataError(f"--table {table}: two rows for one image differ, the second is row {number}; leave one")
        for column in unknown_words(row):
            notes.append((f"{table} row {number}", f"unknown word in {column}, taken as unknown; give {KNOWN[column]}"))
    return Rows(found, unused, notes)


def by_base_name(names: Sequence[str]) -> dict[tuple[str, ...], list[str]]:
    """Group paths by their last part, in one spelling."""
    found = defaultdict(list)
    for name in names:
        found[_spelled_alike((Path(name).name,))].append(name)
    return found


def matches(written: str, by_last_part: Mapping[tuple[str, ...], Sequence[str]]) -> list[str]:
    """Find the images that a written path fits: the same path, or one that ends with the other.

    Where there is none, upper and lower case, and both spellings that Unicode has for ä, count as the same.

    Args:
        written: With / or \\ between its parts.
        by_last_part: Paths of the images, from `by_base_name`.
    """
    parts = _parts(written)
    if not parts:
        return []
    candidates = by_last_part.get(_spelled_alike(parts[-1:]), ())
    exact = [name for name in candidates if _parts(name) == parts]
    alike = [name for name in candidates if ends_alike(parts, _parts(name))]
    spelled = _spelled_alike(parts)
    return exact or alike or [name for name in candidates if ends_alike(spelled, _spelled_alike(_parts(name)))]


def _spelled_alike(parts: Sequence[str]) -> tuple[str, ...]:
    return tuple(unicodedata.normalize("NFC", part).casefold() for part in parts)


def _parts(path: str) -> tuple[str, ...]:
    return tuple(part for part in PurePosixPath(path.replace("\\", "/")).parts if part not in ("/", "."))


def ends_alike(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Tell whether one of two paths, given as their parts, is the end of the other."""
    shared = min(len(one), len(other))
    return one[-shared:] == other[-shared:]
