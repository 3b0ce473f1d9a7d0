"""What the page, the answer key and the score files of a reader study have in common."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from evaluation.image_set import EvaluationError
from preprocessing.errors import why
from preprocessing.json_file import read_json

REAL = "real"
SCORES = {
    5: "definitely realistic",
    4: "realistic",
    3: "neutral",
    2: "fake",
    1: "definitely fake",
}  # Ren et al. 2019, §6.5
FORMAT = 2  # 1 had other words for the scores 2 to 4
RATE, FIND = "rate", "find"  # what readers do: score images, or mark lesions
COLUMNS = {RATE: ("study", "reader", "image", "score"), FIND: ("study", "reader", "image", "x", "y", "lesion", "real")}

# Of a study with lesions (ours)
NORMAL, GENUINE, INSERTED = KINDS = ("normal", "genuine", "inserted")  # images
IS_LESION = {
    5: "surely a lesion",
    4: "probably a lesion",
    3: "possibly a lesion",
    2: "hardly a lesion",
    1: "almost surely none",
}
IS_REAL = {5: "surely real", 4: "probably real", 3: "cannot say", 2: "probably inserted", 1: "surely inserted"}


def seal(key: Mapping) -> str:
    """Return the name of a study: hash of its key, salt included, so that the name tells nothing of the answers."""
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]


def read_key(path: str | os.PathLike) -> dict:
    """Read the answer key.

    Raises:
        EvaluationError: a file that is none, or that of a study with the former words.
    """
    try:
        key = read_json(Path(path))
        if key["format"] == 1:
            raise EvaluationError(
                f"--key {path}: is of a study with other words for the scores, which cannot be compared; build it anew"
            )
        if key["format"] != FORMAT or not all(map(_IS_ANSWER[task_of(key)], key["answers"])):
            raise ValueError
    except OSError as error:
        raise EvaluationError(f"--key {path}: cannot be read ({why(error)})") from error
    except EvaluationError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise EvaluationError(f"--key {path}: is not the answer key of a reader study") from error
    return key


def task_of(key: Mapping) -> str:
    """Return what readers do in a study; keys of earlier versions, of scores all, do not say."""
    return key.get("task", RATE)


def _is_rated(answer: dict) -> bool:
    mask = answer["mask"]
    return isinstance(answer["image"], int) and isinstance(answer["method"], str) and isinstance(mask, int | None)


def _is_searched(answer: dict) -> bool:
    def is_lesion(lesion: dict) -> bool:
        box, inserted = lesion["box"], lesion["inserted"]
        return isinstance(inserted, bool) and len(box) == 4 and all(isinstance(value, int | float) for value in box)

    return isinstance(answer["image"], int) and answer["kind"] in KINDS and all(map(is_lesion, answer["lesions"]))


_IS_ANSWER = {RATE: _is_rated, FIND: _is_searched}
