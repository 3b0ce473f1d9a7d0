"""The dataset format: HDF5 shards with a description, their writer and their reader."""

from preprocessing.shards.convert import Conversion, WorkList, build_dataset
from preprocessing.shards.format import (
    DATASET_FILE,
    LEVELS,
    SPLITS,
    DataError,
    Level,
    array_name,
    as_stored,
    shows_patients,
)
from preprocessing.shards.pseudonyms import Key, Origins, open_output
from preprocessing.shards.reader import Dataset, open_dataset
from preprocessing.shards.writer import DatasetWriter, lock_folder

__all__ = [
    "DATASET_FILE",
    "LEVELS",
    "SPLITS",
    "Conversion",
    "DataError",
    "Dataset",
    "DatasetWriter",
    "Key",
    "Level",
    "Origins",
    "array_name",
    "as_stored",
    "WorkList",
    "build_dataset",
    "lock_folder",
    "open_dataset",
    "open_output",
    "shows_patients",
]
