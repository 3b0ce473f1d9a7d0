"""What readers marked in a study with lesions, and which lesions they found **(ours)**."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.image_set import EvaluationError
from evaluation.reader_study.key import NORMAL
from evaluation.reader_study.readings import Line, in_order, read_files

SPARE = 5.0  # pixels beyond a lesion's box that a mark may lie: about 2 mm


@dataclass(frozen=True)
class Mark:
    """A place where a reader sees a lesion: pixels of the image, and scores 1 to 5 (`key.IS_LESION`, `key.IS_REAL`)."""

    x: float
    y: float
    lesion: int
    real: int


@dataclass(frozen=True, eq=False)
class Found:
    """What a reader made of the images and lesions of a study.

    Attributes:
        seen: bool (images,). Images that the reader answered.
        image, inserted: (lesions,). The image that a lesion is in, and whether it was inserted.
        lesion, real: int (lesions,). Scores of the surest mark on a lesion; 0 without one.
        false_image, false_lesion: (marks,). Image and score of each mark on no lesion.
    """

    seen: np.ndarray
    image: np.ndarray
    inserted: np.ndarray
    lesion: np.ndarray
    real: np.ndarray
    false_image: np.ndarray
    false_lesion: np.ndarray


@dataclass(frozen=True, eq=False)
class Marks:
    """What all readers found: `kinds` (images,) of `key.KINDS`, and `found` by reader."""

    kinds: np.ndarray
    found: dict[str, Found]

    @property
    def normal(self) -> np.ndarray:
        """Images without lesions, bool (images,)."""
        return self.kinds == NORMAL


def read_marks(files: Sequence[str | os.PathLike], key: Mapping, *, incomplete: bool = False) -> Marks:
    """Read the CSV files of the readers and compare them with the lesions of the key.

    Args:
        incomplete: accept readers who have not answered every image.

    Raises:
        EvaluationError: as of `readings.read_scores`; a place that is no number, or that is marked twice.
    """
    answers = in_order(key)

    def marks_of(lines: Sequence[Line]) -> tuple[Found, np.ndarray]:
        marks: dict[int, list[Mark]] = {}
        for line in lines:
            of_image = marks.setdefault(line.image - 1, [])
            if any((line.row[name] or "").strip() for name in ("x", "y", "lesion", "real")):
                x, y = (_coordinate(line, name) for name in ("x", "y"))
                if any((mark.x, mark.y) == (x, y) for mark in of_image):
                    raise EvaluationError(f"{line.where}: image {line.image} is marked twice at {x:g}, {y:g}")
                of_image.append(Mark(x, y, line.score("lesion"), line.score("real")))
        found = compared(answers, marks)
        return found, found.seen

    found = read_files(files, key, marks_of, incomplete=incomplete)
    return Marks(np.array([answer["kind"] for answer in answers]), found)


def compared(answers: Sequence[Mapping], marks: Mapping[int, Sequence[Mark]]) -> Found:
    """Say of every lesion whether it was found, and of every mark whether it is false.

    A mark belongs to the lesion in whose box, widened by `SPARE`, it lies; in several, to that with the nearest centre.
    Of several marks on a lesion the surest counts, and no other.

    Args:
        answers: of the key, in order.
        marks: by the index of an answer; an image without marks that was seen has an empty list.
    """
    lesions = [(image, lesion) for image, answer in enumerate(answers) for lesion in answer["lesions"]]
    best: dict[int, Mark] = {}
    false = []
    for image, of_image in marks.items():
        boxes = {number: lesion["box"] for number, (where, lesion) in enumerate(lesions) if where == image}
        for mark in of_image:
            hit = [number for number, box in boxes.items() if _lies_in(mark, box)]
            if not hit:
                false.append((image, mark.lesion))
                continue
            nearest = min(hit, key=lambda number: _from_centre(mark, boxes[number]))
            if nearest not in best or mark.lesion > best[nearest].lesion:
                best[nearest] = mark
    surest = [best.get(number, Mark(0, 0, 0, 0)) for number in range(len(lesions))]
    wrong = np.array(false, int).reshape(-1, 2)
    return Found(
        np.isin(np.arange(len(answers)), list(marks)),
        np.array([image for image, _ in lesions], int),
        np.array([lesion["inserted"] for _, lesion in lesions], bool),
        np.array([mark.lesion for mark in surest], int),
        np.array([mark.real for mark in surest], int),
        wrong[:, 0],
        wrong[:, 1],
    )


def _coordinate(line: Line, name: str) -> float:
    try:
        value = float(line.row[name])
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise EvaluationError(f"{line.where}: {name} {line.row[name]!r} is not a number of pixels")
    return value


def _lies_in(mark: Mark, box: Sequence[float]) -> bool:
    x, y, width, height = box
    return -SPARE <= mark.x - x <= width + SPARE and -SPARE <= mark.y - y <= height + SPARE


def _from_centre(mark: Mark, box: Sequence[float]) -> float:
    x, y, width, height = box
    return math.hypot(mark.x - x - width / 2, mark.y - y - height / 2)
