"""Mammograms with lesions: from a dataset of mammograms and one of masses to a dataset, PNG, DICOM, COCO or YOLO.

insert_lesions("data/mammograms", "data/masses", "data/with-lesions", count=5000)
"""

import os
from typing import Any

from lesions.export import write
from lesions.inserter import Settings, open_inserter


def insert_lesions(
    mammograms: str | os.PathLike,
    masses: str | os.PathLike | None,
    output: str | os.PathLike,
    *,
    count: int | None = None,
    file_format: str = "h5",
    placement: str | os.PathLike | None = None,
    **settings: Any,
) -> int:
    """Insert masses into mammograms and write the result; a killed call is continued.

    Args:
        mammograms: dataset of real or synthetic mammograms.
        masses: dataset of real or generated masses, or of mammograms with known lesions; None for masses of the
            generator that comes with the package, "phantoms" for drawn phantoms.
        output: folder to write.
        count: images to make. Defaults to one per mammogram.
        file_format: "h5" (a dataset with `lesions.json`), "png", "dicom", "coco" or "yolo".
        placement: placement model. Defaults to the one that comes with the package.
        settings: see `Settings`.

    Returns:
        How many lesions were inserted.

    Raises:
        DataError: an input cannot be used, or the output was made with other settings or cannot be written.

    Example::

        insert_lesions("data/mammograms", "data/masses", "data/coco", count=5000, file_format="coco",
        margin="spiculated")
    """
    inserter = open_inserter(mammograms, masses, placement=placement, settings=Settings(**settings))
    return write(inserter, output, count, file_format)
