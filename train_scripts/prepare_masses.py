"""Prepare labelled masses for training: CBIS-DDSM, DDSM, or a CSV file of boxes in, a dataset of shards out."""

from pathlib import Path
from typing import Any

import click

from preprocessing.command_line import (
    FILE_THERE,
    FOLDER_THERE,
    Command,
    conclude,
    conversion_options,
    refuse_both,
    thumbnail_store,
    with_options,
)
from preprocessing.masses.options import CONTEXT, CONTRASTS, DIGITIZERS, LABEL_POLICIES, MassOptions


@click.command(cls=Command, context_settings={"show_default": True})
@click.option(
    "--cbis-csv",
    type=FILE_THERE,
    multiple=True,
    help="Official mass CSV file of CBIS-DDSM. Repeatable. Needs --images.",
)
@click.option("--ddsm", type=FOLDER_THERE, help="Folder of DDSM cases (.ics, .OVERLAY, .LJPEG), searched recursively.")
@click.option(
    "--rois",
    type=FILE_THERE,
    help="CSV file with columns image, x, y, width, height (in pixels), shape, margin, subject and optionally size. "
    "Needs --images.",
)
@click.option("--images", type=FOLDER_THERE, help="Folder of the images named in the file of --cbis-csv or --rois.")
@click.option(
    "--digitizer",
    type=click.Choice(DIGITIZERS, case_sensitive=False),
    show_default="all",
    help="Use only DDSM cases of this digitizer.",
)
@click.option(
    "--label-policy",
    type=click.Choice(LABEL_POLICIES),
    default=LABEL_POLICIES[0],
    help="What to do with a label of several words. single: reject the lesion. first: use the first word that is a "
    "class.",
)
@click.option(
    "--keep-unlabelled",
    is_flag=True,
    help="Keep lesions without a shape or margin; the missing label is stored as unknown.",
)
@click.option(
    "--context",
    type=click.FloatRange(1),
    default=CONTEXT,
    help="Side of the square that is cut out, as a multiple of the longest side of the lesion.",
)
@click.option(
    "--contrast",
    type=click.Choice(CONTRASTS),
    default=CONTRASTS[0],
    help="normalised: stretch the contrast of each mass to the full range and store the original range. original: keep "
    "it as it is.",
)
@with_options(conversion_options())
def main(
    cbis_csv: tuple[Path, ...],
    ddsm: Path | None,
    rois: Path | None,
    images: Path | None,
    output: Path,
    digitizer: str | None,
    label_policy: str,
    keep_unlabelled: bool,
    context: float,
    contrast: str,
    no_contact_sheet: bool,
    **settings: Any,
) -> None:
    """Cut labelled masses out of mammograms, as a dataset.

    Each mass is 64×64 pixels; patients are split into training and validation. Give one of --cbis-csv, --ddsm and
    --rois. A run that was stopped continues when the same command is run again. Exit status: 0 if every lesion was
    used, 3 if some were rejected (the dataset is complete without them), 1 on failure.

    \b
    Example:
      synthmammo prepare-masses --rois boxes.csv --images /data/films --output data/masses
    """
    if bool(cbis_csv) + bool(ddsm) + bool(rois) != 1:
        raise click.UsageError("give one of --cbis-csv, --ddsm and --rois")
    if (images is None) != bool(ddsm):
        raise click.UsageError("--images goes with --cbis-csv and --rois, which need it, and not with --ddsm")
    if digitizer and not ddsm:
        raise click.UsageError("--digitizer goes with --ddsm; leave it out")
    refuse_both(settings["workers"], settings["scheduler"])
    from preprocessing.masses.cbis_ddsm import read_cbis
    from preprocessing.masses.convert import convert_masses
    from preprocessing.masses.ddsm import read_ddsm
    from preprocessing.masses.item import rarest_first
    from preprocessing.masses.rois import read_rois

    if cbis_csv:
        lesions = read_cbis(cbis_csv, images)
    elif ddsm:
        lesions = read_ddsm(ddsm, digitizer)
    elif rois and images:
        lesions = read_rois(rois, images)
    options = MassOptions(label_policy, keep_unlabelled, context, contrast)
    store = thumbnail_store(output)
    done = convert_masses(lesions, output, options, **settings)
    # A row of a table names no patient; the files of a case may, and the private list says which lesion is whose.
    rejected = [(f"lesion {n}", reason) for n, reason in done.reasons.items()] if ddsm else done.rejected
    notes = [(f"lesion {number}", note) for number, note in done.notes]
    conclude(
        output, done, "mass", {"note": notes, "rejected": rarest_first(rejected)}, None if no_contact_sheet else store
    )


if __name__ == "__main__":
    main()
