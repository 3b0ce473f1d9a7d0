"""Write a dataset of mammogram or mass phantoms, to try everything without a patient's image."""

from pathlib import Path

import click

from preprocessing.command_line import Command, output_option, validation_option, workers_option


@click.command(cls=Command, context_settings={"show_default": True})
@click.option("--kind", type=click.Choice(["mammogram", "mass"]), default="mammogram", help="What to draw.")
@click.option("--count", type=click.IntRange(1), required=True, help="How many.")
@output_option
@click.option("--seed", type=click.IntRange(0), default=0, help="Another seed, other phantoms.")
@validation_option("phantoms")
@workers_option("draw")
def main(kind: str, count: int, output: Path, seed: int, validation_fraction: float, workers: int | None) -> None:
    """Draw COUNT phantoms and write them as HDF5 shards.

    Mammograms are CC and MLO, their left edge is the chest wall. Masses are 64×64, every BI-RADS shape with every
    margin equally often.
    """
    if kind == "mammogram":
        from preprocessing.phantoms.mammogram import make_phantoms as make
    else:
        from preprocessing.phantoms.mass import make_mass_phantoms as make
    from preprocessing.masses.item import summary_lines
    from preprocessing.shards import DataError

    try:
        dataset = make(output, count, seed=seed, validation_fraction=validation_fraction, workers=workers)
    except DataError as error:
        raise click.ClickException(str(error)) from error
    if kind == "mass":
        click.echo("\n".join(summary_lines(dataset.meta["summary"])))
    images = dataset.meta["images"]
    click.echo(
        f"{output}: {dataset.count} {kind} phantoms, "
        f"{images['train']} for training, {images['validation']} for validation"
    )


if __name__ == "__main__":
    main()
