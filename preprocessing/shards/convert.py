"""From a work list to a dataset: prepare each entry, write shards, split subjects, list what was rejected."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from preprocessing.shards.fill import Keep, Prepare, fill
from preprocessing.shards.format import DATASET_FILE, LEVELS, Level
from preprocessing.shards.pseudonyms import Origins
from preprocessing.shards.reader import Dataset
from preprocessing.shards.schema import read_description
from preprocessing.shards.sources import Sources, count_told_by, read_log
from preprocessing.shards.update import Review, remove_former, review
from preprocessing.shards.writer import DatasetWriter, Summarise, default_shard_size, discard, lock_folder, writing_to


@dataclass(frozen=True)
class Conversion:
    """What became of a work list.

    Attributes:
        dataset: Dataset. The finished dataset.
        places: Where each entry comes from: those of `Origins`, or numbers.
        already_done: bool. Whether the dataset was there already.
        reasons: Why entries could not be used, by number in the work list: numbers name no patient.
        doubts: Why images that were used should be looked at, by number.
        remarks: Lines about the whole: what an update converted, what is doubtful and what would cure it.
        notes: (place, note) of what was used, but with a remark.
    """

    dataset: Dataset
    places: Sequence
    already_done: bool
    reasons: Mapping[int, str]
    doubts: Mapping[int, str]
    remarks: Sequence[str]
    notes: Sequence[tuple[object, str]] = ()

    @property
    def given(self) -> int:
        """Length of the work list."""
        return len(self.places)

    @property
    def rejected(self) -> list[tuple[object, str]]:
        """(place, reason) of each entry that could not be used."""
        return [(self.places[number], reason) for number, reason in self.reasons.items()]


@dataclass(frozen=True)
class WorkList:
    """What a dataset is made from, how, and what it is.

    Attributes:
        tasks: Sequence. The entries; must be picklable.
        prepare: Function of one task that returns its item, or as a string why there is none; must be picklable.
        settings: Mapping. How the data is made, for `dataset.json`; nothing about a patient.
        kind: str. A name of `KINDS`.
        title: str. Of the progress bar.
        validation_fraction: float. Share of the subjects that are for validation, in [0, 1); one of the settings.
        fingerprint: str. By which a rerun recognises the list. Defaults to "".
        origins: Origins. Where the tasks come from. Defaults to None: that is not to be listed.
        sources: Sources. What each task is made from. Defaults to None: a changed input is an error.
        levels, classes, synthetic, shard_size: As for `DatasetWriter`; summarise: as for its `finish`.
    """

    tasks: Sequence
    prepare: Prepare
    settings: Mapping
    kind: str
    title: str
    validation_fraction: float
    fingerprint: str = ""
    origins: Origins | None = None
    sources: Sources | None = None
    levels: Sequence[Level] = tuple(LEVELS)
    classes: Mapping[str, Sequence[str]] | None = None
    synthetic: bool = False
    shard_size: int | None = None
    summarise: Summarise | None = None

    @property
    def made(self) -> dict:
        """Return the settings as `dataset.json` holds them."""
        return json.loads(json.dumps({**self.settings, "validation_fraction": self.validation_fraction}))

    def reviewed(self, output: Path) -> Review:
        """Compare with what is in the folder."""
        if self.sources is None:
            return Review()
        count = len(self.tasks)
        shard_size = self.shard_size or default_shard_size(count)
        known = {"count": count, "shard_size": shard_size, "fingerprint": self.fingerprint}
        return review(output, self.sources, self.made, known, noun=self.origins.noun if self.origins else "image")

    def writer(self, output: Path, **more: str) -> DatasetWriter:
        """Open the dataset in the folder, or begin it."""
        return DatasetWriter(
            output,
            self.kind,
            count=len(self.tasks),
            made=self.made,
            work=self.fingerprint,
            levels=self.levels,
            classes=self.classes,
            synthetic=self.synthetic,
            shard_size=self.shard_size,
            **more,
        )


def build_dataset(
    output: str | os.PathLike,
    work: WorkList,
    *,
    keep: Keep | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    overwrite: bool | None = None,
) -> Conversion:
    """Prepare every task and write the results as one dataset, its subjects split.

    A run that was killed continues after its last whole shard. A finished dataset is left as it is, unless its input
    has changed: then what is new or changed is converted, and everything else is taken over.

    Args:
        keep, workers, scheduler: As for `fill`.
        overwrite: Whether to make the dataset anew whatever was there; None where the command cannot.

    Raises:
        DataError: One line: the output was made with other settings or cannot be written, or a worker died.
    """
    output = Path(output)
    remedy = {} if overwrite is None else {"remedy": "choose another output folder, or give --overwrite"}
    lock = lock_folder(output)
    try:
        if overwrite:
            start_anew(output)
        found = work.reviewed(output)
        writer = work.writer(output, **remedy)
        already_done = writer.complete
        if not already_done:
            fill(
                writer,
                work.tasks,
                work.prepare,
                title=work.title,
                keep=keep,
                workers=workers,
                scheduler=scheduler,
                sources=work.sources,
                former=found.reuse,
            )
        return _finished(writer, found, already_done, work)
    finally:
        lock.release()


def _finished(writer: DatasetWriter, found: Review, already_done: bool, work: WorkList) -> Conversion:
    """Write the lists, complete the dataset, and tell what became of the work list."""
    output, origins = writer.folder, work.origins
    shards = writer.opened()
    rejected = dict(sorted(pair for shard in shards for pair in shard.rejected))
    doubtful = sorted(pair for shard in shards for pair in shard.doubtful)
    if origins is not None and not already_done:
        origins.write_lists(output, rejected, doubtful)
    used = [number for number in range(writer.count) if number not in rejected]
    told_by = count_told_by(read_log(output), used) if work.sources is not None else {}
    described = {"patients_told_by": told_by} if told_by else {}
    dataset = writer.finish(work.validation_fraction, work.summarise, shards=shards, described=described)
    remove_former(output)
    return Conversion(
        dataset,
        range(writer.count) if origins is None else origins.places,
        already_done,
        rejected,
        {n: "; ".join(reason for _, reason in of_one) for n, of_one in groupby(doubtful, itemgetter(0))},
        found.remarks,
    )


def start_anew(folder: Path) -> None:
    """Remove the dataset in a folder, for `--overwrite`.

    Raises:
        DataError: What is there is not a dataset, or cannot be removed.
    """
    if not (folder / DATASET_FILE).exists():
        return
    read_description(folder)
    with writing_to(folder):
        remove_former(folder)
        discard(folder)
