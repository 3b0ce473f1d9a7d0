"""Tables that the user gives, as CSV files."""

import csv
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from preprocessing.shards import DataError


def read_table(table: str | os.PathLike, flag: str, columns: Sequence[str]) -> list[dict[str, str]]:
    """Read the rows of a CSV file, blanks around names and values stripped, missing values "".

    Names of columns are read in any case, as lower case; empty rows at the end, which spreadsheets write, are left out.

    Args:
        flag: Of the command line, for error messages.
        columns: Columns that must be there.

    Raises:
        DataError: It cannot be read, has no rows or lacks a column; the message names the flag.
    """
    if not os.path.isfile(table):
        raise DataError(f"{flag} {table}: cannot be read")
    try:
        with open(table, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            names = reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or ()]
            rows = [{k: v.strip() for k, v in row.items() if isinstance(v, str)} for row in reader]
    except UnicodeDecodeError as error:
        raise DataError(f"{flag} {table}: cannot be read as a CSV file; save it as CSV in UTF-8") from error
    except (OSError, csv.Error) as error:
        raise DataError(f"{flag} {table}: cannot be read as a CSV file") from error
    while rows and not any(rows[-1].values()):
        rows.pop()
    twice = sorted({name for name in names if name in columns and names.count(name) > 1})
    if twice:
        raise DataError(f"{flag} {table}: has several columns {', '.join(twice)}; leave one")
    lacking = [column for column in columns if column not in names]
    if lacking:
        hint = " with commas between them" if len(names) == 1 and re.search(r"[;\t]", names[0]) else ""
        raise DataError(f"{flag} {table}: has no column {', '.join(lacking)}; it needs {', '.join(columns)}{hint}")
    if not rows:
        raise DataError(f"{flag} {table}: has no rows")
    return [{name: row.get(name, "") for name in names} for row in rows]


def repeated(rows: Sequence[Mapping[str, str]]) -> dict[int, str]:
    """Say of each row, by its number from 0, that is the same as one before it which that is."""
    first: dict[tuple[str, ...], int] = {}
    found = [first.setdefault(tuple(row.values()), number) for number, row in enumerate(rows)]
    return {number: f"the same as row {one + 1}" for number, one in enumerate(found) if one != number}


def is_below(path: Path, folder: Path) -> bool:
    """Tell whether a path that a table names stays in its folder, by its text alone; links may lead elsewhere."""
    return Path(os.path.abspath(path)).is_relative_to(os.path.abspath(folder))
