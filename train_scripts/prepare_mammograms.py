"""Prepare mammograms for training: DICOM files or film images in, a dataset of shards out."""

from pathlib import Path

import click

from preprocessing.command_line import (
    conclude,
    conversion_options,
    echo_some,
    output_option,
    refuse_both,
    validation_option,
)


@click.command(context_settings={"show_default": True})
@click.option(
    "--input",
    "inputs",
    type=click.Path(exists=True, path_type=Path),
    multiple=True,
    required=True,
    metavar="PATH...",
    help="Film, or folder searched with its subfolders: DICOM, PNG, PGM, TIFF, JPEG. Repeatable.",
)
@click.argument("more", nargs=-1, type=click.Path(exists=True, path_type=Path), metavar="")
@output_option
@click.option(
    "--masks",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of given breast masks, named as the films and of their size.",
)
@click.option(
    "--mask-method",
    type=click.Choice(["film", "otsu"]),
    default="film",
    help="How the breast is found where no masks are given.",
)
@click.option("--keep-background", is_flag=True, help="Keep what lies outside the breast.")
@validation_option("patients")
@click.option(
    "--table",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    show_default="films.csv in or beside an input folder",
    help="CSV file with columns image, subject, laterality, view, for films without a header.",
)
@click.option(
    "--boxes",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="CSV file of lesions on the films (columns image, x, y, width, height, shape, margin, subject): lesions.json.",
)
@click.option("--window", show_default="the first", help="Name of the DICOM window to apply.")
@conversion_options
def main(inputs: tuple[Path, ...], more: tuple[Path, ...], output: Path, boxes: Path | None, **options: object) -> None:
    """Convert films to shards, patients split into training and validation.

    A run that was stopped goes on when started again with the same command. Exit status: 0 when every film could be
    used, 3 when some were rejected (the dataset is complete without them), 1 when nothing could be done.
    """
    refuse_both(options["workers"], options["scheduler"])
    from preprocessing.mammograms.convert import convert_mammograms
    from preprocessing.shards import DataError

    try:
        done = convert_mammograms([*inputs, *more], output, **options)
        if boxes and done.dataset.count:
            from lesions.boxes import add_boxes

            method = options["mask_method"]
            added = add_boxes(done.dataset, boxes, [*inputs, *more], mask_method=method)
            echo_some("rejected", [(f"{boxes} row {number + 1}", reason) for number, reason in added.rejected])
            click.echo(f"{output}: {len(added.annotations)} lesions")
    except DataError as error:
        raise click.ClickException(str(error)) from error
    if done.already_done:
        click.echo(f"{output}: already there, nothing to do")
    echo_some("rejected", done.rejected)
    conclude(output, done.dataset, "films", done.films, len(done.rejected))


if __name__ == "__main__":
    main()
