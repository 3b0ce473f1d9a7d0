"""Insert masses into mammograms: labelled images for detectors, with boxes and outlines."""

from pathlib import Path
from typing import Any

import click

from preprocessing.command_line import COUNT, PATH, Command, with_options, writing_options
from preprocessing.counted import counted


@click.command(cls=Command, context_settings={"show_default": True})
@click.option("--mammograms", type=PATH, required=True, help="Dataset of real or synthetic mammograms.")
@click.option(
    "--masses",
    type=PATH,
    show_default="new masses of the generator that comes with the package",
    help="Dataset of real or generated masses, or of mammograms with known lesions (lesions.json); "
    "or phantoms, which are then drawn.",
)
@click.option("--count", type=COUNT, show_default="one per mammogram", help="Number of images.")
@click.option(
    "--lesions-per-image",
    "lesions",
    type=click.IntRange(1),
    show_default="as on real films",
    help="Number of masses inserted per image.",
)
@click.option("--shape", default="", show_default="any", help="Shape of the masses, e.g. irregular.")
@click.option("--margin", default="", show_default="any", help="Margin of the masses, e.g. spiculated.")
@click.option(
    "--size",
    type=click.FloatRange(4, 200),
    show_default="the mass's own, else as for real masses of its shape and margin",
    help="Longest side of the masses, in pixels of a 512×256 mammogram.",
)
@click.option(
    "--place",
    type=(click.FloatRange(0, 1), click.FloatRange(0, 1)),
    metavar="DEPTH HEIGHT",
    show_default="as for real masses",
    help="Centre of the masses: depth from 0 (chest wall) to 1 (skin), height from 0 (top of the breast) to 1.",
)
@click.option(
    "--placement",
    type=PATH,
    show_default="the one that comes with the package",
    help="Placement model, a JSON file that --save-placement wrote.",
)
@click.option(
    "--save-placement",
    type=PATH,
    help="Fit a placement model to the known lesions of --mammograms, write it here, and use it.",
)
@click.option(
    "--method",
    type=click.Choice(["poisson", "octaves", "multiply", "paste"]),
    default="poisson",
    help="How masses are blended in; the last three are for comparison.",
)
@click.option(
    "--split",
    type=click.Choice(["train", "validation", "all"]),
    default="train",
    help="Split of the mammograms and masses to use; train leaves out held-out patients.",
)
@with_options(
    writing_options(
        {
            "h5": "dataset with lesions.json.",
            "png": "16 bits, with breast masks and label maps of the lesions.",
            "dicom": "MG, with outlines as DICOM SEG.",
            "coco": "8-bit PNG, boxes and polygons.",
            "yolo": "8-bit PNG, boxes.",
        },
        figure="mammograms before and after insertion",
        seed="lesions",
    )
)
def main(
    mammograms: Path,
    masses: Path | None,
    output: Path,
    file_format: str,
    count: int | None,
    placement: Path | None,
    save_placement: Path | None,
    figure_file: Path | None,
    **settings: Any,
) -> None:
    """Insert masses into mammograms, to train a detector.

    By default, places and sizes are drawn as for real masses. manifest.csv lists all lesions. A run that was stopped
    continues when the same command is run again.

    \b
    Example: 5,000 images for a detector, as COCO
      synthmammo insert-lesions --mammograms data/mine --masses data/masses --count 5000 \\
          --format coco --output data/coco
    """
    from lesions.export import write
    from lesions.inserter import Settings, open_inserter
    from lesions.remarks import remarks_on
    from preprocessing.tensorflow_settings import import_tensorflow_quietly

    if masses is None:
        import_tensorflow_quietly()
        click.echo("masses: of the included generator; give --masses for others")
    for line in remarks_on(mammograms, masses, settings["split"], file_format):
        click.echo(line, err=True)
    if save_placement:
        placement = _fit(mammograms, save_placement)
    inserter = open_inserter(mammograms, masses, placement=placement, settings=Settings(**settings))
    click.echo(f"{output}: {counted(write(inserter, output, count, file_format), 'lesion')} inserted")
    if figure_file:
        from lesions.figure import figure

        click.echo(f"figure: {figure(inserter, figure_file)}")


def _fit(mammograms: Path, path: Path) -> Path:
    from lesions.annotations import read_annotations
    from lesions.placement import fit_placement, write_placement
    from preprocessing.shards import open_dataset

    dataset = open_dataset(mammograms, kind="mammogram")
    write_placement(fit_placement(dataset, read_annotations(dataset)), path)
    return path


if __name__ == "__main__":
    main()
