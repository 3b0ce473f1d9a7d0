"""Generate labelled masses by mixing the features of masses of one category."""

from pathlib import Path
from typing import Any

import click

from preprocessing.command_line import COUNT, PATH, Command, with_options, writing_options
from preprocessing.counted import counted
from preprocessing.tensorflow_settings import import_tensorflow_quietly


@click.command(cls=Command, context_settings={"show_default": True})
@click.option(
    "--run",
    type=PATH,
    show_default="the generator that comes with the package",
    help="Folder of a run of train-feature2mass, or a file that save-networks wrote of one.",
)
@click.option(
    "--data", type=PATH, show_default="the run's training data", help="Dataset whose training masses are mixed."
)
@click.option("--shape", show_default="each in turn", help="BI-RADS shape of the new masses, e.g. round.")
@click.option("--margin", show_default="each in turn", help="BI-RADS margin of the new masses, e.g. spiculated.")
@click.option("--count", type=COUNT, required=True, help="Number of masses.")
@with_options(
    writing_options(
        {"h5": "shards, as training reads them.", "png": "16 bits."},
        figure="the figures of two features, three features and categories: FILE-two, FILE-three, FILE-category",
        seed="mixtures",
    )
)
def main(run: Path | None, output: Path, count: int, file_format: str, figure_file: Path | None, **wanted: Any) -> None:
    """Generate labelled masses of chosen shape and margin.

    manifest.csv lists the masses that each new one was mixed from.

    \b
    Example: 500 irregular, spiculated masses
      synthmammo generate-masses --shape irregular --margin spiculated --count 500 \\
          --output data/synthetic-masses
    """
    import_tensorflow_quietly()
    from feature2mass.figures import figures
    from generation.masses import write_masses

    write_masses(run, output, count, file_format=file_format, **wanted)
    click.echo(f"{output}: {counted(count, 'synthetic mass')}")
    for path in figures(run, figure_file, **wanted) if figure_file else ():
        click.echo(f"figure: {path}")


if __name__ == "__main__":
    main()
