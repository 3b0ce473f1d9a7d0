"""A file in memory that is mostly holes."""

import io
import os
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from typing_extensions import Buffer


class SparseFile(io.RawIOBase):
    """A file object for h5py that keeps what is written and needs no memory for the holes in between."""

    def __init__(self) -> None:
        self._position = self._size = 0
        self._written: list[tuple[int, bytes]] = []  # in the order of writing

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to an offset from the start, from here or from the end."""
        self._position = offset + (0, self._position, self._size)[whence]
        return self._position

    def write(self, data: "Buffer") -> int:
        """Keep a copy of the data; returns its length."""
        kept = bytes(data)
        self._written.append((self._position, kept))
        self._position += len(kept)
        self._size = max(self._size, self._position)
        return len(kept)

    def readinto(self, buffer: "Buffer") -> int:
        """Fill a buffer with what was written, and zeros where nothing was."""
        target = memoryview(buffer)
        target[:] = bytes(len(target))
        first, last = self._position, self._position + len(target)
        for start, data in self._written:
            begin, end = max(start, first), min(start + len(data), last)
            if begin < end:
                target[begin - first : end - first] = data[begin - start : end - start]
        self._position = last
        return len(target)

    def truncate(self, size: int | None = None) -> int:
        """Set the length of the file. Defaults to the position."""
        self._size = self._position if size is None else size
        return self._size

    def copy_to(self, file: BinaryIO) -> None:
        """Write all of it to a real file, with zeros (on most disks: holes) where nothing was written."""
        file.truncate(self._size)
        for start, data in self._written:
            file.seek(start)
            file.write(data)
