"""From a work list to a dataset: prepare each entry, write shards, split subjects, list what was rejected.

Results come in the order of the list and are written one shard at a time, so that a killed run loses at most the
shards in progress.
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from preprocessing.progress import progress
from preprocessing.shards.format import DATASET_FILE, LEVELS, Item, Level
from preprocessing.shards.pseudonyms import Origins
from preprocessing.shards.reader import Dataset
from preprocessing.shards.schema import read_description
from preprocessing.shards.sources import Sources, digest_of, read_log
from preprocessing.shards.update import Former, Review, remove_former, review
from preprocessing.shards.workers import results_of, usable_cores
from preprocessing.shards.writer import DatasetWriter, Summarise, default_shard_size, discard, lock_folder, writing_to

Prepare = Callable[[Any], Item | str]  # an item, or the reason why there is none
Keep = Callable[[int, Sequence[Item]], None]  # a shard's number and its items


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
            An item may say `told_by`: how its patient was told from others.
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
        keep: Called with every shard before it is written, to keep what a dataset does not hold.
        workers: Number of processes; 1 works in this one. Defaults to the number of usable cores.
        scheduler: Address of a Dask scheduler, to use its workers instead.
        overwrite: Whether to make the dataset anew whatever was there; None where the command cannot.

    Raises:
        DataError: One line: the output was made with other settings or cannot be written, a worker died, or the
            scheduler does not answer.
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
            _fill(writer, work, found.reuse, keep, workers, scheduler)
        return _finished(writer, found, already_done, work)
    finally:
        lock.release()


def _fill(
    writer: DatasetWriter,
    work: WorkList,
    former: Former | None,
    keep: Keep | None,
    workers: int | None,
    scheduler: str | None,
) -> None:
    """Prepare and write every shard that the writer still misses; what is in the former dataset is taken over."""
    missing, sources = writer.missing(), work.sources
    if not missing:
        return
    left = [n for _, numbers in missing for n in numbers if former is None or n not in former]
    tasks = ((work.tasks[n], () if sources is None else sources.files[n]) for n in left)
    workers = min(workers or usable_cores(), len(left))
    prepare = partial(_noted, work.prepare)
    with results_of(prepare, tasks, workers, scheduler) as results, progress(work.title, len(left)) as tick:
        for shard, numbers in missing:
            items, rejected, doubtful, made = [], [], [], []
            for number in numbers:
                if former is not None and number in former:
                    note, result = former.result(number)
                    made.append(note)
                else:
                    digest, result = next(results)
                    if sources is not None:
                        told_by = "" if isinstance(result, str) else str(result.get("told_by", ""))
                        made.append(sources.converted(number, digest, told_by))
                    tick()
                if isinstance(result, str):
                    rejected.append((number, result))
                else:
                    items.append(result)
                    doubtful += [(number, doubt) for doubt in str(result.get("doubtful", "")).splitlines()]
            if sources is not None:
                writer.note(numbers[0], made)
            if keep is not None:
                keep(shard, items)
            writer.write(shard, items, rejected, doubtful)


def _noted(prepare: Prepare, task: tuple[object, Sequence[Path]]) -> tuple[str, Item | str]:
    """Prepare an entry, its files hashed first: what is decoded then is at least as new."""
    entry, files = task
    return digest_of(files) if files else "", prepare(entry)


def _finished(writer: DatasetWriter, found: Review, already_done: bool, work: WorkList) -> Conversion:
    """Write the lists, complete the dataset, and tell what became of the work list."""
    output, origins = writer.folder, work.origins
    shards = writer.opened()
    rejected = dict(sorted(pair for shard in shards for pair in shard.rejected))
    doubtful = sorted(pair for shard in shards for pair in shard.doubtful)
    if origins is not None and not already_done:
        origins.write_lists(output, rejected, doubtful)
    log = {} if work.sources is None else read_log(output)
    used = [log[number].told_by for number in range(writer.count) if number in log and number not in rejected]
    told_by = Counter(filter(None, used))
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
