"""The dataset format: HDF5 shards with a description, their writer and their reader."""

from preprocessing.shards.dataset import (
    DATASET_FILE,
    FORMAT,
    KINDS,
    LEVELS,
    SPLITS,
    DataError,
    Dataset,
    DatasetWriter,
    Item,
    Kind,
    Level,
    array_name,
    open_dataset,
    split_subjects,
    write_shard,
)

__all__ = [
    "DATASET_FILE",
    "FORMAT",
    "KINDS",
    "LEVELS",
    "SPLITS",
    "DataError",
    "Dataset",
    "DatasetWriter",
    "Item",
    "Kind",
    "Level",
    "array_name",
    "open_dataset",
    "split_subjects",
    "write_shard",
]
