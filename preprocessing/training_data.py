"""The dataset that a training reads: one that the user names, or phantoms."""

from collections.abc import Callable
from pathlib import Path

from preprocessing.phantoms.mammogram import make_phantoms
from preprocessing.phantoms.mass import make_mass_phantoms
from preprocessing.shards import Dataset, open_dataset


def open_training_data(folder: Path | None, kind: str, phantoms: int, echo: Callable[[str], None] = print) -> Dataset:
    """Open the dataset of a folder, checksums verified; without one, phantoms that are made once and kept.

    Args:
        folder: of `--data`; None for phantoms.
        kind: "mammogram" or "mass".
        phantoms: how many to make.
        echo: prints that phantoms are used.

    Raises:
        DataError: the dataset cannot be opened, or phantoms cannot be written.
    """
    if folder is None:
        noun, parent, make = {
            "mammogram": ("phantoms", "data/phantoms", make_phantoms),
            "mass": ("mass phantoms", "data/mass-phantoms", make_mass_phantoms),
        }[kind]
        folder = Path(parent) / f"{phantoms}"
        echo(f"no --data: training on {phantoms} {noun}, kept in {folder}")
        make(folder, phantoms)
    dataset = open_dataset(folder, kind=kind, verify=True)
    if not len(dataset.indices("validation")):
        echo(
            f"warning: {folder} has no validation split: samples are of training images; prepare data of more patients"
        )
    return dataset
