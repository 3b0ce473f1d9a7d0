"""Prepare mammograms for training: DICOM files or other images in, a dataset of shards out."""

from pathlib import Path
from typing import Any

import click

from preprocessing.command_line import (
    FILE_THERE,
    FOLDER_THERE,
    Command,
    conclude,
    conversion_options,
    echo_some,
    refuse_both,
    thumbnail_store,
    with_options,
)
from preprocessing.counted import counted
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
    help="Image or folder (searched recursively): DICOM, PNG, PGM, TIFF, JPEG. Repeatable.",
)
@click.argument("more", nargs=-1, type=click.Path(exists=True, path_type=Path), metavar="")
@click.option(
    "--masks",
    type=FOLDER_THERE,
    help="Folder of breast masks with the names and sizes of the images, non-zero inside the breast.",
)
@click.option(
    "--mask-method",
    type=click.Choice(MASK_METHODS),
    default=MASK_METHODS[0],
    help="How the breast is found in an image without a mask. film: also on scanned film. otsu: Otsu's threshold.",
)
@click.option("--keep-background", is_flag=True, help="Keep pixels outside the breast instead of setting them to 0.")
@click.option(
    "--table",
    type=FILE_THERE,
    show_default="films.csv in an input folder or next to it",
    help="CSV file with columns image, subject, laterality, view, density, for images without a DICOM header.",
)
@click.option(
    "--boxes",
    type=FILE_THERE,
    help="CSV file of the lesions in the images, kept in lesions.json: columns image, x, y, width, height (in pixels), "
    "shape, margin, subject.",
)
@click.option("--window", show_default="the first in the header", help="Name of the DICOM window to apply.")
@click.option(
    "--intent",
    type=click.Choice(INTENTS),
    default=INTENTS[0],
    help="Which image of a digital exposure to use. presentation: the processed one. processing: the raw one. any: a "
    "raw one only where there is no processed one.",
)
@click.option(
    "--accept",
    type=click.Choice(list(SPECIAL_KINDS)),
    multiple=True,
    help="Also use this kind of image, which is rejected by default. Repeatable.",
)
@click.option(
    "--patient-from",
    type=click.Choice(PATIENT_SOURCES),
    default=PATIENT_SOURCES[0],
    help="How patients are told apart without --table: by the DICOM header (a file without one counts as a patient of "
    "its own), by the folder directly below --input, or by the file name up to the first _.",
)
@with_options(conversion_options())
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
    """Convert mammograms to a dataset, split by patient.

    A run that was stopped continues when the same command is run again. Exit status: 0 if every image was used, 3 if
    some were rejected (the dataset is complete without them; rejected.csv lists the reasons), 1 on failure.

    \b
    Example:
      synthmammo prepare-mammograms --input /data/dicoms --output data/mine
    """
    refuse_both(settings["workers"], settings["scheduler"])
    from preprocessing.mammograms.convert import convert_mammograms

    options = MammogramOptions(mask_method, keep_background, window, Rules(intent, accept), patient_from)
    store = thumbnail_store(output)
    thumbnails = None if no_contact_sheet else store
    done = convert_mammograms([*inputs, *more], output, options, thumbnails=thumbnails, **settings)
    if boxes and done.dataset.count:
        from lesions.boxes import add_boxes

        made_with = {name: settings[name] for name in ("masks", "key")}
        added = add_boxes(done.dataset, boxes, [*inputs, *more], options, **made_with)
        echo_some("rejected", [(f"{boxes} row {number + 1}", reason) for number, reason in added.rejected])
        click.echo(f"{output}: {counted(len(added.annotations), 'lesion')}")
    lists = {"note": done.notes, "rejected image": [*done.reasons.items()], "look at image": [*done.doubts.items()]}
    conclude(output, done, "image", lists, thumbnails)


if __name__ == "__main__":
    main()
