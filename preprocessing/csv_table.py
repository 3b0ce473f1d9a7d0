"""Tables that the user gives, as CSV files."""

import csv
import os
from collections.abc import Sequence

from preprocessing.shards import DataError


def read_table(table: str | os.PathLike, flag: str, columns: Sequence[str]) -> list[dict[str, str]]:
    """Read the rows of a CSV file, blanks around names and values stripped, missing values "".

    Args:
        table: The file.
        flag: Of the command line, for error messages.
        columns: Columns that must be there.

    Raises:
        DataError: It cannot be read, has no rows or lacks a column; the message names the flag.
    """
    try:
        with open(table, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            names = [name.strip() for name in reader.fieldnames or ()]
            rows = [{(k or "").strip(): v.strip() for k, v in row.items() if isinstance(v, str)} for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{flag} {table}: cannot be read as a CSV file") from error
    lacking = [column for column in columns if column not in names]
    if lacking:
        raise DataError(f"{flag} {table}: has no column {', '.join(lacking)}; it needs {', '.join(columns)}")
    if not rows:
        raise DataError(f"{flag} {table}: has no rows")
    return [{name: row.get(name, "") for name in names} for row in rows]
