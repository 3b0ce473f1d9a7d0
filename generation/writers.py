"""Writing synthetic images: a dataset of shards, PNG files or DICOM objects, one batch while the next is drawn."""

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from generation.background import deferred_calls
from generation.files import open_folder
from preprocessing.atomic import whole_file, write_whole
from preprocessing.errors import system_errors_as
from preprocessing.progress import progress
from preprocessing.shards import DataError, DatasetWriter, lock_folder
from preprocessing.version import made_by

MANIFEST = "manifest.csv"


class Drawn(Protocol):
    """One synthetic image."""

    @property
    def number(self) -> int: ...


Image = TypeVar("Image", bound=Drawn)


class Stream(Protocol[Image]):
    """Synthetic images by number: mammograms or masses.

    Attributes:
        title: of the progress bar.
        plan: what decides the images, for `provenance.json`.
        dataset: arguments of `DatasetWriter`, less folder and count.
    """

    title: str

    @property
    def plan(self) -> Mapping[str, Any]: ...

    @property
    def dataset(self) -> Mapping[str, Any]: ...

    def batches(self, numbers: range) -> Iterator[Sequence[Image]]:
        """Draw images, a batch at a time."""

    def item(self, drawn: Image) -> Mapping:
        """Return an image as the shards hold it."""

    def row(self, number: int, drawn: Image | None) -> Mapping[str, object]:
        """Return what the manifest says of an image, which may not be at hand; without its file."""

    def png(self, drawn: Image) -> Mapping[str, bytes]:
        """Return PNG files of an image: name → content."""

    def dicom(self, drawn: Image, record: Mapping) -> Mapping[str, bytes]:
        """Return DICOM and other files of an image: name → content."""


def write(stream: Stream, output: str | os.PathLike, count: int, file_format: str = "h5") -> Path:
    """Write `count` synthetic images and `manifest.csv`.

    A killed call for a dataset continues after its last whole shard; one for single files begins again.

    Args:
        file_format: "h5" (a dataset), "png" or "dicom".

    Returns:
        The folder.

    Raises:
        DataError: the folder holds other images, or cannot be written.
    """
    target = Shards(stream, output, count) if file_format == "h5" else Files(stream, output, count, file_format)
    if target.complete:
        return target.folder
    missing = target.missing()
    with progress(stream.title, sum(len(numbers) for _, numbers in missing)) as tick, deferred_calls() as later:
        for part, numbers in missing:
            for batch in stream.batches(numbers):
                later(target.add, batch)
                tick(len(batch))
            later(target.end, part)
    target.finish()
    return target.folder


class _Target:
    """What the two kinds of output share: the manifest."""

    def __init__(self, stream: Stream, output: str | os.PathLike, count: int):
        self.stream, self.folder, self.count = stream, Path(output), count
        self._rows: dict[int, Mapping] = {}

    def note(self, batch: Sequence[Drawn]) -> None:
        """Keep what the manifest says of these images."""
        self._rows |= {drawn.number: self.stream.row(drawn.number, drawn) for drawn in batch}

    def write_manifest(self, place: str) -> None:
        """Write a row for each image; those of an earlier call are worked out again.

        Args:
            place: pattern of what the first column says, of the number.
        """
        refused = system_errors_as(DataError, f"--output {self.folder}")
        with refused, whole_file(self.folder / MANIFEST) as partial, open(partial, "w", newline="") as file:
            writer = None
            for number in range(self.count):
                row = self._rows.get(number) or self.stream.row(number, None)
                row = {"image": place.format(number), **row}
                writer = writer or csv.DictWriter(file, row)
                if number == 0:
                    writer.writeheader()
                writer.writerow(row)


class Shards(_Target):
    """A dataset in the format that training reads; all images are in the training split."""

    def __init__(self, stream: Stream, output: str | os.PathLike, count: int):
        super().__init__(stream, output, count)
        self.writer = DatasetWriter(output, count=count, synthetic=True, **stream.dataset)
        self._items: list[Mapping] = []

    @property
    def complete(self) -> bool:
        """Whether nothing is missing, not even the manifest."""
        return self.writer.complete and (self.folder / MANIFEST).exists()

    def missing(self) -> list[tuple[int, range]]:
        """Return the shards to write, each with its numbers."""
        return self.writer.missing()

    def add(self, batch: Sequence[Drawn]) -> None:
        """Keep images of the present shard."""
        self._items += [self.stream.item(drawn) for drawn in batch]
        self.note(batch)

    def end(self, part: int) -> None:
        """Write the present shard."""
        self.writer.write(part, self._items)
        self._items = []

    def finish(self) -> None:
        """Write the manifest, then complete the dataset."""
        self.write_manifest("item {}")
        self.writer.finish(summarise=lambda fields, rejected: {"made_by": made_by(), **self.stream.plan})


class Files(_Target):
    """One file per image (and its mask's in `masks/`), with a record of the folder in `provenance.json`."""

    complete = False

    def __init__(self, stream: Stream, output: str | os.PathLike, count: int, file_format: str):
        super().__init__(stream, output, count)
        if file_format not in ("png", "dicom"):
            raise DataError(f"--format {file_format}: must be h5, png or dicom")
        self.file_format = file_format
        self._lock = lock_folder(self.folder)  # until the images are written, or this object is gone
        self.record = open_folder(self.folder, {"file_format": file_format, **stream.plan}, count)

    def missing(self) -> list[tuple[int, range]]:
        """Return all numbers as one part."""
        return [(0, range(self.count))]

    def add(self, batch: Sequence[Drawn]) -> None:
        """Write images, each file in one step."""
        with system_errors_as(DataError, f"--output {self.folder}"):
            for drawn in batch:
                files = self.stream.png(drawn) if self.file_format == "png" else self.stream.dicom(drawn, self.record)
                for name, content in files.items():
                    write_whole(self.folder / name, content)
        self.note(batch)

    def end(self, part: int) -> None:
        """Do nothing: the files are written."""

    def finish(self) -> None:
        """Write the manifest."""
        self.write_manifest("{:06d}.png" if self.file_format == "png" else "{:06d}.dcm")
        self._lock.release()
