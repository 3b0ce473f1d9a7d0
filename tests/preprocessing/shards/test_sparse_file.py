"""A file in memory for h5py: what was written is read again and copied, holes are zeros and take no room."""

import io

import h5py
import numpy as np

from preprocessing.shards.sparse_file import SparseFile


def written() -> SparseFile:
    """A field of its own, and an array of 800 MB of which one element is written."""
    sparse = SparseFile()
    with h5py.File(sparse, "w") as file:
        file.create_dataset("field", data=np.arange(5))
        file.create_dataset("array", (100, 1000, 1000), "f8")[50, 0, 0] = 7
    return sparse


def test_h5py_reads_what_it_wrote():
    with h5py.File(written(), "r") as file:
        assert file["field"][()].tolist() == [0, 1, 2, 3, 4]
        assert file["array"][50, 0, :3].tolist() == [7, 0, 0]


def test_holes_take_no_room():
    assert sum(len(data) for _, data in written()._written) < 2**20


def test_later_data_lies_over_earlier_and_between_are_zeros():
    sparse = SparseFile()
    for start, data in ((0, b"aaaa"), (6, b"bb"), (2, b"cc")):
        sparse.seek(start)
        sparse.write(data)
    sparse.seek(1)
    assert sparse.read(6) == b"acc\0\0b"
    copy = io.BytesIO()
    sparse.copy_to(copy)
    assert copy.getvalue() == b"aacc\0\0bb"
