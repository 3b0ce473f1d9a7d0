"""What a user of `insert-lesions` should know of the inputs before images are made."""

import os
from pathlib import Path

from preprocessing.shards import SPLITS, open_dataset

ONE_SPLIT = "warning: --format yolo: data.yaml will name the same images for train and val; {}"


def remarks_on(mammograms: str | os.PathLike, split: str, file_format: str) -> list[str]:
    """List remarks, a line each.

    Args:
        mammograms, split, file_format: as of `lesions.generate.insert_lesions`.

    Raises:
        DataError: a dataset cannot be used.
    """
    dataset = open_dataset(Path(mammograms), kind="mammogram")
    remarks = []
    if file_format == "yolo" and split != "all":
        remarks.append(ONE_SPLIT.format("--split all makes a validation set of other patients"))
    elif file_format == "yolo" and not all(len(dataset.indices(one)) for one in SPLITS):
        remarks.append(ONE_SPLIT.format(f"{mammograms} holds mammograms of one split alone"))
    return remarks
