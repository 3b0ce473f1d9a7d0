"""Whose mammogram an image is, and what to tell the user about how that was found out.

Patients are split, not images: that two images are of one woman must come from somewhere, and where it comes from is
printed and recorded.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath

import numpy as np

from preprocessing.counted import counted
from preprocessing.images.image import MammogramImage, UnusableImage, without_ending
from preprocessing.shards import Dataset

# How patients were told from each other, as `dataset.json` records it, and in words.
TOLD_BY = {
    "table": "the table",
    "PatientID": "PatientID",
    "study": "the study, as there is no PatientID",
    "study of a placeholder": "the study, as PatientID is a placeholder",
    "folder": "the folder below --input",
    "name": "the file's name up to the first _",
    "file": "nothing: each file counts as a patient of its own",
}
FEW, MANY = 8, 48  # images of one patient from which on one ID looks as if it stood for several patients

_CURE = "give --table, or --patient-from folder or name"


def patient_of(found: MammogramImage, name: str, source: str, subject: str = "") -> tuple[str, str]:
    """Return the patient of a decoded image, to be hashed, and a name of `TOLD_BY`.

    Args:
        name: Path of the image below its input, unique among all images.
        source: One of `PATIENT_SOURCES`.
        subject: What the table says. Defaults to "", no table.

    Raises:
        UnusableImage: Folders tell patients apart, and the image is in none.
    """
    if subject:
        return subject, "table"
    path = PurePath(name)
    if source == "folder":
        if len(path.parts) < 2:
            raise UnusableImage("lies directly in --input, but --patient-from folder takes a folder per patient")
        return path.parts[0], "folder"
    if source == "name":
        return without_ending(path).name.split("_")[0], "name"
    if found.told_by == "file":
        return str(without_ending(path)), "file"
    return found.patient, found.told_by


def unique_names(images: Sequence[Path], inputs: Sequence[Path]) -> list[str]:
    """Name each image by its path below its input; those that two inputs share by input and path."""
    names = [_below(image, inputs) for image in images]
    counts = Counter(names)
    return [name if counts[name] == 1 else str(image) for image, name in zip(images, names, strict=True)]


def _below(image: Path, inputs: Sequence[Path]) -> str:
    return next((str(image.relative_to(path)) for path in inputs if path in image.parents), image.name)


def remarks_on(dataset: Dataset) -> list[str]:
    """Say how patients were told apart, and warn of what looks wrong, with its cure."""
    told = dataset.meta.get("patients_told_by", {})
    told = told if isinstance(told, Mapping) else {}
    lines = []
    known = [(name, count) for name, count in told.items() if name in TOLD_BY and isinstance(count, int)]
    if known:
        parts = [f"{TOLD_BY[name]} ({counted(count, 'image')})" for name, count in known]
        lines.append(f"patients told apart by {'; '.join(parts)}")
    if any(name == "file" for name, _ in known):
        lines.append(f"warning: images of one patient may be in both splits, as each file counts as a patient; {_CURE}")
    if any(name == "study of a placeholder" for name, _ in known):
        lines.append(
            "warning: PatientID is a placeholder that many images share; the study stands for the patient, and two "
            f"studies of one patient may be in both splits; {_CURE}"
        )
    return lines + _remarks_on_counts(dataset)


def _remarks_on_counts(dataset: Dataset) -> list[str]:
    subjects, counts = np.unique(dataset.field("subject"), return_counts=True)
    lines = []
    if len(subjects) and (counts.max() > MANY or (len(subjects) == 1 and counts.max() >= FEW)):
        lines.append(
            f"warning: {counts.max()} images count as one patient; if one ID stands for several patients, {_CURE}"
        )
    wanted = dataset.meta["made"].get("validation_fraction", 0)
    if dataset.count and isinstance(wanted, int | float) and wanted > 0 and not len(dataset.indices("validation")):
        lines.append(
            "warning: the validation split is empty, as all images count as one patient; "
            f"add images of others, or {_CURE}"
        )
    return lines
