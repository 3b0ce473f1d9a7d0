"""The page of a reader study (Ren et al. 2019, §6.5), and its sealed answer key.

The page (`page.html` with what readers do, `rate.*` or `find.*`) shows the images one at a time, blinded, and needs
nothing but a browser; the answer key is to be kept from the readers. The page holds the pixels of all images as
**one** compressed stream of 8-bit greys of one size, in an order drawn by the system's random numbers, so that no file
name, position, length, bit depth or metadata can give an image away. Each reader sees them in an order of their own.

The key is sealed: the study's name in the page, and in every CSV file, is the hash of the key. A key that was changed
later, or that of another study, does not fit.
"""

import base64
import gzip
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.image_set import EvaluationError
from evaluation.reader_study.key import FORMAT, RATE, REAL, SCORES, seal
from preprocessing.atomic import write_whole
from preprocessing.lock import FolderLock
from preprocessing.version import made_by


def build(
    images: Mapping[str, np.ndarray],
    page: str | os.PathLike,
    key: str | os.PathLike,
    *,
    masks: Mapping[str, Sequence[int]] | None = None,
    title: str = "Reader study",
    of_patients: bool = True,
) -> str:
    """Write the page and the sealed key of a study.

    Args:
        images: method → float (n, height, width) in [0, 1]; "real" must be one of them.
        page: the HTML file.
        key: the JSON file, readable by its owner only; must not lie in the page's folder, nor below it.
        masks: method → number of the mask that each image fills; images of one mask are compared in pairs.
        title: shown to the readers; must not tell what is what.
        of_patients: whether the real images are of patients, which the page then says.

    Returns:
        The study's name.

    Raises:
        EvaluationError: fewer than two methods, no "real", different sizes, no images, or NaN; the key in or below the
            page's folder, or there already.
        LockError: another command writes to the key's folder.
        OSError: a file cannot be written.
    """
    _check_images(images)
    shown = [
        Shown(image, {"method": method, "mask": int(masks[method][row]) if masks and method in masks else None})
        for method, stack in images.items()
        for row, image in enumerate(stack)
    ]
    words = [SCORES[score] for score in sorted(SCORES)]
    return write_study(shown, page, key, task=RATE, words=words, title=title, of_patients=of_patients)


@dataclass(frozen=True, eq=False)
class Shown:
    """An image of a study, float (height, width) in [0, 1], and what the key says of it."""

    image: np.ndarray
    answer: Mapping[str, Any]


def write_study(
    shown: Sequence[Shown],
    page: str | os.PathLike,
    key: str | os.PathLike,
    *,
    task: str,
    words: Sequence[str] | Mapping[str, Sequence[str]],
    title: str,
    of_patients: bool,
) -> str:
    """Write the page and the sealed key of a study with images of one size, in a random order.

    Args:
        task: what readers do, `key.RATE` or `key.FIND`.
        words: of the scores 1 to 5.

    Returns:
        The study's name.

    Raises:
        EvaluationError: the key in or below the page's folder, or there already.
        LockError: another command writes to the key's folder.
        OSError: a file cannot be written.
    """
    page, key = Path(page), Path(key)
    if page.resolve().parent in key.resolve().parents:
        raise EvaluationError(f"--key {key}: lies in the page's folder, which readers get; choose another folder")
    shown = secrets.SystemRandom().sample(shown, len(shown))
    answers = [{"image": number, **one.answer} for number, one in enumerate(shown, 1)]
    sealed = {"format": FORMAT, "task": task, "salt": secrets.token_hex(16), "answers": answers, "made_by": made_by()}
    identity, (height, width) = seal(sealed), shown[0].image.shape
    study = {"id": identity, "title": title, "count": len(shown), "height": height, "width": width}
    study |= {"words": words, "patients": of_patients}
    stream = b"".join(_grey_bytes(one.image) for one in shown)
    parts = {
        "TASK": _part(f"{task}.html"),
        "SCRIPT": _part(f"{task}.js"),
        "STUDY": json.dumps(study).replace("<", "\\u003c"),
        "PIXELS": base64.b64encode(gzip.compress(stream, 9, mtime=0)).decode(),
    }
    text = _part("page.html")
    for name, part in parts.items():
        text = text.replace(f"{{{{{name}}}}}", part)
    for folder in (page.parent, key.parent):
        folder.mkdir(parents=True, exist_ok=True)
    lock = FolderLock(key.parent)  # or two commands would leave the page of one and the key of the other
    try:
        if key.exists():
            raise EvaluationError(f"--key {key}: is there already, and scores may need it; choose another file")
        write_whole(page, text)
        write_whole(key, json.dumps(sealed, indent=1) + "\n", private=True)
    finally:
        lock.release()
    return identity


def _part(name: str) -> str:
    return resources.files("evaluation.reader_study").joinpath(name).read_text(encoding="utf-8").rstrip("\n")


def _check_images(images: Mapping[str, np.ndarray]) -> None:
    if REAL not in images or len(images) < 2:
        raise EvaluationError(f"a study needs {REAL!r} images and those of at least one method, has {list(images)}")
    sizes = {method: np.shape(stack)[1:] for method, stack in images.items()}
    for method, stack in images.items():
        if np.ndim(stack) != 3 or not len(stack):
            raise EvaluationError(f"{method}: holds no images")
        if sizes[method] != sizes[REAL]:
            raise EvaluationError(
                f"{method} has images of {sizes[method][0]}x{sizes[method][1]}, {REAL} of "
                f"{sizes[REAL][0]}x{sizes[REAL][1]}; sizes would give the answer away"
            )
        if not np.isfinite(stack).all():
            raise EvaluationError(f"{method}: an image holds NaN or infinity")


def _grey_bytes(image: np.ndarray) -> bytes:
    """Every image in the same 8 bits, whatever its file had: gaps between greys would tell films from networks."""
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8).tobytes()
