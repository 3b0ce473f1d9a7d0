"""A sheet of mammograms before and after insertion, with the box of every lesion."""

import os
from pathlib import Path

from lesions.inserter import Inserter
from preprocessing.images.png import write_figure

PAIRS = 8
COLUMNS = 4  # pairs next to each other


def figure(inserter: Inserter, output: str | os.PathLike) -> Path:
    """Draw the first images of an inserter next to the mammograms that they were.

    Args:
        output: image file, its ending chooses the format.

    Raises:
        DataError: the file cannot be written.
    """
    from matplotlib.figure import Figure  # not pyplot: no display, no global state
    from matplotlib.patches import Polygon, Rectangle

    pairs = min(PAIRS, len(inserter.items))
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
