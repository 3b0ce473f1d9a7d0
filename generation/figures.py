"""The figure of Ren et al. 2019 (Fig. 2): each row a mask, a real image of it, and images from three latent vectors.

For pix2pix, each row is a texture map, the real image that it was made of, and images from three draws of dropout.
"""

import os
from pathlib import Path

import numpy as np

from generation.generate import load_generator, mask_source, system_of
from generation.sources import PHANTOM, REAL, SYNTHETIC
from preprocessing.images.png import write_figure

TITLES = {REAL: "real", PHANTOM: "phantom", SYNTHETIC: "synthetic"}  # of the image that a mask outlines


def figure(
    generator: str | os.PathLike,
    output: str | os.PathLike,
    *,
    masks: str | os.PathLike | None = None,
    rows: int = 4,
    columns: int = 3,
    seed: int = 0,
) -> Path:
    """Draw `rows` masks with `columns` random inputs each; the same ones in every row.

    Args:
        output: image file, its ending chooses the format.
        masks: see `generation.sources.MaskSource`.
        seed: of the choice of masks, and of the random inputs.

    Returns:
        The file.

    Raises:
        DataError: the file cannot be written.
    """
    from matplotlib.figure import Figure  # not pyplot: no display, no global state

    model = load_generator(generator)
    source = mask_source(model, masks, seed, with_images=True)
    filler = system_of(model)(model, source, seed)
    numbers = np.random.default_rng(seed).permutation(min(len(source), 1000))[:rows]
    random = filler.random(0, columns)

    sheet = Figure(figsize=(1.3 * (columns + 2), 2.6 * len(numbers) + 0.3), layout="constrained")
    axes = sheet.subplots(len(numbers), columns + 2, squeeze=False)
    for row, number in zip(axes, numbers):
        found = source[int(number)]
        shown = filler.shown(found.mask, found.image)
        fakes = filler.compute([np.repeat(shown[None], columns, 0), random])
        pictures = [shown[..., 0], np.zeros_like(found.mask) if found.image is None else found.image, *fakes]
        for axis, picture in zip(row, pictures):
            axis.imshow(picture, cmap="gray", vmin=0, vmax=1)
            axis.set_axis_off()
    draws = [f"{filler.drawn_as} {column + 1}" for column in range(columns)]
    for axis, title in zip(axes[0], [filler.shown_as, TITLES.get(source.origin, ""), *draws]):
        axis.set_title(title, fontsize=9)
    return write_figure(Path(output), sheet)
