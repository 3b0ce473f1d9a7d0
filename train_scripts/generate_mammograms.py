"""Draw synthetic mammograms with a trained generator."""

from pathlib import Path

import click

from preprocessing.command_line import Command
from preprocessing.tensorflow_settings import import_tensorflow_quietly


@click.command(cls=Command, context_settings={"show_default": True})
@click.option(
    "--generator",
    type=click.Path(path_type=Path),
    show_default="the one that comes with the package",
    help="A generator.keras.",
)
@click.option(
    "--masks",
    type=click.Path(path_type=Path),
    show_default="phantoms",
    help="Dataset whose (validation) masks to fill, or folder of mask images of 2:1 (not for pix2pix).",
)
@click.option("--count", type=click.IntRange(1), required=True, help="Images to make.")
@click.option("--latents-per-mask", type=click.IntRange(1), default=1, help="Images from one mask before the next.")
@click.option("--study-of-four", is_flag=True, help="RCC, LCC, RMLO and LMLO of one synthetic patient after the other.")
@click.option("--output", type=click.Path(path_type=Path), required=True, help="Folder to write.")
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["h5", "png", "dicom"]),
    default="h5",
    help="h5: shards, as training reads them. png: 16 bits. dicom: MG For Presentation, marked synthetic.",
)
@click.option("--figure", "figure_file", type=click.Path(path_type=Path), help="Also draw masks × latents here.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Another seed, other latents.")
def main(
    generator: Path | None,
    masks: Path | None,
    count: int,
    latents_per_mask: int,
    study_of_four: bool,
    output: Path,
    file_format: str,
    figure_file: Path | None,
    seed: int,
) -> None:
    """Fill masks with tissue: COUNT images, LATENTS-PER-MASK of each mask; manifest.csv says what each was made from.

    \b
    Example: 1,000 images for the held-out masks of a dataset, as 16-bit PNG
      python train_scripts/generate_mammograms.py --generator runs/demo/phase-7/generator.keras \\
          --masks data/mine --count 1000 --format png --output data/synthetic
    """
    import_tensorflow_quietly()
    from generation.figures import figure
    from generation.generate import PRETRAINED, write_mammograms
    from generation.sources import MaskSource
    from preprocessing.shards import DataError
    from training.export import ModelError

    if generator is None:
        generator = PRETRAINED
        click.echo("generator: the one that comes with the package, trained on films of CBIS-DDSM (docs/model-card.md)")
    try:
        if masks is not None and (remark := MaskSource(1, 1, masks, with_images=False).remark):
            click.echo(remark, err=True)
        write_mammograms(
            generator,
            output,
            count,
            file_format=file_format,
            masks=masks,
            latents_per_mask=latents_per_mask,
            study_of_four=study_of_four,
            seed=seed,
        )
        click.echo(f"{output}: {count} synthetic mammograms")
        if figure_file:
            click.echo(f"figure: {figure(generator, figure_file, masks=masks, seed=seed)}")
    except (DataError, ModelError) as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
