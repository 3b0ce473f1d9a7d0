"""Tables that the user gives, as CSV files of spreadsheets and programs."""

import codecs
import csv
import io
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from preprocessing.shards import DataError

SEPARATORS = (",", ";", "\t")
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+(e[+-]?\d+)?", re.IGNORECASE)
_DECIMAL_POINT = re.compile(r"[+-]?\d+\.\d+(e[+-]?\d+)?", re.IGNORECASE)


@dataclass(frozen=True)
class Cells:
    """The cells of a CSV file, without blanks around them.

    Attributes:
        names: Of the columns, in lower case.
        rows: By name of the column, "" where a row ends early; blank lines are left out.
        separator: Between the columns.
    """

    names: Sequence[str]
    rows: Sequence[dict[str, str]]
    separator: str


def read_table(
    table: str | os.PathLike,
    flag: str,
    columns: Sequence[str],
    numbers: Sequence[str] = (),
    known: Sequence[str] | None = None,
) -> list[dict[str, str]]:
    """Read the rows of a CSV file, blanks around names and values stripped, missing values "".

    Names of columns are read in any case, as lower case; empty rows at the end, which spreadsheets write, are left out.

    Args:
        flag: Of the command line, for error messages.
        columns: Columns that must be there.
        numbers: Columns of numbers, in which a table with semicolons may have decimal commas; returned as points.
        known: Columns by which the separator is found, see `read_cells`. Defaults to `columns`.

    Raises:
        DataError: It cannot be read, has no rows or lacks a column; the message names the flag.
    """
    place = f"{flag} {table}"
    cells = read_cells(table, place, columns if known is None else known, numbers)
    names, rows = cells.names, list(cells.rows)
    while rows and not any(rows[-1].values()):
        rows.pop()
    twice = sorted({name for name in names if name in columns and names.count(name) > 1})
    if twice:
        raise DataError(f"{place}: has several columns {', '.join(twice)}; leave one")
    lacking = [column for column in columns if column not in names]
    if lacking:
        hint = " with commas, semicolons or tabs between them" if len(names) == 1 else ""
        raise DataError(f"{place}: has no column {', '.join(lacking)}; it needs {', '.join(columns)}{hint}")
    if not rows:
        raise DataError(f"{place}: has no rows")
    return rows


def read_cells(file: str | os.PathLike, place: str, known: Sequence[str], numbers: Sequence[str] = ()) -> Cells:
    """Read a CSV file in UTF-8, or in UTF-16 with a byte order mark, as Excel writes "Unicode text".

    The separator is the one of `SEPARATORS` under which the header has the known columns. Where none gives all of them,
    it is the one that gives most.

    Args:
        place: The file as error messages name it.
        known: Names of columns, in lower case.
        numbers: See `read_table`.

    Raises:
        DataError: It cannot be read, or can be read in two ways; the message says in which.
    """
    text = _text(file, place)
    try:
        headers = {separator: _header(text, separator) for separator in SEPARATORS}
        separator = _separator(headers, known, place)
        _, *lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator) if text else [[]]
    except csv.Error as error:
        raise DataError(f"{place}: cannot be read as a CSV file") from error
    names, rows = headers[separator], []
    for number, line in enumerate(filter(None, lines), start=1):
        if {*known} <= {*names} and any(map(str.strip, line[len(names) :])):
            raise DataError(
                f"{place}: row {number} has more cells than the header has names; "
                "write cells that contain the separator in quotes"
            )
        rows.append(dict.fromkeys(names, "") | {name: cell.strip() for name, cell in zip(names, line)})
    if separator == ";":
        _write_points(rows, numbers, place)
    return Cells(names, rows, separator)


def _text(file: str | os.PathLike, place: str) -> str:
    if not os.path.isfile(file):
        raise DataError(f"{place}: cannot be read")
    try:
        content = Path(file).read_bytes()
        wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = content.decode("utf-16" if wide else "utf-8-sig")
    except OSError as error:
        raise DataError(f"{place}: cannot be read as a CSV file") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{place}: cannot be read as a CSV file; save it as CSV in UTF-8") from error
    if "\0" in text:  # UTF-16 without a mark, or no text at all
        raise DataError(f"{place}: cannot be read as a CSV file; save it as CSV in UTF-8")
    return text


def _header(text: str, separator: str) -> list[str]:
    return [name.strip().lower() for name in next(csv.reader(io.StringIO(text, newline=""), delimiter=separator), ())]


def _separator(headers: Mapping[str, Sequence[str]], known: Sequence[str], place: str) -> str:
    """Choose the separator whose header has the known columns; the first of several where they give one header."""
    held = {separator: len({*known} & {*names}) for separator, names in headers.items()}
    fitting = [separator for separator in headers if held[separator] == len({*known})]
    if known and len({tuple(headers[separator]) for separator in fitting}) > 1:
        said = " or ".join({",": "commas", ";": "semicolons", "\t": "tabs"}[separator] for separator in fitting)
        raise DataError(f"{place}: its columns may be separated by {said}; use one of them in the header")
    return fitting[0] if fitting else max(held, key=lambda separator: held[separator])


def _write_points(rows: Sequence[dict[str, str]], numbers: Sequence[str], place: str) -> None:
    """Write decimal commas as points; "1.250" next to "1,5" may be a thousand and more, and is refused."""
    cells = [(number, row, name) for number, row in enumerate(rows, start=1) for name in numbers if name in row]
    commas = [cell for cell in cells if _DECIMAL_COMMA.fullmatch(cell[1][cell[2]])]
    points = [cell for cell in cells if _DECIMAL_POINT.fullmatch(cell[1][cell[2]])]
    if commas and points:
        raise DataError(
            f"{place}: has a decimal comma in row {commas[0][0]} and a point in row {points[0][0]}; write one of them"
        )
    for _, row, name in commas:
        row[name] = row[name].replace(",", ".")


def repeated(rows: Sequence[Mapping[str, str]]) -> dict[int, str]:
    """Say of each row, by its number from 0, that is the same as one before it which that is."""
    first: dict[tuple[str, ...], int] = {}
    found = [first.setdefault(tuple(row.values()), number) for number, row in enumerate(rows)]
    return {number: f"the same as row {one + 1}" for number, one in enumerate(found) if one != number}


def is_below(path: Path, folder: Path) -> bool:
    """Tell whether a path that a table names stays in its folder, by its text alone; links may lead elsewhere."""
    return Path(os.path.abspath(path)).is_relative_to(os.path.abspath(folder))
