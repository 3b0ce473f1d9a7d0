"""Measure a generator of mammograms on the held-out masks of a dataset.

    python benchmarks/generator_quality.py --generator runs/demo/phase-7/generator.keras --data data/phantoms

- mask IoU: the breast found in a fake (as in a film) against the mask that was asked for;
- latent effect: mean difference of two latents for one mask, over that of two real images;
- fine energy: energy above a quarter of the sampling frequency inside the breast, next to that of the real images.
"""

from pathlib import Path

import click

from preprocessing.tensorflow_settings import import_tensorflow_quietly


@click.command(help=__doc__.split("\n")[0])
@click.option("--generator", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--count", default=200, show_default=True, help="Masks, at most what the validation split holds.")
def main(generator: Path, data: Path, count: int) -> None:
    import_tensorflow_quietly()
    import numpy as np

    from evaluation.metrics.masks import mask_agreement
    from evaluation.metrics.texture import fine_energy
    from generation.generate import generate, load_generator
    from preprocessing.shards import open_dataset

    model, dataset = load_generator(generator), open_dataset(data)
    size = tuple(model.inputs[0].shape[1:3])
    indices = dataset.indices("validation")[:count]
    real, masks = dataset.images(size, indices), dataset.masks(size, indices)
    first, _ = generate(model, masks, len(masks), seed=0, images=real)
    second, _ = generate(model, masks, len(masks), seed=1, images=real)

    agreement = mask_agreement(first, masks)
    click.echo(f"{len(masks)} held-out masks at {size[0]}x{size[1]}")
    click.echo(f"mask IoU {agreement.mean():.4f} (worst {agreement.min():.3f})")
    click.echo(f"mask IoU of the real images themselves {mask_agreement(real, masks).mean():.4f}")
    fake_energy = np.nanmean([fine_energy(image, mask) for image, mask in zip(first, masks)])
    real_energy = np.nanmean([fine_energy(image, mask) for image, mask in zip(real, masks)])
    click.echo(f"fine energy {fake_energy:.3g}, real {real_energy:.3g}, ratio {fake_energy / real_energy:.3f}")
    click.echo(f"latent effect {latent_effect(first, second, masks, real, masks):.3f}")


def latent_effect(first, second, masks, real, real_masks) -> float:
    """Measure how much the latent changes an image, as a share of how much two real images differ.

    Args:
        first, second: fakes of the same masks from two latents each, (n, height, width).
        masks: (n, height, width).
        real, real_masks: real images; neighbours in the array are compared inside both their masks.

    Returns:
        0 when the latent is ignored, 1 when two latents differ as two real breasts do.
    """
    import numpy as np

    from evaluation.metrics.masks import difference_inside

    fakes = [difference_inside(a, b, mask) for a, b, mask in zip(first, second, masks)]
    both = real_masks[:-1].astype(bool) & real_masks[1:].astype(bool)
    pairs = [difference_inside(a, b, mask) for a, b, mask in zip(real[:-1], real[1:], both) if mask.any()]
    return float(np.mean(fakes) / np.mean(pairs))


if __name__ == "__main__":
    main()
