"""The scores that readers saved, checked against the answer key."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from evaluation.image_set import EvaluationError
from evaluation.reader_study.key import COLUMNS, REAL, SCORES, seal, task_of
from preprocessing.counted import counted
from preprocessing.csv_table import read_cells
from preprocessing.shards import DataError

Given = TypeVar("Given")


@dataclass(frozen=True)
class Readings:
    """The scores of all readers: `scores[reader]` has one for each image of the key, NaN where none was given."""

    methods: np.ndarray  # str (images,)
    masks: np.ndarray  # int (images,), −1 for none
    scores: dict[str, np.ndarray]

    @property
    def names(self) -> list[str]:
        """The methods, real first."""
        return sorted(set(self.methods.tolist()), key=lambda name: (name != REAL, name))

    @property
    def mean(self) -> np.ndarray:
        """Mean of the readers for each image; NaN where nobody gave a score."""
        table = np.array(list(self.scores.values()))
        given = np.isfinite(table)
        return np.where(given.any(0), np.where(given, table, 0).sum(0) / np.maximum(given.sum(0), 1), np.nan)


@dataclass(frozen=True)
class Line:
    """A line of a reader's file: where it is, for error texts; the image that it is of, from 1; its columns."""

    where: str
    image: int
    row: Mapping[str, str]

    def score(self, column: str) -> int:
        """Return a score.

        Raises:
            EvaluationError: it is not 1 … 5.
        """
        value = _whole(self.row[column])
        if value not in SCORES:
            raise EvaluationError(f"{self.where}: score {self.row[column]!r} is not one of 1 to 5")
        return value


def read_scores(files: Sequence[str | os.PathLike], key: Mapping, *, incomplete: bool = False) -> Readings:
    """Read the CSV files of the readers and check them against the key.

    Args:
        incomplete: accept readers who have not scored every image.

    Raises:
        EvaluationError: no file; a column or a score missing, a score that is not 1 … 5, an image that the study has
            not or that was scored twice, a file of another study, or two files of one reader.
    """
    answers = in_order(key)

    def scores_of(lines: Sequence[Line]) -> tuple[np.ndarray, np.ndarray]:
        found = np.full(len(answers), np.nan)
        for line in lines:
            if not (line.row["score"] or "").strip():
                continue  # counted as missing, with the others
            value = line.score("score")
            if np.isfinite(found[line.image - 1]):
                raise EvaluationError(f"{line.where}: image {line.image} is scored twice")
            found[line.image - 1] = value
        return found, np.isfinite(found)

    scores = read_files(files, key, scores_of, incomplete=incomplete)
    masks = [-1 if answer["mask"] is None else answer["mask"] for answer in answers]
    return Readings(np.array([answer["method"] for answer in answers]), np.array(masks), scores)


def in_order(key: Mapping) -> list[dict]:
    """Return the answers of a key in the order of their images' numbers."""
    return sorted(key["answers"], key=lambda answer: answer["image"])


def read_files(
    files: Sequence[str | os.PathLike],
    key: Mapping,
    parse: Callable[[Sequence[Line]], tuple[Given, np.ndarray]],
    *,
    incomplete: bool,
) -> dict[str, Given]:
    """Read the files of all readers.

    Args:
        parse: from the lines of a file to what the reader gave, and which images have an answer, bool (images,).
        incomplete: accept readers who have not answered every image.

    Returns:
        What was given, by reader.

    Raises:
        EvaluationError: see `read_scores`.
    """
    if not files:
        raise EvaluationError("give at least one CSV file of a reader")
    given: dict[str, Given] = {}
    for file in map(Path, files):
        reader, lines = _read_reader(file, key)
        if reader in given:
            raise EvaluationError(f"{file}: reader {reader!r} is in another file already; give one file per reader")
        given[reader], answered = parse(lines)
        missing = np.flatnonzero(~answered) + 1
        if len(missing) and not incomplete:
            some = ", ".join(map(str, missing[:5])) + (" …" if len(missing) > 5 else "")
            raise EvaluationError(
                f"{file}: no score for {len(missing)} of {counted(len(answered), 'image')} (image {some}); "
                "finish the study in the page and save again, or give --incomplete"
            )
    return given


def _read_reader(file: Path, key: Mapping) -> tuple[str, list[Line]]:
    try:
        cells = read_cells(file, str(file), COLUMNS[task_of(key)], numbers=("x", "y"))
    except DataError as error:
        raise EvaluationError(str(error)) from error
    rows, lacking = cells.rows, [column for column in COLUMNS[task_of(key)] if column not in cells.names]
    if lacking:
        raise EvaluationError(f"{file}: has no column {lacking[0]!r}; give a file saved by the study's page")
    if not rows:
        raise EvaluationError(f"{file}: holds no scores")
    readers, study, count, lines = {row["reader"] for row in rows}, seal(key), len(key["answers"]), []
    if len(readers) != 1:
        raise EvaluationError(f"{file}: holds scores of {len(readers)} readers; give one file per reader")
    for number, row in enumerate(rows, 2):
        where = f"{file} line {number}"
        if row["study"] != study:
            raise EvaluationError(f"{where}: belongs to study {row['study']}, the key to {study}")
        image = _whole(row["image"])
        if image is None or not 1 <= image <= count:
            raise EvaluationError(f"{where}: image {row['image']!r} is not one of 1 to {count}")
        lines.append(Line(where, image, row))
    return readers.pop(), lines


def _whole(text: str | None) -> int | None:
    try:
        return int(text or "")
    except ValueError:
        return None
