"""Draw synthetic mammograms with a trained generator."""

from pathlib import Path
from typing import Any

import click

from preprocessing.command_line import COUNT, PATH, Command, with_options, writing_options
from preprocessing.counted import counted
from preprocessing.tensorflow_settings import import_tensorflow_quietly


@click.command(cls=Command, context_settings={"show_default": True})
@click.option(
    "--generator",
    type=PATH,
    show_default="the one that comes with the package",
    help="A generator.keras that a training wrote.",
)
@click.option(
    "--masks",
    type=PATH,
    show_default="phantoms",
    help="Dataset whose validation masks are filled, or folder of 2:1 mask images (height:width; not for pix2pix).",
)
@click.option("--count", type=COUNT, required=True, help="Number of images.")
@click.option("--latents-per-mask", type=click.IntRange(1), default=1, help="Number of images per mask.")
@click.option(
    "--study-of-four", is_flag=True, help="Make the four views RCC, LCC, RMLO and LMLO of each synthetic patient."
)
@with_options(
    writing_options(
        {"h5": "shards, as training reads them.", "png": "16 bits.", "dicom": "MG For Presentation, marked synthetic."},
        figure="a grid of masks and latents",
        seed="latents and phantoms",
    )
)
def main(generator: Path | None, masks: Path | None, output: Path, figure_file: Path | None, **settings: Any) -> None:
    """Generate mammograms that fill breast masks.

    manifest.csv lists the mask that each image fills.

    \b
    Example: 1,000 images for the held-out masks of a dataset, as 16-bit PNG
      synthmammo generate-mammograms --generator runs/demo/phase-7/generator.keras \\
          --masks data/mine --count 1000 --format png --output data/synthetic
    """
    import_tensorflow_quietly()
    from generation.figures import figure
    from generation.generate import PRETRAINED, write_mammograms
    from generation.sources import MaskSource

    if generator is None:
        generator = PRETRAINED
        click.echo("generator: the one that comes with the package, trained on films of CBIS-DDSM (docs/model-card.md)")
    if masks is not None and (remark := MaskSource(1, 1, masks, with_images=False).remark):
        click.echo(remark, err=True)
    write_mammograms(generator, output, masks=masks, **settings)
    click.echo(f"{output}: {counted(settings['count'], 'synthetic mammogram')}")
    if figure_file:
        click.echo(f"figure: {figure(generator, figure_file, masks=masks, seed=settings['seed'])}")


if __name__ == "__main__":
    main()
