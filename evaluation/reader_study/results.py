"""The files in which the results of a reader study are written."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from evaluation.plain import plain
from preprocessing.atomic import write_whole
from preprocessing.version import made_by


def write_files(
    folder: str | os.PathLike, table: str, results: Mapping[str, Any], plot: Callable[[Path], object]
) -> None:
    """Write `table.txt`, `results.json`, which says what made it, and `plot.png`.

    Args:
        plot: draws into the file that it is given.

    Raises:
        OSError: the folder cannot be written.
    """
    folder = Path(folder)
    content = json.dumps(plain({**results, "made_by": made_by()}), indent=1, allow_nan=False)
    write_whole(folder / "table.txt", table + "\n")
    write_whole(folder / "results.json", content + "\n")
    plot(folder / "plot.png")
