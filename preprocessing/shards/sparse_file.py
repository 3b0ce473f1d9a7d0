"""A file in memory that is mostly holes."""

import io
import os
from typing import BinaryIO


class SparseFile(io.RawIOBase):
    """A file object for h5py that keeps what is written and needs no memory for the holes in between."""

    def __init__(self):
        self._position = self._size = 0
        self._written: list[tuple[int, bytes]] = []  # in the order of writing

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to an offset from the start, from here or from the end."""
        self._position = offset + (0, self._position, self._size)[whence]
        return self._position

    def write(self, data: memoryview) -> int:
        """Keep a copy of the data; returns its length."""
        self._written.append((self._position, bytes(data)))
        self._position += len(data)
        self._size = max(self._size, self._position)
        return len(data)

    def readinto(self, target: memoryview) -> int:
        """Fill the target with what was written, and zeros where nothing was."""
        target[:] = bytes(len(target))
        first, last = self._position, self._position + len(target)
        for start, data in self._written:
            begin, end = max(start, first), min(start + len(data), last)
            if begin < end:
                target[begin - first : end - first] = data[begin - start : end - start]
        self._position = last
        return len(target)

    def truncate(self, size: int) -> int:
        """Set the length of the file."""
        self._size = size
        return size

    def copy_to(self, file: BinaryIO) -> None:
        """Write all of it to a real file, with zeros (on most disks: holes) where nothing was written."""
        file.truncate(self._size)
        for start, data in self._written:
            file.seek(start)
            file.write(data)
