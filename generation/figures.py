"""The figure of Ren et al. 2019 (Fig. 2): each row a mask, a real image of it, and images from three latents.

Of pix2pix, each row is a texture map, the real image that it was made of, and images from three draws of dropout.
"""

import os
from pathlib import Path

import numpy as np

from generation.generate import load_generator, mask_source, needs_images, random_inputs, shown_to
from preprocessing.images.png import write_figure


def figure(
    generator: str | os.PathLike,
    output: str | os.PathLike,
    *,
    masks: str | os.PathLike | None = None,
    rows: int = 4,
    columns: int = 3,
    seed: int = 0,
) -> Path:
    """Draw `rows` masks with `columns` latents; the same latents in every row.

    Args:
        output: image file, its ending chooses the format.

    Raises:
        DataError: the file cannot be written.
    """
    from matplotlib.figure import Figure  # not pyplot: no display, no global state

    model = load_generator(generator)
    source = mask_source(model, masks, seed, with_images=True)
    numbers = np.random.default_rng(seed).permutation(min(len(source), 1000))[:rows]
    latent = random_inputs(model, 0, columns, seed)
    real_title = "real" if source.dataset is not None and not source.dataset.meta["synthetic"] else "phantom"

    sheet = Figure(figsize=(1.3 * (columns + 2), 2.6 * len(numbers) + 0.3), layout="constrained")
    axes = sheet.subplots(len(numbers), columns + 2, squeeze=False)
    for row, number in zip(axes, numbers):
        mask, real, _ = source[int(number)]
        shown = shown_to(model, mask, real)
        fakes = model.predict_on_batch([np.repeat(shown[None], columns, 0), latent])
        pictures = [shown[..., 0], np.zeros_like(mask) if real is None else real, *fakes[..., 0]]
        for axis, picture in zip(row, pictures):
            axis.imshow(picture, cmap="gray", vmin=0, vmax=1)
            axis.set_axis_off()
    first_title, drawn = ("texture map", "draw") if needs_images(model) else ("mask", "latent")
    titles = [first_title, real_title, *(f"{drawn} {column + 1}" for column in range(columns))]
    for axis, title in zip(axes[0], titles):
        axis.set_title(title, fontsize=9)
    return write_figure(Path(output), sheet)
