"""The dataset format: HDF5 shards with a description, their writer and their reader."""

from preprocessing.shards.convert import Conversion, WorkList, build_dataset
from preprocessing.shards.fill import usable_cores
from preprocessing.shards.format import (
    DATASET_FILE,
    FORMAT,
    KINDS,
    LEVELS,
    SPLITS,
    DataError,
    Item,
    Kind,
    Level,
    array_name,
    as_stored,
    shows_patients,
)
from preprocessing.shards.pseudonyms import Key, Origins, keyed_hash, open_output, private_list, write_private
from preprocessing.shards.reader import Dataset, open_dataset
from preprocessing.shards.shard_file import write_shard
from preprocessing.shards.writer import DatasetWriter, lock_folder, split_subjects

__all__ = [
    "DATASET_FILE",
    "FORMAT",
    "KINDS",
    "LEVELS",
    "SPLITS",
    "Conversion",
    "DataError",
    "Dataset",
    "DatasetWriter",
    "Item",
    "Key",
    "Kind",
    "Level",
    "Origins",
    "array_name",
    "as_stored",
    "WorkList",
    "build_dataset",
    "keyed_hash",
    "lock_folder",
    "open_dataset",
    "open_output",
    "private_list",
    "shows_patients",
    "split_subjects",
    "usable_cores",
    "write_private",
    "write_shard",
]
