"""Lesions with their BI-RADS shape and margin, cut from mammograms into one dataset (Lee et al. 2018, section 3.1).

Where a lesion is, its `Source` knows: a box (`preprocessing.masses.rois`), a row of CBIS-DDSM
(`preprocessing.masses.cbis_ddsm`) or an overlay of DDSM (`preprocessing.masses.ddsm`). From there all go one way:

1. The window is a square around the box, `context` times the box's longest side, and resized to 64×64 (`cut_window`).
   It keeps the orientation of the mammogram: mirrored masses are an augmentation of training, not of the data.
2. Its contrast is stretched to use the whole range (ours), and the original grey levels are kept, so that it can be
   undone: masses differ far more in contrast than in kind, and a faint one weighs nothing in a mean of absolute
   differences.
3. Its outline, where the source has one, is cut out and resized in the same way; a box has none.
4. Its labels are the words of the radiologist, as `read_label` reads them.
5. Its size is kept where it is given, or where the image is a whole film.
"""

import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np

from preprocessing.errors import why
from preprocessing.images.image import UnusableImage, refuse_constant
from preprocessing.images.mask import mask_of
from preprocessing.masses.item import mass_item, summarise
from preprocessing.masses.labels import CLASSES, read_label
from preprocessing.masses.lesion import Lesion
from preprocessing.masses.options import MassOptions
from preprocessing.masses.window import SIZE, cut_window
from preprocessing.shards import DataError
from preprocessing.shards.convert import Conversion, WorkList, build_dataset
from preprocessing.shards.format import Item
from preprocessing.shards.pseudonyms import Key, Origins, open_output
from preprocessing.shards.sources import Entry, Sources, size_of


def convert_masses(
    lesions: Sequence[Lesion],
    output: str | os.PathLike,
    options: MassOptions | None = None,
    *,
    validation_fraction: float = 0.1,
    key: str | os.PathLike | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    overwrite: bool = False,
) -> Conversion:
    """Cut out many lesions and write them as one dataset, its patients split.

    A run that was killed continues after its last whole shard; a finished dataset is left as it is. A lesion that
    cannot be used is rejected with its reason and the run continues.

    Args:
        lesions: From `read_rois`, `read_cbis` or `read_ddsm`.
        options: How they are cut out. Defaults to `MassOptions()`.
        validation_fraction: Share of the patients that are for validation, in [0, 1).
        key: File with the key of the subjects' hashes; made when absent. Defaults to `<output>.key`.
        workers, scheduler, overwrite: As for `build_dataset`.

    Raises:
        DataError: One line: no lesions, output made with other settings or not writable.
    """
    if not lesions:
        raise DataError("there is no mass to convert")
    options = options or MassOptions()
    output = Path(output).resolve()
    secret = open_output(output, key)
    entries = [_entry(lesion) for lesion in lesions]
    work = WorkList(
        lesions,
        partial(prepare_mass, key=secret, options=options),
        {"by": "prepare_masses", **asdict(options)},
        kind="mass",
        title="Masses",
        validation_fraction=validation_fraction,
        fingerprint=secret.fingerprint([_known(entry) for entry in entries]),
        origins=Origins(secret, "lesion", "place", [lesion.place for lesion in lesions]),
        sources=Sources(secret, entries),
        levels=[(SIZE, SIZE)],
        classes=CLASSES,
        summarise=summarise,
    )
    done = build_dataset(output, work, workers=workers, scheduler=scheduler, overwrite=overwrite)
    notes = [(n, lesion.note) for n, lesion in enumerate(lesions) if lesion.note and n not in done.reasons]
    return replace(done, notes=notes)


def prepare_mass(lesion: Lesion, *, key: Key, options: MassOptions) -> Item | str:
    """Make a dataset item of one lesion, or tell as a string why it cannot be used.

    Args:
        key: Of the patients' hashes.
        options: How the lesion is cut out.
    """
    try:
        # Labels first: that a lesion is no mass of a class is told even where its image is missing.
        if lesion.unusable and not lesion.shape and not lesion.margin:
            return lesion.unusable
        labels = {field: _label(getattr(lesion, field), field, options) for field in CLASSES}
        if lesion.unusable or lesion.source is None:
            return lesion.unusable or "image missing"
        found = lesion.source.locate()
        window = cut_window(found.image.grey_levels, found.box, options.context)
        refuse_constant(window)
        region = None
        if found.region is not None:
            region = mask_of(cut_window(found.region.view(np.uint8), found.box, options.context))
    except UnusableImage as reason:
        return str(reason)
    except OSError as error:
        return f"image cannot be read: {why(error)}"
    except Exception as error:  # one lesion must not end the run; its text could quote the header
        return f"image cannot be decoded: {type(error).__name__}"
    subject = key.pseudonym(lesion.subject or found.image.patient)
    size = found.size if lesion.size is None else lesion.size
    return mass_item(window, region, subject=subject, contrast=options.contrast, size=size, **labels)


def _label(text: str, field: str, options: MassOptions) -> int:
    index = read_label(text, field, options.label_policy)
    if index is None and not options.keep_unlabelled:
        raise UnusableImage(f"no {field}")
    return -1 if index is None else index


def _entry(lesion: Lesion) -> Entry:
    """Say what decides a lesion's item, for reruns; notes are printed, not stored."""
    size = [] if lesion.size is None else [repr(lesion.size)]
    written = [lesion.shape, lesion.margin, lesion.subject, repr(lesion.source), lesion.unusable, *size]
    return Entry(lesion.place, written, lesion.source.files() if lesion.source else ())


def _known(entry: Entry) -> list:
    """List what a rerun compares of a lesion: all that is known before its image is read, and its files' sizes."""
    return [*entry.settings, [size_of(path) if os.path.isfile(path) else -1 for path in entry.files]]
