"""The files in which the results of a reader study are written."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluation.plain import plain
from preprocessing.atomic import whole_file, write_whole
from preprocessing.version import made_by

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_files(folder: str | os.PathLike, table: str, results: Mapping[str, Any], plot: "Figure") -> None:
    """Write `table.txt`, `results.json`, which says what made it, and `plot.png`.

    Raises:
        OSError: the folder cannot be written.
    """
    folder = Path(folder)
    content = json.dumps(plain({**results, "made_by": made_by()}), indent=1, allow_nan=False)
    write_whole(folder / "table.txt", table + "\n")
    write_whole(folder / "results.json", content + "\n")
    with whole_file(folder / "plot.png") as partial:
        plot.savefig(partial, dpi=120)
