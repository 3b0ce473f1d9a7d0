"""Image files: images, masks, figures."""

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from preprocessing.atomic import whole_file, write_whole
from preprocessing.shards import DataError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_image(path: Path, image: np.ndarray) -> None:
    """Write a PNG file, in one step.

    Args:
        image: float (height, width) in [0, 1], written with 16 bits, bool, written as 0 and 255, or uint8.

    Raises:
        OSError: The file cannot be written.
    """
    if image.dtype == bool:
        image = image.astype(np.uint8) * 255
    elif image.dtype != np.uint8:
        image = np.round(image * 65535).astype(np.uint16)
    write_whole(path, cv2.imencode(".png", image)[1].tobytes())


def write_figure(path: Path, sheet: "Figure") -> Path:
    """Write a figure of matplotlib, in the format of the file's ending; returns the path.

    Raises:
        DataError: The file cannot be written, or its ending is of no image.
    """
    try:
        with whole_file(path) as partial:
            sheet.savefig(partial, dpi=120)
    except (OSError, ValueError) as error:
        raise DataError(f"--figure {path}: cannot be written ({error})") from error
    return path
