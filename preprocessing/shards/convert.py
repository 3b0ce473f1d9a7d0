"""From a work list to a dataset: prepare each entry, write shards, split subjects, list what was rejected."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from preprocessing.shards.fill import Keep, Prepare, fill
from preprocessing.shards.format import DATASET_FILE, LEVELS, Level
from preprocessing.shards.pseudonyms import Origins
from preprocessing.shards.reader import Dataset
from preprocessing.shards.schema import read_description
from preprocessing.shards.sources import Sources, count_told_by, read_log
from preprocessing.shards.update import Review, remove_former, review
from preprocessing.shards.writer import (
    DatasetWriter,
    Summarise,
    default_shard_size,
    discard,
    lock_folder,
    unwritable,
)


@dataclass(frozen=True)
class Conversion:
    """What became of a work list.

    Attributes:
        dataset: Dataset. The finished dataset.
        given: int. Length of the work list.
        rejected: (place, reason) of each entry that could not be used; places are those of `Origins`, or numbers.
        already_done: bool. Whether the dataset was there already.
        notes: (place, note) of what was used, but with a remark.
        remarks: Lines about the whole: what an update converted, what is doubtful and what would cure it.
        doubtful: (place, reason) of images that were used but should be looked at.
        reasons, doubts: Reasons of the rejected and the doubtful by number in the work list: numbers name no patient.
    """

    dataset: Dataset
    given: int
    rejected: Sequence[tuple[object, str]]
    already_done: bool
    notes: Sequence[tuple[object, str]] = ()
    remarks: Sequence[str] = ()
    doubtful: Sequence[tuple[object, str]] = ()
    reasons: Mapping[int, str] = field(default_factory=dict)
    doubts: Mapping[int, str] = field(default_factory=dict)


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
    sources: Sources | None = None,
    overwrite: bool | None = None,
) -> Conversion:
    """Prepare every task and write the results as one dataset, its subjects split.

    A run that was killed continues after its last whole shard. A finished dataset is left as it is, unless its input
    has changed: then what is new or changed is converted, and everything else is taken over.

    Args:
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
        sources: What each task is made from. Defaults to None: a changed input is an error.
        overwrite: Whether to make the dataset anew whatever was there; None where the command cannot.

    Raises:
        DataError: One line: the output was made with other settings or cannot be written, or a worker died.
    """
    output = Path(output)
    made = json.loads(json.dumps({**settings, "validation_fraction": validation_fraction}))
    lock = lock_folder(output)
    try:
        if overwrite:
            start_anew(output)
        found = Review()
        if sources is not None:
            known = {
                "count": len(tasks),
                "shard_size": shard_size or default_shard_size(len(tasks)),
                "fingerprint": work,
            }
            found = review(output, sources, made, known, noun=origins.noun if origins else "image")
        writer = DatasetWriter(
            output,
            kind,
            count=len(tasks),
            made=made,
            work=work,
            levels=levels,
            classes=classes,
            synthetic=synthetic,
            shard_size=shard_size,
            **({} if overwrite is None else {"remedy": "choose another output folder, or give --overwrite"}),
        )
        already_done = writer.complete
        if not already_done:
            fill(
                writer,
                tasks,
                prepare,
                title=title,
                keep=keep,
                workers=workers,
                scheduler=scheduler,
                sources=sources,
                former=found.reuse,
            )
        return _finished(writer, found, already_done, validation_fraction, summarise, origins, sources)
    finally:
        lock.release()


def _finished(
    writer: DatasetWriter,
    found: Review,
    already_done: bool,
    validation_fraction: float,
    summarise: Summarise | None,
    origins: Origins | None,
    sources: Sources | None,
) -> Conversion:
    """Write the lists, complete the dataset, and tell what became of the work list."""
    output, count = writer.folder, writer.count
    rejected, doubtful = dict(sorted(writer.rejected())), sorted(writer.doubtful())
    dataset = writer.finish(
        validation_fraction,
        summarise,
        write_lists=None if origins is None else lambda: origins.write_lists(output, rejected, doubtful),
        described=_described(output, count, rejected, sources),
    )
    remove_former(output)
    places = range(count) if origins is None else origins.places
    return Conversion(
        dataset,
        count,
        [(places[n], reason) for n, reason in rejected.items()],
        already_done,
        remarks=found.remarks,
        doubtful=[(places[n], reason) for n, reason in doubtful],
        reasons=rejected,
        doubts=_joined(doubtful),
    )


def _joined(reasons: Sequence[tuple[int, str]]) -> dict[int, str]:
    """Join the reasons of each number."""
    by_number: dict[int, list[str]] = {}
    for number, reason in reasons:
        by_number.setdefault(number, []).append(reason)
    return {number: "; ".join(texts) for number, texts in by_number.items()}


def start_anew(folder: Path) -> None:
    """Remove the dataset in a folder, for `--overwrite`.

    Raises:
        DataError: What is there is not a dataset, or cannot be removed.
    """
    if not (folder / DATASET_FILE).exists():
        return
    read_description(folder)
    try:
        remove_former(folder)
        discard(folder)
    except OSError as error:
        raise unwritable(folder, error) from error


def _described(output: Path, count: int, rejected: Mapping[int, str], sources: Sources | None) -> Mapping:
    """Say in `dataset.json` how the patients were told from each other, where that is known."""
    if sources is None:
        return {}
    told = count_told_by(read_log(output), [n for n in range(count) if n not in rejected])
    return {"patients_told_by": told} if told else {}
