"""Write a dataset of mammogram or mass phantoms, with which everything can be tried without patients' images."""

from pathlib import Path
from typing import Any

import click

from preprocessing.command_line import COUNT, Command, dataset_options, with_options
from preprocessing.counted import counted


@click.command(cls=Command, context_settings={"show_default": True})
@click.option("--kind", type=click.Choice(["mammogram", "mass"]), default="mammogram", help="What to draw.")
@click.option("--count", type=COUNT, required=True, help="Number of phantoms.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Random seed.")
@with_options(dataset_options("phantoms", "draw"))
def main(kind: str, count: int, output: Path, **settings: Any) -> None:
    """Draw phantoms of mammograms or masses, as a dataset.

    Phantoms stand in for images of patients when you try the other commands. Mammograms are CC or MLO views with the
    chest wall on the left. Masses are 64×64, with every combination of BI-RADS shape and margin equally often.

    \b
    Example:
      synthmammo make-phantoms --kind mammogram --count 2000 --output data/phantoms
    """
    if kind == "mammogram":
        from preprocessing.phantoms.mammogram import make_phantoms as make
    else:
        from preprocessing.phantoms.mass import make_mass_phantoms as make
    from preprocessing.masses.item import summary_lines

    dataset = make(output, count, **settings)
    if kind == "mass":
        click.echo("\n".join(summary_lines(dataset.meta["summary"])))
    images = dataset.meta["images"]
    click.echo(
        f"{output}: {counted(dataset.count, f'{kind} phantom')}, "
        f"{images['train']} for training, {images['validation']} for validation"
    )


if __name__ == "__main__":
    main()
