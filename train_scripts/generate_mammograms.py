"""Draw synthetic mammograms from a trained generator."""

from pathlib import Path

import click

from preprocessing.tensorflow_settings import import_tensorflow_quietly


@click.command(context_settings={"show_default": True})
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
    output: Path,
    file_format: str,
    figure_file: Path | None,
    seed: int,
) -> None:
    """Fill masks with tissue: COUNT images, LATENTS-PER-MASK of each mask."""
    import_tensorflow_quietly()
    from generation.figures import figure
    from generation.generate import PRETRAINED, GeneratorError, write_dicom, write_png, write_shards
    from preprocessing.shards import DataError

    write = {"h5": write_shards, "png": write_png, "dicom": write_dicom}[file_format]
    if generator is None:
        generator = PRETRAINED
        click.echo("generator: the one that comes with the package, trained on films of CBIS-DDSM (docs/model-card.md)")
    try:
        write(generator, output, count, masks=masks, latents_per_mask=latents_per_mask, seed=seed)
        click.echo(f"{output}: {count} synthetic mammograms")
        if figure_file:
            click.echo(f"figure: {figure(generator, figure_file, masks=masks, seed=seed)}")
    except (DataError, GeneratorError) as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
