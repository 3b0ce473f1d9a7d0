"""From a work list to a dataset: prepare each entry, write shards, split subjects, list what was rejected."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from preprocessing.shards.fill import Keep, Prepare, fill
from preprocessing.shards.format import LEVELS, Level
from preprocessing.shards.pseudonyms import Origins
from preprocessing.shards.reader import Dataset
from preprocessing.shards.writer import DatasetWriter, Summarise


@dataclass(frozen=True)
class Conversion:
    """What became of a work list.

    Attributes:
        dataset: Dataset. The finished dataset.
        given: int. Length of the work list.
        rejected: (place, reason) of each entry that could not be used; places are those of `Origins`, or numbers.
        reasons: Reason by number in the work list, of the same; unlike places, numbers name no patient.
        already_done: bool. Whether the dataset was there already.
        notes: (place, note) of what was used, but with a remark.
    """

    dataset: Dataset
    given: int
    rejected: Sequence[tuple[object, str]]
    already_done: bool
    notes: Sequence[tuple[object, str]] = ()
    reasons: Mapping[int, str] = field(default_factory=dict)


def build_dataset(
    output: str | os.PathLike,
    tasks: Sequence,
    prepare: Prepare,
    settings: Mapping,
    *,
    kind: str,
    title: str,
    validation_fraction: float,
    work: str = "",
    origins: Origins | None = None,
    levels: Sequence[Level] = tuple(LEVELS),
    classes: Mapping[str, Sequence[str]] | None = None,
    synthetic: bool = False,
    summarise: Summarise | None = None,
    shard_size: int | None = None,
    keep: Keep | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
) -> Conversion:
    """Prepare every task and write the results as one dataset, its subjects split.

    A run that was killed continues after its last whole shard; a finished dataset is left as it is.

    Args:
        output: Folder of the dataset.
        tasks: The work list; entries must be picklable.
        prepare: Function of one task that returns its item, or as a string why there is none; must be picklable.
        settings: How the data is made, for `dataset.json`; nothing about a patient.
        kind: A name of `KINDS`.
        title: Of the progress bar.
        validation_fraction: Share of the subjects that are for validation, in [0, 1); one of the settings.
        work: Fingerprint of the work list, by which a rerun recognises it. Defaults to "".
        origins: Where the tasks come from; None where that is not to be listed. Defaults to None.
        levels, classes, synthetic, shard_size: As for `DatasetWriter`; summarise: as for its `finish`.
        keep, workers, scheduler: As for `fill`.

    Raises:
        DataError: One line: the output was made with other settings or cannot be written, or a worker died.
    """
    writer = DatasetWriter(
        output,
        kind,
        count=len(tasks),
        made={**settings, "validation_fraction": validation_fraction},
        work=work,
        levels=levels,
        classes=classes,
        synthetic=synthetic,
        shard_size=shard_size,
    )
    already_done = writer.complete
    if not already_done:
        fill(writer, tasks, prepare, title=title, keep=keep, workers=workers, scheduler=scheduler)
    dataset = writer.finish(validation_fraction, summarise)
    rejected = dict(sorted(writer.rejected()))
    if origins is not None and not already_done:
        origins.write_lists(Path(output), rejected)
    places = range(len(tasks)) if origins is None else origins.places
    by_place = [(places[number], reason) for number, reason in rejected.items()]
    return Conversion(dataset, len(tasks), by_place, already_done, reasons=rejected)
