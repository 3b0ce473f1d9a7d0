"""New labelled masses from a trained run: arrays, shards or PNG (Lee et al. 2018, §3.4).

Every new mass is decoded from a mixture of the features of up to twenty masses of its category. `manifest.csv` says for
each what it came from; its first columns are those of `prepare_masses.py --rois`.
"""

import csv
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from feature2mass.mixing import Mixer, load_networks, open_seeds
from feature2mass.networks import SIZE
from feature2mass.seeds import MIRRORS, Category, Recipe, categories, recipe
from preprocessing.images.png import write_image
from preprocessing.masses.item import mass_item
from preprocessing.masses.rois import ROI_COLUMNS
from preprocessing.progress import progress
from preprocessing.shards import DataError, Dataset, DatasetWriter

BATCH = 64
MANIFEST = "manifest.csv"
MANIFEST_COLUMNS = (*ROI_COLUMNS, "masses_of_category", "seeds_drawn", "seeds", "mirrored", "weights")


def generate(
    run: str | os.PathLike,
    count: int = 8,
    *,
    data: str | os.PathLike | None = None,
    shape: str | None = None,
    margin: str | None = None,
    seed: int = 0,
) -> tuple[np.ndarray, list[Recipe]]:
    """Draw new masses.

    Args:
        run: of `train_feature2mass.py`.
        count: masses to make.
        data: masses to mix; None for what the run was trained on.
        shape, margin: names of classes; None for all that have masses, in turns.
        seed: of the choice of seeds and weights.

    Returns:
        (masses float32 (count, 64, 64) in [0, 1], what each is mixed from).

    Example::

        masses, recipes = generate("runs/masses", count=8, shape="irregular", margin="spiculated")
    """
    mixer, wanted = _opened(run, data, shape, margin)
    recipes = [recipe(number, wanted, seed) for number in range(count)]
    batches = [mixer.masses(recipes[first : first + BATCH]) for first in range(0, count, BATCH)]
    return np.concatenate(batches), recipes


def _opened(
    run: str | os.PathLike, data: str | os.PathLike | None, shape: str | None, margin: str | None
) -> tuple[Mixer, list[Category]]:
    networks = load_networks(run)
    dataset = open_seeds(run, data, networks)
    return Mixer(networks, dataset), categories(dataset, shape, margin)


def write_shards(
    run: str | os.PathLike,
    output: str | os.PathLike,
    count: int,
    *,
    data: str | os.PathLike | None = None,
    shape: str | None = None,
    margin: str | None = None,
    seed: int = 0,
) -> Dataset:
    """Write new masses as a dataset, in the format that training reads, with `manifest.csv` beside the shards.

    A killed call goes on after its last whole shard. Each mass is a subject of its own; all are in the training split.
    """
    mixer, wanted = _opened(run, data, shape, margin)
    dataset = mixer.dataset
    made = {"by": "generate_masses", "seed": seed, "shape": shape, "margin": margin}
    writer = DatasetWriter(
        output,
        "mass",
        count=count,
        made=made,
        work=dataset.fingerprint,
        levels=[(SIZE, SIZE)],
        classes={name: dataset.classes(name) for name in ("shape", "margin")},
        synthetic=True,
        generator=mixer.networks.fingerprint,
    )
    if not writer.complete:
        missing = writer.missing()
        with progress("Masses", sum(len(numbers) for _, numbers in missing)) as tick:
            for shard, numbers in missing:
                items = []
                for one, mass in _stream(mixer, wanted, numbers, seed):
                    items.append(_item(one, *mass))
                    tick()
                writer.write(shard, items)
        recipes = (recipe(number, wanted, seed) for number in range(count))
        _write_manifest(Path(output), recipes, dataset, place=lambda one: f"item {one.number}")
    return writer.finish()


def write_png(
    run: str | os.PathLike,
    output: str | os.PathLike,
    count: int,
    *,
    data: str | os.PathLike | None = None,
    shape: str | None = None,
    margin: str | None = None,
    seed: int = 0,
) -> int:
    """Write 16-bit PNG images and `manifest.csv`; returns how many.

    Raises:
        DataError: the folder cannot be written.
    """
    mixer, wanted = _opened(run, data, shape, margin)
    folder = Path(output)

    def written() -> Iterator[Recipe]:
        with progress("Masses", count) as tick:
            for one, (mass, _, _) in _stream(mixer, wanted, range(count), seed):
                write_image(folder / _png(one), mass)
                tick()
                yield one

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error
    _write_manifest(folder, written(), mixer.dataset, place=_png)
    return count


def _stream(mixer: Mixer, wanted: Sequence[Category], numbers: range, seed: int) -> Iterator[tuple[Recipe, tuple]]:
    """(recipe, (mass, low, high)) one after another; memory holds one batch and the seeds' features."""
    for first in range(numbers.start, numbers.stop, BATCH):
        recipes = [recipe(number, wanted, seed) for number in range(first, min(first + BATCH, numbers.stop))]
        yield from zip(recipes, mixer.mixed(recipes), strict=True)


def _item(one: Recipe, mass: np.ndarray, low: float, high: float) -> dict:
    """A mass as it is stored."""
    item = mass_item(mass, subject=_subject(one), shape=one.category.shape, margin=one.category.margin)
    return item | {"low": low, "high": high}


def _png(one: Recipe) -> str:
    return f"{one.number:06d}.png"


def _subject(one: Recipe) -> str:
    return f"synthetic{one.number:07d}"


def _write_manifest(folder: Path, recipes: Iterable[Recipe], dataset: Dataset, place: Callable[[Recipe], str]) -> None:
    """A row a mass; seeds are item numbers of the dataset, those of no weight left out, heaviest first."""
    partial = folder / f"{MANIFEST}.part"
    shapes, margins = dataset.classes("shape"), dataset.classes("margin")
    try:
        with open(partial, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(MANIFEST_COLUMNS)
            for one in recipes:
                used = [position for position in one.top(len(one.weights)) if one.weights[position] > 0]
                mixed_from = (
                    ";".join(str(one.seeds[position]) for position in used),
                    ";".join(MIRRORS[one.mirrors[position]] for position in used),
                    ";".join(f"{one.weights[position]:.2f}" for position in used),
                )
                labels = shapes[one.category.shape], margins[one.category.margin]
                seeds = len(one.category.seeds), len(one.seeds)
                writer.writerow((place(one), 0, 0, SIZE, SIZE, *labels, _subject(one), *seeds, *mixed_from))
        os.replace(partial, folder / MANIFEST)
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(folder: Path, error: OSError) -> DataError:
    return DataError(f"--output {folder}: cannot be written ({error.strerror or type(error).__name__})")
