"""Thumbnails of a dataset being made: kept next to it, one file per shard, so that a killed run can continue."""

import re
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from preprocessing.atomic import whole_file
from preprocessing.errors import system_errors_as
from preprocessing.shards.format import DataError, Item

_OWN_FILE = re.compile(r"(index|page-\d+|rejected)\.html")
MARK = "<!-- contact sheet of "
_STORED = "thumbnails"


class ThumbnailStore:
    """The folder of a contact sheet: its thumbnails while a dataset is made, and its pages.

    Args:
        dataset: Folder of the dataset. The sheet lies next to it, as `<dataset>.contact-sheet`, not in it: it is for
            whoever prepares the images, not for whoever trains on them.
    """

    def __init__(self, dataset: Path):
        self.folder = dataset.with_name(f"{dataset.name}.contact-sheet")
        self._open = lru_cache(4)(zipfile.ZipFile)

    def keep(self, shard: int, items: Sequence[Item]) -> None:
        """Store the thumbnails that a shard's items hold, in their order.

        Raises:
            DataError: They cannot be written.
        """
        with self.writing(), whole_file(self._path(shard)) as partial, zipfile.ZipFile(partial, "w") as file:
            for number, item in enumerate(items):
                file.writestr(zipfile.ZipInfo(str(number)), str(item.get("thumbnail", "")))  # no time in it

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Create the folder, and tell in one line what cannot be written there."""
        cure = "free space or give --no-contact-sheet"
        with system_errors_as(DataError, self.folder, "the contact sheet cannot be written", cure):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            yield

    def read(self, shard: int, position: int, count: int) -> str | None:
        """Read the thumbnail of an item of a shard of `count` items; None where it was not kept."""
        try:
            file = self._open(self._path(shard))
            kept = file.read(str(position)).decode() if len(file.namelist()) == count else ""
            return kept or None
        except (OSError, KeyError, ValueError, zipfile.BadZipFile):
            return None

    def clear(self) -> None:
        """Remove a sheet of another dataset that was in the same place; nothing but what a sheet consists of."""
        if self.folder.is_symlink() or not self.folder.is_dir():
            return
        for path in self.folder.iterdir():
            if _OWN_FILE.fullmatch(path.name) and MARK.encode() in path.read_bytes()[:200]:
                path.unlink()
        for path in (self.folder / _STORED).glob("shard-*.zip"):
            path.unlink()
        with suppress(OSError):
            (self.folder / _STORED).rmdir()
        with suppress(OSError):  # something else is in it
            self.folder.rmdir()

    def _path(self, shard: int) -> Path:
        return self.folder / _STORED / f"shard-{shard:05d}.zip"
