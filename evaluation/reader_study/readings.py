"""The scores that readers saved, checked against the answer key."""

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluation.image_set import EvaluationError
from evaluation.reader_study.key import COLUMNS, REAL, SCORES, seal


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


def read_scores(files: Sequence[str | os.PathLike], key: Mapping, *, incomplete: bool = False) -> Readings:
    """Read the CSV files of the readers and check them against the key.

    Args:
        incomplete: accept readers who have not scored every image.

    Raises:
        EvaluationError: no file; a column or a score missing, a score that is not 1 … 5, an image that the study has
            not or that was scored twice, a file of another study, or two files of one reader.
    """
    if not files:
        raise EvaluationError("give at least one CSV file of a reader")
    answers = sorted(key["answers"], key=lambda answer: answer["image"])
    scores: dict[str, np.ndarray] = {}
    for file in files:
        reader, found = _read_reader(Path(file), seal(key), len(answers))
        if reader in scores:
            raise EvaluationError(f"{file}: reader {reader!r} is in another file already; give one file per reader")
        missing = np.flatnonzero(np.isnan(found)) + 1
        if len(missing) and not incomplete:
            some = ", ".join(map(str, missing[:5])) + (" …" if len(missing) > 5 else "")
            raise EvaluationError(
                f"{file}: {len(missing)} of {len(answers)} images have no score (image {some}); "
                "finish the study in the page and save again, or give --incomplete"
            )
        scores[reader] = found
    masks = [-1 if answer["mask"] is None else answer["mask"] for answer in answers]
    return Readings(np.array([answer["method"] for answer in answers]), np.array(masks), scores)


def _read_reader(file: Path, study: str, count: int) -> tuple[str, np.ndarray]:
    try:
        with open(file, newline="", encoding="utf-8-sig") as opened:
            table = csv.DictReader(opened)
            columns, rows = table.fieldnames or (), list(table)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise EvaluationError(f"{file}: cannot be read as a CSV file ({error})") from error
    lacking = [column for column in COLUMNS if column not in columns]
    if lacking:
        raise EvaluationError(f"{file}: has no column {lacking[0]!r}; give a file saved by the study's page")
    if not rows:
        raise EvaluationError(f"{file}: holds no scores")
    found, readers = np.full(count, np.nan), {row["reader"] for row in rows}
    if len(readers) != 1:
        raise EvaluationError(f"{file}: holds scores of {len(readers)} readers; give one file per reader")
    for line, row in enumerate(rows, 2):
        if row["study"] != study:
            raise EvaluationError(f"{file} line {line}: belongs to study {row['study']}, the key to {study}")
        image = _whole(row["image"])
        if image is None or not 1 <= image <= count:
            raise EvaluationError(f"{file} line {line}: image {row['image']!r} is not one of 1 to {count}")
        if not (row["score"] or "").strip():
            continue  # counted as missing, with the others
        value = _whole(row["score"])
        if value not in SCORES:
            raise EvaluationError(f"{file} line {line}: score {row['score']!r} is not one of 1 to 5")
        if np.isfinite(found[image - 1]):
            raise EvaluationError(f"{file} line {line}: image {image} is scored twice")
        found[image - 1] = value
    return readers.pop(), found


def _whole(text: str | None) -> int | None:
    try:
        return int(text or "")
    except ValueError:
        return None
