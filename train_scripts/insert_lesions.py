"""Insert masses into mammograms: labelled images for detectors, with boxes and outlines."""

from pathlib import Path
from typing import Any

import click

from preprocessing.command_line import Command


@click.command(cls=Command, context_settings={"show_default": True})
@click.option(
    "--mammograms", type=click.Path(path_type=Path), required=True, help="Dataset of real or synthetic mammograms."
)
@click.option(
    "--masses",
    type=click.Path(path_type=Path),
    show_default="drawn phantoms",
    help="Dataset of real or generated masses, or of mammograms with known lesions (lesions.json).",
)
@click.option("--output", type=click.Path(path_type=Path), required=True, help="Folder to write.")
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["h5", "png", "dicom", "coco", "yolo"]),
    default="h5",
    help="h5: dataset with lesions.json. png: 16 bits, masks, label maps. dicom: MG, outlines as DICOM SEG. "
    "coco, yolo: 8-bit PNG with boxes and (coco) polygons. All with manifest.csv.",
)
@click.option("--count", type=click.IntRange(1), show_default="one per mammogram", help="Images to make.")
@click.option(
    "--lesions-per-image", type=click.IntRange(1), show_default="as on real films", help="Masses inserted per image."
)
@click.option("--shape", default="", show_default="any", help="Shape of the masses, e.g. irregular.")
@click.option("--margin", default="", show_default="any", help="Margin of the masses, e.g. spiculated.")
@click.option(
    "--size",
    type=click.FloatRange(4, 200),
    show_default="the mass's own, or as real masses of its kind",
    help="Longest side, in pixels of a mammogram 512 pixels high.",
)
@click.option(
    "--place",
    type=(click.FloatRange(0, 1), click.FloatRange(0, 1)),
    metavar="DEPTH HEIGHT",
    show_default="as real masses",
    help="Centre: 0 chest wall to 1 skin, and 0 uppermost to 1 lowest row of the breast.",
)
@click.option(
    "--placement",
    type=click.Path(path_type=Path),
    show_default="the one that comes with the package",
    help="Placement model, a JSON file that --save-placement wrote.",
)
@click.option(
    "--save-placement",
    type=click.Path(path_type=Path),
    help="Fit a placement model to the known lesions of --mammograms, write it here, and use it.",
)
@click.option(
    "--method",
    type=click.Choice(["octaves", "poisson", "multiply", "paste"]),
    default="octaves",
    help="How a mass is blended in.",
)
@click.option(
    "--split",
    type=click.Choice(["train", "validation", "all"]),
    default="train",
    help="Which mammograms and masses are used; train keeps held-out patients out.",
)
@click.option("--figure", "figure_file", type=click.Path(path_type=Path), help="Also draw pairs before and after here.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Another seed, other lesions.")
def main(
    mammograms: Path,
    masses: Path | None,
    output: Path,
    file_format: str,
    count: int | None,
    placement: Path | None,
    save_placement: Path | None,
    figure_file: Path | None,
    lesions_per_image: int | None,
    **settings: Any,
) -> None:
    """Insert masses into mammograms, where and as large as real masses are.

    A run that was stopped continues when started again with the same command.

    Example: insert_lesions.py --mammograms data/mine --masses data/masses --output data/coco --format coco --count 5000
    """
    from lesions.generate import insert_lesions
    from preprocessing.shards import DataError

    try:
        if masses is None:
            click.echo("masses: drawn phantoms; give --masses for real or generated ones")
        if save_placement:
            placement = _fit(mammograms, save_placement)
        settings["lesions"] = lesions_per_image
        inserted = insert_lesions(
            mammograms, masses, output, count=count, file_format=file_format, placement=placement, **settings
        )
        click.echo(f"{output}: {inserted} lesions inserted")
        if figure_file:
            from lesions.figure import figure

            path = figure(mammograms, masses, figure_file, placement=placement, **settings)
            click.echo(f"figure: {path}")
    except DataError as error:
        raise click.ClickException(str(error)) from error


def _fit(mammograms: Path, path: Path) -> Path:
    from lesions.annotations import read_annotations
    from lesions.placement import fit_placement, write_placement
    from preprocessing.shards import open_dataset

    dataset = open_dataset(mammograms, kind="mammogram")
    write_placement(fit_placement(dataset, read_annotations(dataset)), path)
    return path


if __name__ == "__main__":
    main()
