"""Write a dataset of mammogram or mass phantoms, to try everything without a patient's image."""

from pathlib import Path

import click


@click.command(context_settings={"show_default": True})
@click.option("--kind", type=click.Choice(["mammogram", "mass"]), default="mammogram", help="What to draw.")
@click.option("--count", type=click.IntRange(1), required=True, help="How many.")
@click.option("--output", type=click.Path(path_type=Path), required=True, help="Folder of the dataset.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Another seed, other phantoms.")
@click.option(
    "--validation-fraction",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.1,
    help="Share of the phantoms kept for validation.",
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    show_default="one a core",
    help="Processes that draw.",
)
def main(kind: str, count: int, output: Path, seed: int, validation_fraction: float, workers: int | None) -> None:
    """Draw COUNT phantoms and write them as HDF5 shards.

    Mammograms are CC and MLO, their left edge is the chest wall. Masses are 64×64, every BI-RADS shape with every
    margin equally often.
    """
    if kind == "mammogram":
        from preprocessing.convert import make_phantoms as make
    else:
        from preprocessing.mass_phantoms import make_mass_phantoms as make
    from preprocessing.masses import summary_lines
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
