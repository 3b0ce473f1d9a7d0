"""A sheet of mammograms before and after insertion, with the box of every lesion."""

import os
from pathlib import Path
from typing import Any

from lesions.inserter import Settings, open_inserter
from preprocessing.images.png import write_figure

PAIRS = 8
COLUMNS = 4  # pairs next to each other


def figure(
    mammograms: str | os.PathLike,
    masses: str | os.PathLike | None,
    output: str | os.PathLike,
    *,
    pairs: int = PAIRS,
    placement: str | os.PathLike | None = None,
    **settings: Any,
) -> Path:
    """Draw the first images that `insert_lesions` makes of the same inputs next to the mammograms that they were.

    Args:
        output: image file, its ending chooses the format.

    Raises:
        DataError: an input cannot be used, or the file cannot be written.
    """
    from matplotlib.figure import Figure  # not pyplot: no display, no global state
    from matplotlib.patches import Polygon, Rectangle

    inserter = open_inserter(mammograms, masses, placement=placement, settings=Settings(**settings))
    pairs = min(pairs, len(inserter.items))
    columns = min(COLUMNS, pairs)
    rows = -(-pairs // columns)
    sheet = Figure(figsize=(2 * 1.6 * columns, 3.4 * rows), layout="constrained")
    axes = sheet.subplots(rows, 2 * columns, squeeze=False).reshape(-1, 2)
    for axis in axes.flat:
        axis.set_axis_off()
    for number, (before, after) in enumerate(axes[:pairs]):
        one = inserter.image(number)
        for axis, picture in ((before, one.before), (after, one.image)):
            axis.imshow(picture, cmap="gray", vmin=0, vmax=1)
        for found in one.annotations:
            x, y, width, height = found.box
            colour = "lime" if found.synthetic else "orange"
            corner = (x - 0.5, y - 0.5)  # pixel centres are whole numbers here
            after.add_patch(Rectangle(corner, width, height, fill=False, edgecolor=colour, linewidth=0.8))
            if found.outline:
                points = [(px - 0.5, py - 0.5) for px, py in found.outline]
                after.add_patch(Polygon(points, fill=False, edgecolor="yellow", linewidth=0.4))
        words = {
            f"{found.shape} {found.margin}".strip() or "unlabelled" for found in one.annotations if found.synthetic
        }
        after.set_title("; ".join(sorted(words)), fontsize=6)
        before.set_title(f"mammogram {one.item}", fontsize=6)
    return write_figure(Path(output), sheet)
