"""Synthetic masses as files: a dataset or PNG, with a manifest that says what each was mixed from.

The manifest's first columns are those of `prepare_masses.py --rois`.
"""

import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

import numpy as np

from feature2mass.generate import MassGenerator, SyntheticMass
from feature2mass.networks import SIZE
from feature2mass.seeds import MIRRORS
from generation.files import encoded_png, image_text
from generation.writers import write
from preprocessing.masses.item import mass_item
from preprocessing.shards import DataError
from preprocessing.version import made_by


class MassStream:
    """Synthetic masses of one run, one dataset to mix and one seed (a `generation.writers.Stream`)."""

    title = "Masses"

    def __init__(self, generator: MassGenerator):
        self.generator = generator

    def batches(self, numbers: range) -> Iterator[list[SyntheticMass]]:
        """Draw masses, a batch at a time."""
        return self.generator.batches(numbers)

    @cached_property
    def plan(self) -> dict:
        """Return what decides the masses."""
        library = self.generator.library
        return {
            "by": "generate_masses",
            "generator": self.generator.fingerprint,
            "seed": self.generator.seed,
            "shape": self.generator.shape,
            "margin": self.generator.margin,
            "mixed_from": "synthetic masses" if library.synthetic else "real masses",
            "masses": library.fingerprint,
        }

    @property
    def dataset(self) -> dict:
        """Return the arguments of `DatasetWriter`; each mass is a subject of its own."""
        library = self.generator.library
        return {
            "kind": "mass",
            "made": {
                **{name: self.plan[name] for name in ("by", "seed", "shape", "margin")},
                **{"context": library.context, "calibrated": library.calibrated},
            },
            "work": self.plan["masses"],
            "levels": [(SIZE, SIZE)],
            "classes": {"shape": list(library.shapes), "margin": list(library.margins)},
            "generator": self.generator.fingerprint,
        }

    @cached_property
    def sized(self) -> bool:
        """Whether the size of any mass is known."""
        return any(category.sizes is not None for category in self.generator.categories)

    def item(self, drawn: SyntheticMass) -> dict:
        """Return a mass as the shards hold it."""
        category = drawn.recipe.category
        item = mass_item(drawn.image, subject=_subject(drawn.number), shape=category.shape, margin=category.margin)
        return item | {"low": drawn.low, "high": drawn.high, "size": drawn.recipe.size}

    def row(self, number: int, drawn: SyntheticMass | None = None) -> dict[str, object]:
        """Return what the manifest says; seeds are items of the dataset, heaviest first, without those of no weight.

        Where the items are not known, the column tells that seeds are places in the generator's file.
        """
        one = drawn.recipe if drawn else self.generator.recipe(number)
        used = [position for position in one.top(len(one.weights)) if one.weights[position] > 0]
        made, items = made_by(), self.generator.library.items(one.seeds)
        places = one.seeds if items is None else items
        size = {} if not self.sized else {"size": "" if np.isnan(one.size) else f"{one.size:.2f}"}
        return {
            **{"x": 0, "y": 0, "width": SIZE, "height": SIZE},
            "shape": self.generator.library.shapes[one.category.shape],
            "margin": self.generator.library.margins[one.category.margin],
            "subject": _subject(number),
            **size,
            "masses_of_category": len(one.category.seeds),
            "seeds_drawn": len(one.seeds),
            "seeds_in_file" if items is None else "seeds": ";".join(str(places[position]) for position in used),
            "mirrored": ";".join(MIRRORS[one.mirrors[position]] for position in used),
            "weights": ";".join(f"{one.weights[position]:.2f}" for position in used),
            "number": number,
            "seed": self.generator.seed,
            "mixed_from": self.plan["mixed_from"],
            "mixed_from_sha256": self.plan["masses"],
            "generator_sha256": self.generator.fingerprint,
            "version": made["version"],
            "commit": made["commit"] or "",
        }

    def png(self, drawn: SyntheticMass) -> dict[str, bytes]:
        """Return the mass with 16 bits."""
        text = image_text(
            f"mass {drawn.number}",
            f"Decoded by a neural network from a mixture of the features of {self.plan['mixed_from']}.",
            f"encoder and decoder SHA-256 {self.generator.fingerprint}",
            self.row(drawn.number, drawn),
        )
        return {f"{drawn.number:06d}.png": encoded_png(drawn.image, text)}

    def dicom(self, drawn: SyntheticMass, record: Mapping) -> dict[str, bytes]:
        """Raise ValueError: a mass is no mammogram."""
        raise ValueError("masses cannot be written as DICOM: a patch is no mammogram")


def _subject(number: int) -> str:
    return f"synthetic{number:07d}"


def write_masses(
    run: str | os.PathLike | None,
    output: str | os.PathLike,
    count: int,
    *,
    file_format: str = "h5",
    data: str | os.PathLike | None = None,
    shape: str | None = None,
    margin: str | None = None,
    seed: int = 0,
) -> Path:
    """Write new masses, and `manifest.csv`, which says for each of them what it was mixed from.

    Args:
        run, data, shape, margin, seed: see `MassGenerator`.
        file_format: "h5", a dataset in the format that training reads, or "png", 16 bits.

    Returns:
        The folder.

    Raises:
        MassGeneratorError, DataError: one clear line.
    """
    if file_format not in ("h5", "png"):
        raise DataError(f"--format {file_format}: must be h5 or png for masses")
    return write(MassStream(MassGenerator(run, data, shape, margin, seed)), output, count, file_format)
