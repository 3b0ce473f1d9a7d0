"""Prepare mammograms for training: DICOM files or other images in, a dataset of shards out."""

from pathlib import Path
from typing import Any

import click

from preprocessing.command_line import (
    Command,
    conclude,
    conversion_options,
    echo_remarks,
    echo_some,
    output_option,
    overwrite_option,
    refuse_both,
    thumbnail_store,
    validation_option,
)
from preprocessing.images.rules import INTENTS, SPECIAL_KINDS, Rules
from preprocessing.mammograms.options import MASK_METHODS, PATIENT_SOURCES, MammogramOptions


@click.command(cls=Command, context_settings={"show_default": True})
@click.option(
    "--input",
    "inputs",
    type=click.Path(exists=True, path_type=Path),
    multiple=True,
    required=True,
    metavar="PATH...",
    help="Image, or folder searched with its subfolders: DICOM, PNG, PGM, TIFF, JPEG. Repeatable.",
)
@click.argument("more", nargs=-1, type=click.Path(exists=True, path_type=Path), metavar="")
@output_option
@click.option(
    "--masks",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of given breast masks, named as the images and of their size.",
)
@click.option(
    "--mask-method",
    type=click.Choice(MASK_METHODS),
    default=MASK_METHODS[0],
    help="How the breast is found where no masks are given.",
)
@click.option("--keep-background", is_flag=True, help="Keep what lies outside the breast.")
@validation_option("patients")
@click.option(
    "--table",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    show_default="films.csv in an input folder or next to it",
    help="CSV file with columns image, subject, laterality, view, density, for images without a header.",
)
@click.option(
    "--boxes",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="CSV file of lesions on the films (columns image, x, y, width, height, shape, margin, subject): lesions.json.",
)
@click.option("--window", show_default="the first", help="Name of the DICOM window to apply.")
@click.option(
    "--intent",
    type=click.Choice(INTENTS),
    default=INTENTS[0],
    help="Which image of a digital exposure: FOR PRESENTATION, FOR PROCESSING (raw), or any, but one of an exposure.",
)
@click.option(
    "--accept",
    type=click.Choice(list(SPECIAL_KINDS)),
    multiple=True,
    help="Take this kind of image too, which is rejected otherwise. Repeatable.",
)
@click.option(
    "--patient-from",
    type=click.Choice(PATIENT_SOURCES),
    default=PATIENT_SOURCES[0],
    help="What tells patients apart without a table: the header (else each file counts as a patient), the folder "
    "directly below --input, or the file's name up to the first _.",
)
@overwrite_option
@conversion_options
def main(
    inputs: tuple[Path, ...],
    more: tuple[Path, ...],
    output: Path,
    boxes: Path | None,
    mask_method: str,
    keep_background: bool,
    window: str | None,
    no_contact_sheet: bool,
    intent: str,
    accept: tuple[str, ...],
    patient_from: str,
    **settings: Any,
) -> None:
    """Convert mammograms to shards, patients split into training and validation.

    A run that was stopped continues when started again with the same command. Exit status: 0 when every image could be
    used, 3 when some were rejected (the dataset is complete without them), 1 when nothing could be done.
    """
    refuse_both(settings["workers"], settings["scheduler"])
    from preprocessing.mammograms.convert import convert_mammograms
    from preprocessing.shards import DataError

    try:
        options = MammogramOptions(mask_method, keep_background, window, Rules(intent, accept), patient_from)
        store = thumbnail_store(output)
        thumbnails = None if no_contact_sheet else store
        done = convert_mammograms([*inputs, *more], output, options, thumbnails=thumbnails, **settings)
        if boxes and done.dataset.count:
            from lesions.boxes import add_boxes

            added = add_boxes(done.dataset, boxes, [*inputs, *more], mask_method=mask_method)
            echo_some("rejected", [(f"{boxes} row {number + 1}", reason) for number, reason in added.rejected])
            click.echo(f"{output}: {len(added.annotations)} lesions")
        if done.already_done:
            click.echo(f"{output}: already there, nothing to do")
        echo_remarks(done.remarks)
        echo_some("note", done.notes)
        echo_some("rejected image", [*done.reasons.items()])
        echo_some("look at image", [*done.doubts.items()])
        conclude(output, done, "images", thumbnails)
    except DataError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
