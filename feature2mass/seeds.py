"""What new masses are mixed from: random masses of one category with random weights (Lee et al. 2018, §3.4).

A category is a shape with a margin; it labels all that is mixed from it. A recipe is up to twenty masses of a category
with random weights. Mixtures of masses of different orientation are blurred, so that the first mass drawn leads (ours):
the others are mirrored to resemble it (training mirrors masses, and a mirrored mass keeps its label), and those that
resemble it most get the largest weights. A category of fewer than twenty masses adds mirrored copies, up to twenty
seeds or as many as exist (ours).

Where the sizes of masses are known, the others are of like size (ours): a small mass was enlarged and is soft, a large
one is sharp, and the mixture gets the texture of its own size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from feature2mass.features import SEEDS, category_weights
from feature2mass.networks import SIZE
from feature2mass.settings import ALL_OF_MIXING, Mixing
from preprocessing.batches import labelled_masses
from preprocessing.errors import UserError
from preprocessing.shards import Dataset

MIRRORS = ("no", "left-right", "top-bottom", "both")
THUMBNAIL = 16  # height and width at which likeness is judged
LIKE_SIZE = 1.25  # the most by which the sizes of a mixture's masses differ from that of the first, as a factor
LEAST_ALIKE = 5  # masses to choose from: where fewer are of like size, those nearest in size


class MassGeneratorError(UserError):
    """Masses cannot be generated; the message says what to do."""


@dataclass(frozen=True)
class Category:
    """One shape with one margin, and the masses of it that may be seeds.

    Attributes:
        shape, margin: indices of classes.
        seeds: dataset indices, (n,).
        thumbnails: the masses made small, float32 (n, 16, 16).
        mean: of the masses and their mirror images, float32 (64, 64).
        sizes: longest sides in pixels of a mammogram 512 pixels high, (n,), NaN where unknown; None where all are.
    """

    shape: int
    margin: int
    seeds: np.ndarray
    thumbnails: np.ndarray
    mean: np.ndarray
    sizes: np.ndarray | None = None

    @classmethod
    def of(cls, dataset: Dataset, shape: int, margin: int, seeds: np.ndarray) -> "Category":
        """Make the category of these masses of a dataset."""
        images = dataset.images((SIZE, SIZE), seeds)
        blocks = images.reshape(-1, THUMBNAIL, SIZE // THUMBNAIL, THUMBNAIL, SIZE // THUMBNAIL)
        mean = mirrored(images.mean(axis=0)).mean(axis=0)
        return cls(shape, margin, seeds, blocks.mean(axis=(2, 4)), mean, known(dataset.field("size")[seeds]))

    def of_like_size(self, first: int) -> np.ndarray:
        """Return the positions of masses that may be mixed with one, itself included; all where its size is unknown."""
        if self.sizes is None or np.isnan(self.sizes[first]):
            return np.arange(len(self.seeds))
        differences = np.abs(np.log(self.sizes / self.sizes[first]))
        nearest = np.argsort(differences, kind="stable")  # those of unknown size last
        count = max((differences <= np.log(LIKE_SIZE)).sum(), min(LEAST_ALIKE, np.isfinite(differences).sum()))
        return np.sort(nearest[:count])


@dataclass(frozen=True)
class Seed:
    """A mass to mix, as it is or mirrored.

    Attributes:
        index: in the dataset.
        mirror: index into `MIRRORS`.
        category: its label.
    """

    index: int
    mirror: int
    category: Category


def categories(
    dataset: Dataset, shape: str | None = None, margin: str | None = None, split: str | None = "train"
) -> list[Category]:
    """Find the categories of a dataset, or those of a wanted shape or margin.

    Raises:
        MassGeneratorError: no such class, or no mass of it in the split.
    """
    indices, labels = labelled_masses(dataset, split)
    pairs = [(s, m) for s, m in np.unique(labels, axis=0).tolist()]
    where = f"the {split} split of {dataset.folder}" if split else f"{dataset.folder}"
    classes = dataset.classes("shape"), dataset.classes("margin")
    wanted = wanted_pairs(pairs, *classes, shape, margin, where=where, remedy=" or --data that has some")
    return [Category.of(dataset, s, m, indices[(labels == (s, m)).all(axis=1)]) for s, m in wanted]


def wanted_pairs(
    pairs: Sequence[tuple[int, int]],
    shapes: Sequence[str],
    margins: Sequence[str],
    shape: str | None,
    margin: str | None,
    *,
    where: str,
    remedy: str = "",
) -> list[tuple[int, int]]:
    """Choose the categories of a wanted shape and margin.

    Args:
        pairs: indices of shape and margin of the categories that there are.
        shapes, margins: names of the classes.
        shape, margin: the wanted ones; None for any.
        where: what has these masses, for the message.
        remedy: what the message advises besides another category.

    Raises:
        MassGeneratorError: no such class, or no category of it.
    """
    for field, name, names in (("shape", shape, shapes), ("margin", margin, margins)):
        if name is not None and name not in names:
            raise MassGeneratorError(f"--{field} {name}: must be one of {', '.join(names)}")
    found = [(s, m) for s, m in pairs if shape in (None, shapes[s]) and margin in (None, margins[m])]
    if not found:
        wanted = ", ".join(f"--{field} {name}" for field, name in (("shape", shape), ("margin", margin)) if name)
        raise MassGeneratorError(
            f"{wanted or 'no category'}: {where} has no labelled mass of it to start from; choose another category"
            f"{remedy}"
        )
    return found


def known(sizes: np.ndarray) -> np.ndarray | None:
    """Return sizes, or None where not one is known."""
    return None if np.isnan(sizes).all() else sizes


@dataclass(frozen=True)
class Recipe:
    """What one generated mass is mixed from.

    Attributes:
        number: of the mass.
        category: its label.
        seeds: dataset indices, (n,), twenty or fewer.
        mirrors: indices into `MIRRORS`, (n,).
        weights: multiples of 0.05 of sum 1, (n,).
    """

    number: int
    category: Category
    seeds: np.ndarray
    mirrors: np.ndarray
    weights: np.ndarray

    def mixture(self) -> tuple[list[Seed], np.ndarray]:
        """Return the seeds of weight above 0, and their weights."""
        used = self.weights > 0
        pairs = zip(self.seeds[used].tolist(), self.mirrors[used].tolist())
        return [Seed(index, mirror, self.category) for index, mirror in pairs], self.weights[used]

    @cached_property
    def size(self) -> float:
        """The weighted geometric mean of the seeds' sizes, NaN where none is known."""
        if self.category.sizes is None:
            return float("nan")
        sizes = self.category.sizes[np.searchsorted(self.category.seeds, self.seeds)]
        used = np.isfinite(sizes) & (self.weights > 0)
        if not used.any():
            return float("nan")
        return float(np.exp(np.average(np.log(sizes[used]), weights=self.weights[used])))

    def top(self, count: int = 3) -> np.ndarray:
        """Return the positions of the seeds with the largest weights, largest first."""
        return np.argsort(-self.weights, kind="stable")[:count]


def recipe(number: int, wanted: Sequence[Category], seed: int = 0, mixing: Mixing = ALL_OF_MIXING) -> Recipe:
    """Choose what the mass of a number is mixed from, a function of (seed, number) and the masses alone.

    The categories take turns. With mirrored seeds, these are sorted by their likeness to the first, weights by size,
    largest first; without, both are as drawn. Where sizes are known, the others are of like size to the first.
    """
    category = wanted[number % len(wanted)]
    random = np.random.default_rng([seed, number])
    first = -1 if category.sizes is None else int(random.integers(len(category.seeds)))
    pool = category.of_like_size(first)
    if not mixing.mirrored_seeds:
        chosen = pool[_order(pool, first, random)[:SEEDS]]
        (weights,) = category_weights(1, len(chosen), random=random, largest=mixing.largest_weight)
        return Recipe(number, category, category.seeds[chosen], np.zeros(len(chosen), int), weights)
    if len(pool) >= SEEDS:
        chosen = pool[_order(pool, first, random)[:SEEDS]]
        leader = random.integers(len(MIRRORS))
        looks = mirrored(category.thumbnails[chosen])
        mirrors = _differences(looks, looks[leader, 0]).argmin(axis=0)
        mirrors[0] = leader
    else:  # all masses as they are, then random mirror images of them
        lot = random.permutation(len(pool) * (len(MIRRORS) - 1))[: SEEDS - len(pool)]
        chosen = np.append(pool, pool[lot % len(pool)])
        mirrors = np.append(np.zeros(len(pool), int), 1 + lot // len(pool))
        order = _order(chosen, first, random)
        chosen, mirrors = chosen[order], mirrors[order]
        looks = mirrored(category.thumbnails[chosen])
    seen = looks[mirrors, np.arange(len(chosen))]
    likeness = np.argsort(_differences(seen, seen[0]), kind="stable")  # the first resembles itself most
    (weights,) = category_weights(1, len(chosen), random=random, largest=mixing.largest_weight)
    return Recipe(number, category, category.seeds[chosen[likeness]], mirrors[likeness], np.sort(weights)[::-1])


def _order(masses: np.ndarray, first: int, random: np.random.Generator) -> np.ndarray:
    """Return the positions of masses in a random order, but those of `first`, where it is there, before the others."""
    order = random.permutation(len(masses))
    return order[np.argsort(masses[order] != first, kind="stable")]


def seed_image(dataset: Dataset, index: int, mirror: int = 0) -> np.ndarray:
    """Read a seed as it is encoded, float32 (64, 64) in [0, 1]; `mirror` is an index into `MIRRORS`."""
    image = dataset.images((SIZE, SIZE), [index])[0]
    return mirrored(image)[mirror]


def mirrored(images: np.ndarray) -> np.ndarray:
    """Mirror images: (..., h, w) → (4, ..., h, w), in the order of `MIRRORS`."""
    return np.stack([images[..., :: -1 if mirror & 2 else 1, :: -1 if mirror & 1 else 1] for mirror in range(4)])


def _differences(images: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Return the mean square difference of images (..., h, w) from one."""
    return np.square(images - image).mean(axis=(-2, -1))
