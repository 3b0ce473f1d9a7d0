"""The dataset format: HDF5 shards with a description, their writer and their reader."""

from preprocessing.shards.format import DATASET_FILE, LEVELS, SPLITS, DataError, Level, shows_patients
from preprocessing.shards.reader import Dataset, open_dataset
from preprocessing.shards.writer import DatasetWriter, lock_folder

__all__ = [
    "DATASET_FILE",
    "LEVELS",
    "SPLITS",
    "DataError",
    "Dataset",
    "DatasetWriter",
    "Level",
    "lock_folder",
    "open_dataset",
    "shows_patients",
]
