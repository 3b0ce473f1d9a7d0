"""Draw new labelled masses by mixing features of masses of one category."""

from pathlib import Path
from typing import Any

import click

from preprocessing.command_line import Command
from preprocessing.tensorflow_settings import import_tensorflow_quietly


@click.command(cls=Command, context_settings={"show_default": True})
@click.option(
    "--run",
    type=click.Path(path_type=Path),
    show_default="the generator that comes with the package",
    help="Run of train_feature2mass.py, or a file that save_networks.py wrote of one.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    show_default="what the run was trained on",
    help="Dataset whose (training) masses are mixed.",
)
@click.option("--shape", show_default="all, in turns", help="Shape of the new masses, e.g. round.")
@click.option("--margin", show_default="all, in turns", help="Margin of the new masses, e.g. spiculated.")
@click.option("--count", type=click.IntRange(1), required=True, help="Masses to make.")
@click.option("--output", type=click.Path(path_type=Path), required=True, help="Folder to write.")
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["h5", "png"]),
    default="h5",
    help="h5: shards, as training reads them. png: 16 bits. Both with manifest.csv.",
)
@click.option(
    "--figure",
    "figure_file",
    type=click.Path(path_type=Path),
    help="Also draw the figures of two features, three features and categories: FILE-two, FILE-three, FILE-category.",
)
@click.option("--seed", type=click.IntRange(0), default=0, help="Another seed, other masses.")
def main(
    run: Path | None,
    data: Path | None,
    shape: str | None,
    margin: str | None,
    count: int,
    output: Path,
    file_format: str,
    figure_file: Path | None,
    seed: int,
) -> None:
    """Draw COUNT new masses of a wanted shape and margin; manifest.csv says which masses each was mixed from.

    \b
    Example: 500 irregular, spiculated masses
      python train_scripts/generate_masses.py --shape irregular --margin spiculated --count 500 \\
          --output data/synthetic-masses
    """
    import_tensorflow_quietly()
    from feature2mass.figures import figures
    from feature2mass.seeds import MassGeneratorError
    from generation.masses import write_masses
    from preprocessing.shards import DataError

    wanted: dict[str, Any] = {"data": data, "shape": shape, "margin": margin, "seed": seed}
    try:
        write_masses(run, output, count, file_format=file_format, **wanted)
        click.echo(f"{output}: {count} synthetic masses")
        for path in figures(run, figure_file, **wanted) if figure_file else ():
            click.echo(f"figure: {path}")
    except (DataError, MassGeneratorError) as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
