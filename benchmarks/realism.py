"""How real the mammograms of a generator look, in numbers, each next to what real images score.

    python benchmarks/realism.py --generator runs/film/phase-5/generator.keras --data films --picture film.png

Images of held-out masks, `DRAWS` latents each, are compared with all real ones by every metric; for a distance, a floor
is what one half of the real images scores against the other. The variance of each octave inside the breast is compared
with that of the held-out images. Then one image is generated for the mask of every real one, and a classifier tries to
tell the two kinds apart; for comparison, it is given two halves of the real ones. With `--every-size`, this is repeated
with all images reduced to each smaller size, which shows at what scale they differ. The picture shows masks, their
films, and what the generator makes.
"""

from pathlib import Path

import click

DRAWS = 4
SHOWN = 8  # masks in the picture
SHEET = 3, 8  # rows and columns of the sheet
LEAST_HEIGHT = 256  # of an image in it
COARSEST = 32  # height of the smallest images that a classifier is shown
METRICS = [
    "swd_7x7",
    "fid_radiomic_z",
    "precision_k3_radiomic_z",
    "recall_k3_radiomic_z",
    "variation_per_mask",
    "detail_correlation_pairs",
    "detail_correlation_per_mask",
    "mask_iou_film",
    "leakage",
    "fine_energy_64px",
    "beta_64px",
]


def measured(dataset, generator, seed: int = 0, every_size: bool = False) -> tuple[dict, object]:
    """Return ({metric: (estimate of the generated images, of real ones)}, a picture, uint8)."""
    import cv2
    import numpy as np

    from evaluation.evaluate import evaluate
    from evaluation.image_set import Samples
    from evaluation.intervals import bootstrap_mean

    level = generator.input_shape[0][1:3]
    held_out = dataset.indices("validation")
    images, masks = dataset.images(level, held_out), dataset.masks(level, held_out)
    latents = np.random.default_rng(seed).standard_normal((len(masks) * DRAWS, generator.input_shape[1][1]))
    repeated = np.repeat(masks, DRAWS, 0)[..., None].astype(np.float32)
    fakes = generator.predict([repeated, latents.astype(np.float32)], batch_size=32, verbose=0)[..., 0]
    fake = Samples(fakes, repeated[..., 0] > 0, "generated", np.repeat(np.arange(len(masks)), DRAWS))
    evaluation = evaluate(Samples.of_dataset(dataset, level), fake, METRICS)
    rows = {row.name: (row.generated, row.real) for row in evaluation.rows}
    rows |= detected(dataset, generator, seed, every_size)
    rng = np.random.default_rng(seed)
    real = octave_variances(images, masks)
    rows |= {
        f"octave {name}": (bootstrap_mean(found, rng, fake.subjects), bootstrap_mean(real[name], rng))
        for name, found in octave_variances(fakes, repeated[..., 0] > 0).items()
    }

    chosen = np.linspace(0, len(masks) - 1, SHOWN).astype(int)
    strips = [np.hstack([masks[i], images[i], *fakes[DRAWS * i : DRAWS * (i + 1)]]) for i in chosen]
    picture = grey_levels(np.hstack([np.vstack(strips[: SHOWN // 2]), np.vstack(strips[SHOWN // 2 :])]))
    factor = max(1, LEAST_HEIGHT // level[0])
    return rows, cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST)


def octave_variances(images, masks) -> dict:
    """Variance inside each breast, 2 pixels from its edge, of what each size adds to half that size, down to 16×8.

    Args:
        images: float (n, height, width) in [0, 1].
        masks: bool (n, height, width).

    Returns:
        {size: (n,)}; NaN where a breast is too small.
    """
    import cv2
    import numpy as np

    found = {}
    images, masks = np.asarray(images, np.float32), np.asarray(masks, np.float32)
    while images.shape[1] >= 16:
        size = images.shape[2:0:-1]
        half = tuple(one // 2 for one in size)
        smaller = np.array([cv2.resize(image, half, interpolation=cv2.INTER_AREA) for image in images])
        variances = []
        for image, coarse, mask in zip(images, smaller, masks, strict=True):
            inner = cv2.erode(mask, np.ones((5, 5), np.uint8), borderValue=1) >= 0.5
            added = (image - cv2.resize(coarse, size, interpolation=cv2.INTER_LINEAR))[inner]
            variances.append(np.mean(added**2) if added.size else np.nan)
        found[f"{size[1]}x{size[0]}"] = np.array(variances)
        images = smaller
        masks = np.array([cv2.resize(mask, half, interpolation=cv2.INTER_AREA) for mask in masks])
    return found


def unselected(dataset, generator, seed: int):
    """A sheet (uint8) of one image for each of held-out masks at equal distances in the dataset."""
    import numpy as np

    rows, columns = SHEET
    level = generator.input_shape[0][1:3]
    chosen = np.linspace(0, len(dataset.indices("validation")) - 1, rows * columns).astype(int)
    masks = dataset.masks(level, dataset.indices("validation")[chosen])[..., None].astype(np.float32)
    latents = np.random.default_rng([seed, 2]).standard_normal((len(masks), generator.input_shape[1][1]))
    fakes = generator.predict([masks, latents.astype(np.float32)], batch_size=8, verbose=0)[..., 0]
    return grey_levels(np.vstack([np.hstack(list(row)) for row in fakes.reshape(rows, columns, *level)]))


def grey_levels(picture):
    """A picture of brightness in [0, 1] as uint8."""
    return (255 * picture).clip(0, 255).round().astype("uint8")


def detected(dataset, generator, seed: int, every_size: bool = False) -> dict:
    """AUC of a classifier of generated against real images, and of two halves of the real ones.

    Args:
        every_size: whether images reduced to each smaller size are classified as well.

    Returns:
        {name of the metric and size: (of generated images, of halves)}.
    """
    import cv2
    import numpy as np

    from evaluation.image_set import Samples
    from evaluation.metrics.realism import REALISM, real_or_generated

    size, everything = generator.input_shape[0][1:3], dataset.indices()
    masks = dataset.masks(size, everything)
    latents = np.random.default_rng([seed, 1]).standard_normal((len(masks), generator.input_shape[1][1]))
    inputs = [masks[..., None].astype(np.float32), latents.astype(np.float32)]
    fakes = generator.predict(inputs, batch_size=32, verbose=0)[..., 0]
    rows = {}
    while True:
        real = Samples.of_dataset(dataset, size)
        fake = Samples(fakes, dataset.masks(size, everything), "generated", real.subjects)
        halves = [real.subset(np.flatnonzero(real.subjects % 2 == parity)) for parity in (0, 1)]
        rows[f"{REALISM.name} {size[0]}x{size[1]}"] = tuple(
            real_or_generated(*pair, seed=seed) for pair in ((real, fake), halves)
        )
        size = tuple(one // 2 for one in size)
        if not every_size or size[0] < COARSEST:
            return rows
        fakes = np.array([cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA) for image in fakes])


def table(rows: dict) -> str:
    return "\n".join(f"{name}: {generated} (real {real})" for name, (generated, real) in rows.items())


@click.command(help=__doc__.split("\n")[0])
@click.option("--generator", type=click.Path(exists=True, path_type=Path), required=True, help="A generator.keras.")
@click.option("--data", type=click.Path(exists=True, path_type=Path), required=True, help="Shards of real mammograms.")
@click.option("--picture", type=click.Path(path_type=Path), help="PNG file to write.")
@click.option("--sheet", type=click.Path(path_type=Path), help="PNG file of 24 unselected images to write instead.")
@click.option("--every-size", is_flag=True, help="Classify images that are reduced to each smaller size, too.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
def main(generator: Path, data: Path, picture: Path | None, sheet: Path | None, every_size: bool, seed: int) -> None:
    from preprocessing.tensorflow_settings import import_tensorflow_quietly

    import_tensorflow_quietly()
    import cv2

    from generation.generate import load_generator
    from preprocessing.shards import open_dataset

    dataset, network = open_dataset(data, kind="mammogram"), load_generator(generator)
    if sheet:
        cv2.imwrite(str(sheet), unselected(dataset, network, seed))
        return
    rows, shown = measured(dataset, network, seed, every_size)
    click.echo(table(rows))
    if picture:
        cv2.imwrite(str(picture), shown)


if __name__ == "__main__":
    main()
