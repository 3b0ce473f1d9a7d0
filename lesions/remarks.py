"""What a user of `insert-lesions` should know of the inputs before images are made."""

import os
from pathlib import Path

import numpy as np

from preprocessing.shards import SPLITS, open_dataset, shows_patients

NO_SUBJECT = (
    "warning: --masses {}: has no patient of --mammograms {}; patients can be matched, and held-out ones left out, "
    "only where both were prepared with the same --key"
)
ONE_SPLIT = "warning: --format yolo: data.yaml will name the same images for train and val; {}"


def remarks_on(
    mammograms: str | os.PathLike, masses: str | os.PathLike | None, split: str, file_format: str
) -> list[str]:
    """List remarks, a line each.

    Args:
        mammograms, masses, split, file_format: as of `lesions.generate.insert_lesions`.

    Raises:
        DataError: a dataset cannot be used.
    """
    dataset = open_dataset(Path(mammograms), kind="mammogram")
    remarks = []
    if file_format == "yolo" and split != "all":
        remarks.append(ONE_SPLIT.format("--split all makes a validation set of other patients"))
    elif file_format == "yolo" and not all(len(dataset.indices(one)) for one in SPLITS):
        remarks.append(ONE_SPLIT.format(f"{mammograms} holds mammograms of one split alone"))
    if masses is None or not Path(masses).exists():  # those of the included generator, and phantoms, are of nobody
        return remarks
    donors = open_dataset(Path(masses))
    of_patients = shows_patients(dataset.meta) and shows_patients(donors.meta)
    if of_patients and not np.isin(donors.field("subject"), dataset.field("subject")).any():
        remarks.append(NO_SUBJECT.format(masses, mammograms))
    return remarks
